"""Metrics of dense predictions beside self-supervised depth: sums over a set, which add up over images and processes.

Nothing here is a mean over images: mIoU, RMSE, angles and PQ are defined on a whole set.

May import: depth/types.py, depth/support.
"""

"""What the commands datasets.check, prepare and download share.

May import: depth/types.py, depth/support, datasets/core, datasets/kitti, datasets/footage, datasets/manifest,
datasets/labelled.
"""

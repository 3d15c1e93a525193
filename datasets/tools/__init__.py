"""What the commands datasets.check, prepare and download share.

May import: depth/types.py, datasets/core, datasets/kitti, datasets/footage, datasets/labelled.
"""

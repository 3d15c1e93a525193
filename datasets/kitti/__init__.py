"""KITTI raw and odometry: layout, calibration, ground truth, poses.

May import: depth/types.py, depth/support, datasets/core.
"""

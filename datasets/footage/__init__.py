"""Footage of one's own: videos and folders of images, their camera, which frames move.

May import: depth/types.py, depth/support, datasets/core.
"""

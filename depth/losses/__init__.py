"""Photometric, smoothness and perceptual losses: pure functions of images and disparities.

May import: depth/types.py, depth/support.
"""

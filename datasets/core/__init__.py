"""What every data set shares: splits, images, frames, cache, sampler, augmentation.

May import: depth/types.py, depth/support, depth/geometry.py.
"""

"""A run on the disk: folder, checkpoints, going on where it stopped, folders of the original Monodepth2 code.

May import: depth/types.py, depth/support, depth/options.
"""

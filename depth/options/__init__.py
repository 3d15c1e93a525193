"""One documented, checked field per flag, a file per group; defaults by dataset, presets.

May import: depth/types.py, depth/support, depth/networks, depth/dejavu, depth/tasks.
"""

"""Any data set in one file: a JSON object a line says where a frame's image is and what is known of it.

May import: depth/types.py, depth/support, datasets/core.
"""

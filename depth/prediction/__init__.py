"""Depth for pictures of one's own: the Python API, files, point clouds, metres, export.

May import: depth/types.py, depth/support, depth/geometry.py, depth/dejavu, depth/metrics, depth/tasks,
depth/options, depth/runs, depth/build.py, depth/trained.py, depth/dense.
"""

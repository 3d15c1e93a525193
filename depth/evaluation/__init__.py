"""Metrics, protocols, scaling, reports, sheets; poses; comparison of runs; analysis of predictions.

May import: depth/types.py, depth/support, depth/geometry.py, depth/dejavu, depth/metrics, depth/tasks,
depth/options, depth/runs, depth/build.py, depth/trained.py, depth/dense.
"""

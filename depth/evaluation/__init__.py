"""Metrics, protocols, scaling, reports, sheets; poses; comparison of runs; analysis of predictions.

May import: depth/types.py, depth/support, depth/geometry.py, depth/metrics, depth/tasks, depth/options,
depth/runs, depth/trained.py, depth/dense.
"""

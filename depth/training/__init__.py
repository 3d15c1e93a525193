"""The loop and what it calls: schedule, parts of a batch, bad steps, validation, TensorBoard.

May import: depth/types.py, depth/support, depth/tasks, depth/objective.py, depth/runs,
depth/dense.
"""

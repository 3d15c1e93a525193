"""Several tasks on one network: their objective, Config -> tasks, network and objective, and trained ones.

May import: depth/types.py, depth/networks, depth/tasks, depth/objective.py, depth/options, depth/runs, depth/build.py,
depth/trained.py.
"""

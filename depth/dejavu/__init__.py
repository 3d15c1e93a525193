"""The branch: edits (EDITS), regeneration modules (CRMS), and the extensions CL, TS and SA.

May import: depth/types.py, depth/support, depth/networks, depth/losses.
"""

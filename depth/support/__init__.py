"""What any program needs: files, host, processes, threads, command line, downloaded weights.

May import: depth/types.py.
"""

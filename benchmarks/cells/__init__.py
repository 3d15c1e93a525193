"""What ablation.py runs: grids of settings, a cell of one, tables of differences."""

"""What a regeneration module can make of a given C; the command is benchmarks/condition.py."""

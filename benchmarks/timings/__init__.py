"""What throughput.py measures: limits of the machine, loading, steps, scoring, beside the method as first published."""

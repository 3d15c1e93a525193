"""The parts of benchmarks/gpu_smoke.py."""

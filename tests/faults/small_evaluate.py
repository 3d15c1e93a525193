"""evaluate_depth.py with the networks of small_train.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import evaluate_depth  # noqa: E402
from depth.support.cli import run  # noqa: E402
from tests.faults.small_train import make_small  # noqa: E402

if __name__ == "__main__":
    make_small()
    run(evaluate_depth.main)

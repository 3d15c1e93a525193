"""evaluate_depth.py with the networks of small_train.py."""

from small_train import make_small

import evaluate_depth
from depth.cli import run

if __name__ == "__main__":
    make_small()
    run(evaluate_depth.main)

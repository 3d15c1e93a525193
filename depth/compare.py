"""The command `python -m depth.compare`; what it does is in depth.evaluation.compare."""

from depth.evaluation.compare import main
from depth.support.cli import run

if __name__ == "__main__":
    run(main)

"""The command `python -m depth.export`; what it does is in depth.prediction.export."""

from depth.prediction.export import main
from depth.support.cli import run

if __name__ == "__main__":
    run(main)

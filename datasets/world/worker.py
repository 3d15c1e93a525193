"""A process that writes some of a world's drives: `python -m datasets.world.worker FOLDER SPEC NUMBERS`.

It prints a line per finished drive. A plain process of its own, rather than multiprocessing's, works from any
caller: it neither imports the caller's main module again nor needs a guard there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2

from datasets.world.spec import WorldSpec
from datasets.world.writer import write_drive

FAILED = 3  # exit code for an OSError, whose text is the last line on stdout


def main(folder: str, spec_json: str, numbers: str) -> int:
    """Writes the drives with these comma-separated numbers; returns the exit code."""
    cv2.setNumThreads(1)
    spec = WorldSpec(**json.loads(spec_json))
    wanted = {int(number) for number in numbers.split(",")}
    for drive in spec.drives():
        if drive.number in wanted:
            try:
                write_drive(Path(folder), spec, drive)
            except OSError as error:
                print(error, flush=True)
                return FAILED
            print(drive.name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

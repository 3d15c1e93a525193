"""How fast the car went, from KITTI's oxts: a line of 30 values a frame, and the times of the frames."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from depth.types import UserError

SECONDS = 0.1  # between frames, where no file says it: KITTI records at 10 Hz
_VELOCITY = slice(8, 11)  # forward, leftward, upward, metres a second
_VALUES = 30
_MAX_FILE_BYTES = 1 << 24


def distance(paths: Sequence[Path], frames: tuple[int, int], times: Sequence[float]) -> float:
    """Metres between two frames: the mean of their speeds, by their files, times the time between them.

    `times` are those of all frames, seconds; where they do not reach, frames are 0.1 s apart.
    """
    known = max(frames) < len(times)
    seconds = abs(times[frames[1]] - times[frames[0]]) if known else SECONDS * abs(frames[1] - frames[0])
    return seconds * sum(map(read_speed, paths)) / len(paths)


def read_speed(path: Path) -> float:
    """Metres a second. Raises UserError where the file is not a line of 30 numbers."""
    words = _read(path).split()
    try:
        values = [float(word) for word in words[_VELOCITY]]
    except ValueError:
        values = []
    speed = math.hypot(*values) if len(values) == 3 and len(words) == _VALUES else math.nan
    if not speed < 200:
        raise UserError(f"{path}: expected a line of {_VALUES} numbers with velocities in m/s")
    return speed


def read_times(path: Path) -> list[float]:
    """Seconds, a line a frame; none where there is no file. Raises UserError where a line is no time."""
    times: list[float] = []
    if not path.is_file():
        return times
    for number, line in enumerate(_read(path).rstrip().splitlines(), start=1):
        try:
            moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*$", r"\1", line.strip()))
        except ValueError:
            raise UserError(f"{path}, line {number}: {line[:40]!r} is not a date and a time") from None
        times.append(moment.timestamp())
    return times


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise UserError(f"{path} is too large for a file of oxts")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not a text file'}") from None

"""Libraries that write on stderr what this project tells in one line of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_LEVELS = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has the two functions in cv2 itself, and no names for levels
_SILENT = 0


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """OpenCV's warnings, and FFmpeg's complaints behind it, are not printed inside.

    FFmpeg reads its level once, where a process opens its first video to read: before that it must be set.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's "quiet"
    level = _LEVELS.setLogLevel(_SILENT)
    try:
        yield
    finally:
        _LEVELS.setLogLevel(level)


@contextmanager
def quiet_loggers(level: int = logging.CRITICAL) -> Iterator[None]:
    """Python's loggers say nothing inside, up to this level."""
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)

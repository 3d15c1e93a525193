"""Videos and cameras through OpenCV: opened without its complaints, and what their headers say."""

from __future__ import annotations

import re
from pathlib import Path

import cv2

from depth.support.quiet import quiet_opencv

_MAX_FPS = 1000.0  # a header that claims more is damaged
_MIN_FPS = 0.1
_MAX_ASPECT = 4.0  # anamorphic footage has up to 2


def open_capture(source: Path | int) -> cv2.VideoCapture | None:
    """An opened video file or camera; None where OpenCV cannot open it."""
    # Of a relative name like 10:00.mp4 FFmpeg takes what stands before the colon for a protocol, as in http:.
    given = source if isinstance(source, int) else str(source.absolute())
    try:
        with quiet_opencv():  # callers have one line for it
            capture = cv2.VideoCapture(given)
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # frames upright, which OpenCV 4 does not do unasked
        return capture if capture.isOpened() else None
    except cv2.error:
        return None


def camera_number(path: Path) -> int | None:
    """The number of a camera that is named by its device, /dev/video2 or a link to it; None for any other path."""
    match = re.fullmatch(r"/dev/video(\d+)", str(path.resolve()))
    return int(match[1]) if match else None


def fps_of(capture: cv2.VideoCapture) -> float | None:
    """Frames a second, None where the header does not tell or cannot be right."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if _MIN_FPS < fps < _MAX_FPS else None


def pixel_aspect(capture: cv2.VideoCapture) -> float:
    """Width of a pixel by its height in the frames as they are read; 1 where the header does not tell.

    The header's is that of the stored frames, which OpenCV turns upright. Raises no error: what cannot be right is 1.
    """
    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if not (width > 0 and height > 0 and 1 / _MAX_ASPECT <= width / height <= _MAX_ASPECT):
        return 1.0
    on_its_side = round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180 == 90
    return height / width if on_its_side else width / height

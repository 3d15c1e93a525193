"""A user's own pictures: images, folders, globs, videos and cameras as clips of frames.

Pictures in files are only named here, so that whoever reads them can do so in several threads; a video's frames are
decoded in order while they are asked for.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from depth.support.quiet import quiet_opencv
from depth.types import UserError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mts", ".ts"})
_CLAIM = 0.9  # a video that ends before this share of the frames it claims is damaged
_DEFAULT_FPS = 10.0  # KITTI's, for folders of images and cameras that do not tell


@dataclass(frozen=True)
class Frame:
    """One picture: either a file or decoded pixels."""

    name: str  # a stem for the files made of it, unique in its clip
    path: Path | None = None
    pixels: np.ndarray | None = None  # uint8 (H,W,3) RGB


@dataclass(frozen=True, eq=False)
class Pictures:
    """Frames that belong together."""

    name: str  # unique among the clips found together
    source: str  # what the user named
    kind: str  # "image", "folder", "video" or "camera"
    frames: Callable[[], Iterator[Frame]]
    count: int | None  # frames; a video's own claim, None where it is not known
    fps: float
    notes: list[str] = field(default_factory=list)  # what was found wrong with them; complete once all are read


def find_pictures(inputs: Sequence[str]) -> list[Pictures]:
    """What the user named, as clips in that order.

    A folder is one clip of its images, or, where it has none, a clip per video; a glob is one clip of the images,
    called after the folder in which it begins, and a clip per video; a single image is a clip of its own. Raises
    UserError where nothing is found or it is neither.
    """
    clips: list[Pictures] = []
    names: set[str] = set()
    for text in inputs:
        clips += _find(text, names)
    return clips


def natural_order(path: Path) -> list[tuple[int, int | str]]:
    """Sort key that puts frame 2 before frame 10."""
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in re.split(r"(\d+)", path.name)]


def _find(text: str, names: set[str]) -> list[Pictures]:
    path = Path(text).expanduser()
    if path.is_dir():
        return _several(sorted(path.iterdir(), key=natural_order), path.resolve().name or "root", text, names)
    if path.is_file():
        return [_single(path, text, names)]
    if text.isdecimal():
        return [_camera(int(text), names)]
    if glob.has_magic(text):
        found = [Path(each) for each in glob.glob(os.path.expanduser(text), recursive=True)]
        return _several(sorted(found, key=lambda p: (str(p.parent), natural_order(p))), _above(path), text, names)
    raise UserError(f"{text} does not exist: name an image, a folder, a glob in quotes, a video or a camera's number")


def _above(pattern: Path) -> str:
    """The name of the folder in which a glob begins: of frames/*.png and frames/*/left.png it is frames."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts)
    return Path(os.path.abspath(Path(*fixed))).name or "root"


def _single(path: Path, text: str, names: set[str]) -> Pictures:
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return _video(path, text, names)
    if suffix not in IMAGE_SUFFIXES:
        raise UserError(f"{path} is neither an image nor a video by its name (known: {_known()})")
    name = _unique(path.stem, names)
    return Pictures(name, text, "image", lambda: iter([Frame(name, path)]), 1, _DEFAULT_FPS)


def _several(paths: list[Path], name: str, text: str, names: set[str]) -> list[Pictures]:
    # Hidden files are other programs': macOS leaves a ._frame.jpg beside a frame.jpg on foreign disks.
    files = [path for path in paths if path.is_file() and not path.name.startswith(".")]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if not images and not videos:
        raise UserError(f"no images or videos in {text} (known: {_known()}; folders below it are not searched)")
    if not images:
        return [_video(path, text, names) for path in videos]
    stems: set[str] = set()
    frames = [Frame(_unique(path.stem, stems), path) for path in images]
    clip = Pictures(_unique(name, names), text, "folder", lambda: iter(frames), len(frames), _DEFAULT_FPS)
    return [clip] if glob.escape(text) == text else [clip, *(_video(path, text, names) for path in videos)]


def _video(path: Path, text: str, names: set[str]) -> Pictures:
    what = f"{path} cannot be opened as a video: it is damaged, or in a codec that OpenCV lacks"
    fps, count = _ask(str(path), what)
    notes: list[str] = []

    def frames() -> Iterator[Frame]:
        number = 0
        for frame in _decode(str(path), what):
            yield frame
            number += 1
        notes[:] = cut_short(path.name, number, count or 0)

    return Pictures(_unique(path.stem, names), text, "video", frames, count, fps, notes)


def cut_short(name: str, frames: int, claimed: int) -> list[str]:
    """The line about a video that has well fewer frames than its header claims; none for any other."""
    if frames >= _CLAIM * claimed:
        return []
    return [f"{name} ends after {frames:,} of {claimed:,} frames: it is damaged from there on"]


def _camera(index: int, names: set[str]) -> Pictures:
    what = f"camera {index} cannot be opened: is it plugged in, free, and may you use it?"
    fps, _ = _ask(index, what)
    return Pictures(_unique(f"camera_{index}", names), str(index), "camera", lambda: _decode(index, what), None, fps)


def _ask(source: str | int, complaint: str) -> tuple[float, int | None]:
    """Frames a second, and how many frames the header claims."""
    capture = _open(source, complaint)
    fps, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return fps if 0.1 < fps < 1000 else _DEFAULT_FPS, count if count > 0 else None


def open_capture(source: str | int) -> cv2.VideoCapture | None:
    """An opened video file or camera; None where OpenCV cannot open it."""
    try:
        with quiet_opencv():  # callers have one line for it
            capture = cv2.VideoCapture(source)
        return capture if capture.isOpened() else None
    except cv2.error:
        return None


def _open(source: str | int, complaint: str) -> cv2.VideoCapture:
    capture = open_capture(source)
    if capture is None:
        raise UserError(complaint)
    return capture


def _decode(source: str | int, complaint: str) -> Iterator[Frame]:
    """A video's or camera's frames, uint8 RGB. Raises UserError where there is not a single one."""
    capture = _open(source, complaint)
    number = 0
    try:
        while True:
            read, pixels = capture.read()
            if not read:
                break
            yield Frame(f"{number:06d}", pixels=cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
            number += 1
    finally:
        capture.release()
    if number == 0:
        raise UserError(f"{complaint}; not a single frame could be read")


def _unique(name: str, names: set[str]) -> str:
    """The name, or name_2, name_3... where it is taken; it is taken then."""
    candidate, number = name, 1
    while candidate in names:
        number += 1
        candidate = f"{name}_{number}"
    names.add(candidate)
    return candidate


def _known() -> str:
    return " ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))

"""A user's own pictures: images, folders, globs, videos and cameras as clips of frames.

Pictures in files are only named here, so that whoever reads them can do so in several threads; a video's frames are
decoded in order while they are asked for.
"""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from datasets.core.intrinsics import CameraFile
from datasets.footage.capture import camera_number, fps_of, open_capture, pixel_aspect
from datasets.footage.finding import look_into, sort_out
from datasets.footage.naming import IMAGE_SUFFIXES, in_order, is_video, known_suffixes
from depth.types import UserError

_CLAIM = 0.9  # a video that ends before this share of the frames it claims is damaged
_DEFAULT_FPS = 10.0  # KITTI's, for folders of images and cameras that do not tell


@dataclass(frozen=True)
class Frame:
    """One picture: either a file or decoded pixels."""

    name: str  # of the files made of it, without an ending, unique in its clip; may lie in folders
    path: Path | None = None
    pixels: np.ndarray | None = None  # uint8 (H,W,3) RGB
    camera: CameraFile | None = None  # where it is known of this frame


@dataclass(frozen=True, eq=False)
class Pictures:
    """Frames that belong together."""

    name: str  # unique among the clips found together; may lie in folders
    source: str  # what the user named
    kind: str  # "image", "folder", "video" or "camera"
    frames: Callable[[], Iterator[Frame]]
    count: int | None  # frames; a video's own claim, None where it is not known
    fps: float
    notes: list[str] = field(default_factory=list)  # what was found wrong with them; complete once all are read
    pixel_aspect: float = 1.0  # width of a pixel by its height


def find_pictures(inputs: Sequence[str]) -> list[Pictures]:
    """What the user named, as clips in that order.

    A folder is a clip of its images and a clip per video, and so is every folder below it; clips are named after the
    folders they lie in. A glob is one clip of the images, called after the folder in which it begins, whose frames are
    named after the folders from there on, and a clip per video. A single image is a clip of its own. Raises UserError
    where nothing is found or it is neither.
    """
    clips: list[Pictures] = []
    names: set[str] = set()
    for text in inputs:
        clips += _find(text, names)
    return clips


def _find(text: str, names: set[str]) -> list[Pictures]:
    path = Path(text).expanduser()
    if path.is_dir():
        return _folder(path, text, names)
    if path.is_file():
        return [_single(path, text, names)]
    number = int(text) if text.isdecimal() else camera_number(path)
    if number is not None:
        return [_camera(number, names)]
    if glob.has_magic(text):
        return _matches(str(path), text, names)
    raise UserError(f"{text} does not exist: name an image, a folder, a glob in quotes, a video or a camera's number")


def _folder(root: Path, text: str, names: set[str]) -> list[Pictures]:
    found, notes = look_into(root, IMAGE_SUFFIXES)
    if not found:
        raise _nothing(text, notes)
    home = unique_name(root.resolve().name or "root", names)
    clips: list[Pictures] = []
    for contents in found:
        inside = contents.folder.relative_to(root)
        name = home if contents.folder == root else unique_name(f"{home}/{inside.as_posix()}", names)
        if contents.images:
            stems: set[str] = set()
            frames = [Frame(unique_name(path.stem, stems), path) for path in contents.images]
            clips.append(_pictures(name, str(contents.folder), frames))
        clips += [_video(path, str(path), f"{name}/{path.stem}", names) for path in contents.videos]
    clips[0].notes.extend(notes)
    return clips


def _matches(pattern: str, text: str, names: set[str]) -> list[Pictures]:
    """The clips of a glob. Hidden files do not match, as in a shell."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    base = Path(os.path.abspath(Path(*fixed)))
    found = {Path(os.path.abspath(each)): Path(each) for each in glob.glob(pattern, recursive=True)}
    wanted = [path for path in found if path.is_file() and (is_video(path) or path.suffix.lower() in IMAGE_SUFFIXES)]
    kept, notes = sort_out(in_order(wanted), base)
    if not kept:
        raise _nothing(text, notes)
    home, stems = unique_name(base.name or "root", names), set()
    frames = [Frame(unique_name(_inside(p, base), stems), found[p]) for p in kept if not is_video(p)]
    clips = [_pictures(home, text, frames)] if frames else []
    clips += [_video(found[p], str(found[p]), f"{home}/{_inside(p, base)}", names) for p in kept if is_video(p)]
    clips[0].notes.extend(notes)
    return clips


def _inside(path: Path, base: Path) -> str:
    """The path from the base on, without the file's suffix; outputs must not leave their folder."""
    return (path.relative_to(base) if path.is_relative_to(base) else Path(path.name)).with_suffix("").as_posix()


def _nothing(text: str, notes: list[str]) -> UserError:
    reasons = "; ".join([f"known: {known_suffixes()}", *notes])
    return UserError(f"no images or videos in {text} ({reasons})")


def _pictures(name: str, source: str, frames: list[Frame]) -> Pictures:
    return Pictures(name, source, "folder", lambda: iter(frames), len(frames), _DEFAULT_FPS)


def _single(path: Path, text: str, names: set[str]) -> Pictures:
    if is_video(path):
        return _video(path, text, path.stem, names)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UserError(f"{path} is neither an image nor a video by its name (known: {known_suffixes()})")
    name = unique_name(path.stem, names)
    return Pictures(name, text, "image", lambda: iter([Frame(name, path)]), 1, _DEFAULT_FPS)


def _video(path: Path, source: str, name: str, names: set[str]) -> Pictures:
    what = f"{path} cannot be opened as a video: it is damaged, or in a codec that OpenCV lacks"
    capture = _open(path, what)
    fps, aspect = fps_of(capture), pixel_aspect(capture)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    notes: list[str] = []

    def frames() -> Iterator[Frame]:
        number = 0
        for frame in _decode(path, what):
            yield frame
            number += 1
        notes.extend(cut_short(path.name, number, count))

    claimed = count if count > 0 else None
    return Pictures(unique_name(name, names), source, "video", frames, claimed, fps or _DEFAULT_FPS, notes, aspect)


def cut_short(name: str, frames: int, claimed: int) -> list[str]:
    """The line about a video that has well fewer frames than its header claims; none for any other."""
    if frames >= _CLAIM * claimed:
        return []
    return [f"{name} ends after {frames:,} of {claimed:,} frames: it is damaged from there on"]


def _camera(index: int, names: set[str]) -> Pictures:
    what = f"camera {index} cannot be opened: is it plugged in, free, and may you use it?"
    capture = _open(index, what)
    fps = fps_of(capture) or _DEFAULT_FPS
    capture.release()
    return Pictures(
        unique_name(f"camera_{index}", names), str(index), "camera", lambda: _decode(index, what), None, fps
    )


def _open(source: Path | int, complaint: str) -> cv2.VideoCapture:
    capture = open_capture(source)
    if capture is None:
        raise UserError(complaint)
    return capture


def _decode(source: Path | int, complaint: str) -> Iterator[Frame]:
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


def unique_name(name: str, names: set[str]) -> str:
    """The name, or name_2, name_3... where it is taken; it is taken then."""
    candidate, number = name, 1
    while candidate in names:
        number += 1
        candidate = f"{name}_{number}"
    names.add(candidate)
    return candidate

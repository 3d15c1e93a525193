"""Clips as they come: which there are at a path, and their frames one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from datasets.core.images import image_size, read_image
from datasets.footage.media import VIDEO_SUFFIXES, natural_order, open_capture
from depth.types import UserError

TRAINING_SUFFIXES = (".png", ".jpg", ".jpeg")
_MAX_FPS = 1000.0  # a header that claims more is damaged


@dataclass(frozen=True)
class ClipFile:
    """A clip as found: a video file, or a folder with the names of its images in order."""

    name: str  # the file's or folder's name
    path: Path
    images: tuple[str, ...] = ()


def find_clips(path: Path) -> list[ClipFile]:
    """The clips at a path: a video, a folder of images, or a folder of videos and of folders of images.

    Raises UserError where there is none, or the path does not exist.
    """
    if path.is_file():
        if path.suffix.lower() in TRAINING_SUFFIXES:
            raise UserError(f"{path} is a single image: give the folder of the clip's images, or a video")
        return [ClipFile(path.name, path)]
    if not path.is_dir():
        raise UserError(f"--data_path {path} does not exist")
    clips = [ClipFile(p.name, p) for p in _sorted(path) if p.is_file() and p.suffix.lower() in VIDEO_SUFFIXES]
    for folder in [path, *(p for p in _sorted(path) if p.is_dir())]:
        images = tuple(p.name for p in _sorted(folder) if p.suffix.lower() in TRAINING_SUFFIXES)
        if images:
            clips.append(ClipFile(folder.name, folder, images))
    if not clips:
        raise UserError(f"{path} holds no video ({' '.join(sorted(VIDEO_SUFFIXES))}) and no PNG or JPEG images")
    return clips


class Video:
    """The frames of a video file, uint8 (H,W,3) RGB, once. Raises UserError where it does not open."""

    def __init__(self, path: Path) -> None:
        capture = open_video(path)
        # The header's size is that before rotation, which OpenCV applies: so a frame is asked.
        good, self._first = capture.read()
        if not good:
            raise _not_a_video(path)
        self._capture = capture
        self.height, self.width = self._first.shape[:2]
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < _MAX_FPS else None
        self.claimed = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[np.ndarray]:
        good, image = True, self._first
        while good:
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            good, image = self._capture.read()
        self._capture.release()


class ImageFolder:
    """The images of a folder, uint8 (H,W,3) RGB. Raises UserError for damaged images and for mixed sizes."""

    fps = None

    def __init__(self, clip: ClipFile) -> None:
        self.paths = [clip.path / name for name in clip.images]
        self.width, self.height = image_size(self.paths[0])
        self.claimed = len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        for path in self.paths:
            image = read_image(path)
            if tuple(image.shape[1:]) != (self.height, self.width):
                raise UserError(
                    f"{path} has {image.shape[2]}x{image.shape[1]} pixels, {self.paths[0].name} has "
                    f"{self.width}x{self.height}: a clip's images have one size; put others into folders of their own"
                )
            yield image.permute(1, 2, 0).numpy()


def open_video(path: Path) -> cv2.VideoCapture:
    """An opened video. Raises UserError where OpenCV cannot open or decode it."""
    if not path.is_file() or path.stat().st_size == 0:
        raise UserError(f"the video {path} {'is empty' if path.is_file() else 'does not exist'}")
    capture = open_capture(str(path))
    if capture is None or capture.get(cv2.CAP_PROP_FRAME_WIDTH) <= 0:
        raise _not_a_video(path)
    return capture


def _not_a_video(path: Path) -> UserError:
    return UserError(
        f"cannot open the video {path}: damaged, or a codec that OpenCV lacks; "
        f"convert it (ffmpeg -i {path.name} -c:v libx264 clip.mp4) or give a folder of images"
    )


def _sorted(folder: Path) -> list[Path]:
    """What is in a folder, without hidden files, frame2 before frame10. Raises UserError."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"cannot list {folder}: {error.strerror or error}") from None
    return sorted(entries, key=natural_order)

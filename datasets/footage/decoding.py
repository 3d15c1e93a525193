"""Clips as they come: which there are at a path, and their frames one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from datasets.core.images import image_size, read_image
from datasets.footage.capture import camera_number, fps_of, open_capture, pixel_aspect
from datasets.footage.finding import look_into
from datasets.footage.naming import TRAINING_SUFFIXES, VIDEO_SUFFIXES, is_video
from depth.types import UserError


@dataclass(frozen=True)
class ClipFile:
    """A clip as found: a video file, or a folder with the names of its images in order."""

    name: str  # the file's or folder's, with the folders below the one that was named
    path: Path
    images: tuple[str, ...] = ()


def find_clips(path: Path) -> tuple[list[ClipFile], list[str]]:
    """The clips at a path, and lines about files that were left out.

    The path is a video, a folder of images, or a folder with videos and folders of images in it, as deep as they lie.
    Raises UserError where there is none, or the path does not exist.
    """
    if path.is_file():
        return [_single(path)], []
    if camera_number(path) is not None:
        raise UserError(f"{path} is a camera: record a video with it, and train on that")
    if not path.is_dir():
        raise UserError(f"--data_path {path} does not exist")
    found, notes = look_into(path, TRAINING_SUFFIXES)
    clips = []
    for contents in found:
        inside = contents.folder.relative_to(path)
        clips += [ClipFile((inside / video.name).as_posix(), video) for video in contents.videos]
        if contents.images:
            name = inside.as_posix() if contents.folder != path else path.resolve().name or "root"
            clips.append(ClipFile(name, contents.folder, tuple(image.name for image in contents.images)))
    if not clips:
        reasons = "; ".join(["no PNG or JPEG images", *notes])
        raise UserError(f"{path} holds no video ({' '.join(sorted(VIDEO_SUFFIXES))}) and {reasons}")
    return clips, notes


def _single(path: Path) -> ClipFile:
    if path.suffix.lower() in TRAINING_SUFFIXES:
        raise UserError(f"{path} is a single image: give the folder of the clip's images, or a video")
    if not is_video(path):
        raise UserError(f"{path} is no video by its name (known: {' '.join(sorted(VIDEO_SUFFIXES))})")
    return ClipFile(path.name, path)


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
        self.pixel_aspect = pixel_aspect(capture)  # width of a pixel by its height
        self.fps = fps_of(capture)
        self.claimed = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))  # 0 where the header does not say

    def __iter__(self) -> Iterator[np.ndarray]:
        good, image = True, self._first
        while good:
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            good, image = self._capture.read()
        self._capture.release()


class ImageFolder:
    """The images of a folder, uint8 (H,W,3) RGB. Raises UserError for damaged images and for mixed sizes."""

    fps = None
    pixel_aspect = 1.0  # what headers of images say of it is read in two ways, and so by none

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


def count_frames(path: Path) -> int:
    """Frames of a video whose header does not say how many. Raises UserError where it does not open."""
    capture, count = open_video(path), 0
    while capture.grab():
        count += 1
    return count


def open_video(path: Path) -> cv2.VideoCapture:
    """An opened video. Raises UserError where OpenCV cannot open or decode it."""
    if not path.is_file() or path.stat().st_size == 0:
        raise UserError(f"the video {path} {'is empty' if path.is_file() else 'does not exist'}")
    capture = open_capture(path)
    if capture is None or capture.get(cv2.CAP_PROP_FRAME_WIDTH) <= 0:
        raise _not_a_video(path)
    return capture


def _not_a_video(path: Path) -> UserError:
    return UserError(
        f"cannot open the video {path}: damaged, or a codec that OpenCV lacks; "
        f"convert it (ffmpeg -i {path.name} -c:v libx264 clip.mp4) or give a folder of images"
    )

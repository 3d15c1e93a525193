"""What KITTI's two layouts on disk share: folders of numbered frames, each listed once, so that tens of thousands of
frames are looked up without a system call each."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from datasets.kitti.calibration import CameraPair
from datasets.kitti.poses import poses_path, read_poses
from depth.types import UserError

CAMERA = {"l": "2", "r": "3"}  # the colour cameras' numbers
_NUMBERED = re.compile(r"([0-9]{1,10})\.([A-Za-z]+)")
# The order of preference where a frame is there twice: PNG has no compression loss.
_IMAGE_SUFFIXES = ("png", "jpg", "jpeg")


class NumberedFrames(FrameSource):
    """What the two layouts share: folder listings by frame number, each read once, and the calibration's answers.

    See datasets.core.sources.FrameSource.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"the data path {self.root} is not a folder")
        self._listed: dict[tuple[str, tuple[str, ...]], dict[int, str]] = {}
        self._cameras: dict[str, CameraPair] = {}
        self._poses: dict[str, np.ndarray | None] = {}

    def has(self, ref: FrameRef) -> bool:
        """Whether the image is there, by the folder's listing."""
        return self._image(ref) is not None

    def image_path(self, ref: FrameRef) -> Path:
        """The image file. Raises UserError where it is not there."""
        path = self._image(ref)
        if path is None:
            raise UserError(f"no image for frame {ref.name}: {self.example_path(ref)} (or .jpg) is missing")
        return path

    def intrinsics(self, ref: FrameRef) -> tuple[np.ndarray, tuple[int, int]]:
        """K, float64 (3,3), pixels of the original image, and its (width, height). Raises UserError."""
        camera = self.cameras(ref).camera(ref.side)
        return camera.intrinsics, (camera.width, camera.height)

    def stereo_from(self, ref: FrameRef) -> np.ndarray:
        """other_from_this, float64 (4,4), metres. Raises UserError."""
        return self.cameras(ref).other_from_this(ref.side)

    def world_from_camera(self, ref: FrameRef) -> np.ndarray | None:
        """From the recording's file of poses, where there is one; the right camera's by the calibration."""
        if ref.folder not in self._poses:
            path = poses_path(self.root, ref.folder)
            self._poses[ref.folder] = read_poses(path) if path.is_file() else None
        poses = self._poses[ref.folder]
        if poses is None or not 0 <= ref.frame < len(poses):
            return None
        return poses[ref.frame] if ref.side == "l" else poses[ref.frame] @ self.stereo_from(ref)

    def cameras(self, ref: FrameRef) -> CameraPair:
        """The calibration of the recording. Raises UserError where it is missing or malformed."""
        raise NotImplementedError

    def example_path(self, ref: FrameRef) -> Path:
        """Where the image would be, for messages."""
        raise NotImplementedError

    def _image_folder(self, ref: FrameRef) -> str:
        """The folder of the image, relative to the root."""
        raise NotImplementedError

    def _image(self, ref: FrameRef) -> Path | None:
        return self._find(self._image_folder(ref), ref.frame, _IMAGE_SUFFIXES)

    def span(self, ref: FrameRef) -> tuple[int, int] | None:
        """The first and the last frame that are there of a drive's camera, None where none is."""
        listed = self._listing(self._image_folder(ref), _IMAGE_SUFFIXES)
        return (min(listed), max(listed)) if listed else None

    def _find(self, folder: str, frame: int, suffixes: tuple[str, ...]) -> Path | None:
        """The file of a frame in a folder below the root, or None."""
        name = self._listing(folder, suffixes).get(frame)
        return None if name is None else self.root / folder / name

    def _listing(self, folder: str, suffixes: tuple[str, ...]) -> dict[int, str]:
        """The files of a folder by their frames, listed once."""
        key = (folder, suffixes)
        if key not in self._listed:
            self._listed[key] = _list_frames(self.root / folder, suffixes)
        return self._listed[key]


def _list_frames(folder: Path, suffixes: tuple[str, ...]) -> dict[int, str]:
    """Frame number -> file name. An absent folder has no frames; an unreadable one is a UserError."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UserError(f"cannot list {folder}: {error.strerror or error}") from None
    frames: dict[int, str] = {}
    for suffix in reversed(suffixes):
        for name in sorted(names):  # of a.PNG and a.png the latter is taken
            match = _NUMBERED.fullmatch(name)
            if match is not None and match[2].lower() == suffix:
                frames[int(match[1])] = name
    return frames

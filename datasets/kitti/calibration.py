"""KITTI's calibration files, parsed strictly: every complaint names the file and the line.

Pixel convention of KITTI and of this project: pixel centres are at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth.support.files import read_text
from depth.types import UserError

# Lines of KITTI's files whose value is no list of numbers.
_TEXT_KEYS = frozenset({"calib_time"})
_MAX_FILE_BYTES = 1 << 20
_MAX_IMAGE_SIDE = 65_535


@dataclass(frozen=True)
class Camera:
    """A rectified camera. `projection` (3,4) takes metres in the rectified reference camera to pixels."""

    projection: np.ndarray  # float64 (3,4)
    width: int
    height: int

    @property
    def intrinsics(self) -> np.ndarray:
        """K, float64 (3,3), pixels of the original image."""
        return self.projection[:, :3].copy()

    @property
    def translation(self) -> np.ndarray:
        """This camera's t in x_camera = x_reference + t, float64 (3,), metres: K^-1 times the last column."""
        return np.linalg.solve(self.projection[:, :3], self.projection[:, 3])


@dataclass(frozen=True)
class CameraPair:
    """The colour cameras of one recording."""

    left: Camera
    right: Camera
    rectification: np.ndarray  # R_rect_00, float64 (3,3): rectified reference camera from reference camera

    def camera(self, side: str) -> Camera:
        """The camera of a side, 'l' or 'r'."""
        return self.left if side == "l" else self.right

    def other_from_this(self, side: str) -> np.ndarray:
        """Takes points of the camera `side` to the other camera: float64 (4,4), metres.

        Both are rectified, so it is a translation. KITTI's cameras are half a metre apart, and a few millimetres
        in height and depth as well, which the rectification leaves in.
        """
        this, other = (self.left, self.right) if side == "l" else (self.right, self.left)
        transform = np.eye(4)
        transform[:3, 3] = other.translation - this.translation
        return transform


@dataclass(frozen=True)
class _Calibration:
    """The numbers of a file with the lines they stand on."""

    path: Path
    values: dict[str, np.ndarray]
    lines: dict[str, int]

    def array(self, key: str, *shape: int) -> np.ndarray:
        """The numbers of `key` in this shape. Raises UserError where they are absent or of another count."""
        if key not in self.values:
            raise UserError(f"{self.path}: no line '{key}:'; the file is incomplete, take it from KITTI again")
        values, count = self.values[key], int(np.prod(shape))
        if values.size != count:
            raise self.error(key, f"{key} needs {count} numbers, not {values.size}")
        return values.reshape(shape)

    def error(self, key: str, text: str) -> UserError:
        return UserError(f"{self.path}, line {self.lines[key]}: {text}")

    def camera(self, key: str, width: int, height: int) -> Camera:
        """A line's (3,4) projection, pixels. Raises UserError where it is not that of a rectified camera."""
        projection = self.array(key, 3, 4)
        if not (projection[0, 0] > 0 and projection[1, 1] > 0 and np.array_equal(projection[2, :3], (0, 0, 1))):
            raise self.error(key, f"{key} is not a projection matrix of a rectified camera")
        if np.abs(projection).max() > 1e7:
            raise self.error(key, f"{key} has numbers beyond 1e7")
        return Camera(projection, width, height)

    def size(self, key: str) -> tuple[int, int]:
        width, height = self.array(key, 2)
        if not all(1 <= side <= _MAX_IMAGE_SIDE and side == int(side) for side in (width, height)):
            raise self.error(key, f"{key} is not a width and a height in pixels")
        return int(width), int(height)

    def rotation(self, key: str) -> np.ndarray:
        matrix = self.array(key, 3, 3)
        # KITTI prints seven digits, so 1e-4 leaves room; numbers in the wrong order do not pass.
        if np.abs(matrix).max() > 2 or np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-4:
            raise self.error(key, f"{key} is not a rotation matrix")
        return matrix


def read_raw_cameras(path: Path) -> CameraPair:
    """calib_cam_to_cam.txt of KITTI raw. Raises UserError with file and line for anything missing or malformed."""
    calibration = _read(path)
    left = calibration.camera("P_rect_02", *calibration.size("S_rect_02"))
    right = calibration.camera("P_rect_03", *calibration.size("S_rect_03"))
    return CameraPair(left, right, calibration.rotation("R_rect_00"))


def read_raw_velodyne(path: Path) -> np.ndarray:
    """calib_velo_to_cam.txt of KITTI raw: reference camera from lidar, float64 (4,4), metres. Raises UserError."""
    calibration = _read(path)
    transform = np.eye(4)
    transform[:3, :3] = calibration.rotation("R")
    transform[:3, 3] = calibration.array("T", 3)
    return transform


def read_odometry_cameras(path: Path, size: tuple[int, int]) -> CameraPair:
    """calib.txt of a KITTI odometry sequence; the image size, which it lacks, is given. Raises UserError."""
    calibration = _read(path)
    return CameraPair(calibration.camera("P2", *size), calibration.camera("P3", *size), np.eye(3))


def _read(path: Path) -> _Calibration:
    """Parses `key: numbers` lines; `read_*` then ask for what they need."""
    text = read_text(path, "the calibration", _MAX_FILE_BYTES)
    calibration = _Calibration(path, {}, {})
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            key, values = _parse_line(line, f"{path}, line {number}")
            if key in calibration.lines:
                raise UserError(f"{path}, line {number}: {key} stands on line {calibration.lines[key]} already")
            calibration.lines[key] = number
            if values is not None:
                calibration.values[key] = values
    if not calibration.values:
        raise UserError(f"the calibration {path} is empty; take it from KITTI again")
    return calibration


def _parse_line(line: str, place: str) -> tuple[str, np.ndarray | None]:
    key, colon, rest = line.partition(":")
    key = key.strip()
    if not colon or not key or len(key.split()) != 1:
        raise UserError(f"{place}: expected 'key: numbers'")
    if key in _TEXT_KEYS:
        return key, None
    try:
        values = np.array([float(word) for word in rest.split()])
    except ValueError as error:
        raise UserError(f"{place}: {key}: {error}") from None
    if not np.isfinite(values).all():
        raise UserError(f"{place}: {key} has a number that is not finite")
    return key, values

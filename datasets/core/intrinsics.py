"""A user's camera: K from a small JSON or from a field of view, and K for images of another size."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth.support.files import read_text
from depth.types import UserError

_KEYS = ("fx", "fy", "cx", "cy", "width", "height")
_MAX_SIDE = 65_535


@dataclass(frozen=True)
class CameraFile:
    """A pinhole camera with the size of the images it belongs to."""

    where: str  # it was given, for messages
    matrix: np.ndarray  # K, float64 (3,3), pixels at `width` x `height`, pixel centres at integers
    width: int  # pixels
    height: int  # pixels

    def scaled_to(self, width: int, height: int) -> np.ndarray:
        """K, float64 (3,3), in pixels of resized images.

        Raises UserError where that size is not a resize of this camera's: then the images were cropped or turned, or
        are another camera's, and no K can be told.
        """
        if abs(width * self.height / self.width - height) > 1 and abs(height * self.width / self.height - width) > 1:
            raise UserError(
                f"{self.where} is for images of {self.width}x{self.height}, these have {width}x{height}, "
                "another aspect: give the fx, fy, cx, cy, width and height of these images"
            )
        return resize_intrinsics(self.matrix, (self.width, self.height), height, width)


def read_intrinsics(path: Path) -> CameraFile:
    """A JSON object with the numbers fx, fy, cx, cy, width, height, in pixels.

    Raises UserError naming the file and the entry that is missing or makes no sense.
    """
    try:
        values = json.loads(read_text(path, "the intrinsics"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    return camera_of(values, str(path))


def camera_of(values: object, where: str) -> CameraFile:
    """A camera from what a JSON file says of it. Raises UserError that begins with `where` the values stand."""
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected an object with {', '.join(_KEYS)}")
    for key in _KEYS:
        value = values.get(key)
        # The bound comes first: an integer may be too long for a float.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            raise UserError(f'{where}: "{key}" is missing or not a number; needed are {", ".join(_KEYS)}')
    fx, fy, cx, cy, width, height = (values[key] for key in _KEYS)
    if not all(1 <= side <= _MAX_SIDE and side == int(side) for side in (width, height)):
        raise UserError(f"{where}: width {width} and height {height} are not an image's size in pixels")
    if not (0 < fx < 100 * width and 0 < fy < 100 * height):
        raise UserError(f"{where}: fx {fx} and fy {fy} are not focal lengths in pixels of {width}x{height} images")
    if not (-width < cx < 2 * width and -height < cy < 2 * height):
        raise UserError(f"{where}: the centre {cx}, {cy} lies far outside a {width}x{height} image; it is in pixels")
    return CameraFile(where, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), int(width), int(height))


def intrinsics_from_fov(degrees: float, width: int, height: int) -> np.ndarray:
    """K, float64 (3,3), of square pixels with the centre in the middle of the image.

    Args:
        degrees: horizontal field of view, between the outer edges of the first and the last column.
        width, height: pixels.
    """
    focal = width / 2 / math.tan(math.radians(degrees) / 2)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])


def resize_intrinsics(intrinsics: np.ndarray, size: tuple[int, int], height: int, width: int) -> np.ndarray:
    """K, float64 (3,3), in pixels of an image resized from `size`, (width, height); see `frames.resize_view`."""
    x, y = width / size[0], height / size[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ intrinsics

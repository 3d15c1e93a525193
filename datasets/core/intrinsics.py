"""A user's camera: K from a small JSON or from a field of view, and K for images of another size."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets.core.lens import COUNTS, Lens, lens_of
from depth.support.files import read_text
from depth.types import UserError

_KEYS = ("fx", "fy", "cx", "cy", "width", "height")
_LENS_KEYS = {"model": "pinhole", "alpha": 0.0, "distortion": []}  # with their defaults
_MAX_SIDE = 65_535


@dataclass(frozen=True)
class CameraFile:
    """A pinhole camera with the size of the images it belongs to."""

    where: str  # it was given, for messages
    matrix: np.ndarray  # K, float64 (3,3), pixels at `width` x `height`, pixel centres at integers
    width: int  # pixels
    height: int  # pixels
    lens: Lens | None = None  # where it bends the picture; `matrix` is then that of the straight one

    def lens_for(self, width: int, height: int) -> Lens | None:
        """The lens for resized images. Raises UserError as `scaled_to`."""
        straight = self.scaled_to(width, height)
        if self.lens is None:
            return None
        bent = resize_intrinsics(np.reshape(self.lens.bent, (3, 3)), (self.width, self.height), height, width)
        values = {"bent": tuple(bent.ravel().tolist()), "straight": tuple(straight.ravel().tolist())}
        return replace(self.lens, width=width, height=height, **values)

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
    """A JSON object with the numbers fx, fy, cx, cy, width, height, in pixels; for a lens that bends the picture also
    model (pinhole, fisheye), distortion (OpenCV's coefficients) and alpha (see datasets.core.lens.lens_of).

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
    matrix, size = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), (int(width), int(height))
    unknown = next((key for key in values if key not in (*_KEYS, *_LENS_KEYS)), None)
    if unknown is not None:
        raise UserError(f"{where}: unknown entry {str(unknown)[:40]!r}; known are {', '.join((*_KEYS, *_LENS_KEYS))}")
    lens = _lens(values, where, matrix, size)
    return CameraFile(where, matrix if lens is None else lens.matrix, *size, lens)


def _lens(values: dict[str, object], where: str, matrix: np.ndarray, size: tuple[int, int]) -> Lens | None:
    model, alpha, numbers = (values.get(key, default) for key, default in _LENS_KEYS.items())
    if not isinstance(model, str) or model not in COUNTS:
        raise UserError(f'{where}: "model" is one of {", ".join(COUNTS)}')
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise UserError(f'{where}: "alpha" is a number from 0 to 1')
    good = isinstance(numbers, list) and all(type(n) in (int, float) and abs(n) < 1e4 for n in numbers)
    if not good or len(numbers) not in (0, *COUNTS[model]):
        counts = " or ".join(map(str, COUNTS[model]))
        raise UserError(f'{where}: "distortion" is a list of {counts} numbers for a {model} camera')
    if not any(numbers) and model == "pinhole":
        return None
    if not numbers:
        raise UserError(f'{where}: a fisheye camera has a "distortion" of {COUNTS[model][0]} numbers')
    try:
        return lens_of(model, tuple(map(float, numbers)), matrix, size, float(alpha))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


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

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
MIN_FOV, MAX_FOV = 5.0, 170.0  # degrees, horizontal; a pinhole camera has none beyond
_MAX_OBLONG = 4.0  # fy by fx of images that were stretched
_TINY = 4  # pixels; of such a side 1 is no share but near the middle


@dataclass(frozen=True)
class CameraFile:
    """A pinhole camera with the size of the images it belongs to."""

    where: str  # it was given, for messages
    matrix: np.ndarray  # K, float64 (3,3), pixels at `width` x `height`, pixel centres at integers
    width: int  # pixels
    height: int  # pixels
    lens: Lens | None = None  # where it bends the picture; `matrix` is then that of the straight one

    def lens_for(self, width: int, height: int, pixel_aspect: float = 1.0) -> Lens | None:
        """The lens for resized images. Raises UserError as `scaled_to`."""
        straight = self.scaled_to(width, height, pixel_aspect)
        if self.lens is None:
            return None
        bent = resize_intrinsics(np.reshape(self.lens.bent, (3, 3)), (self.width, self.height), height, width)
        values = {"bent": tuple(bent.ravel().tolist()), "straight": tuple(straight.ravel().tolist())}
        return replace(self.lens, width=width, height=height, **values)

    def scaled_to(self, width: int, height: int, pixel_aspect: float = 1.0) -> np.ndarray:
        """K, float64 (3,3), in pixels of resized images.

        Args:
            width, height: of the images, pixels.
            pixel_aspect: width of their pixels by their height. The camera may be that of the images as they are
                stored, or as they are shown, with square pixels.

        Raises:
            UserError: that size is not a resize of this camera's: then the images were cropped or turned, or are
                another camera's, and no K can be told.
        """
        shown = shown_size(width, height, pixel_aspect)
        if not (self._fits(width, height) or self._fits(*shown)):
            as_shown = f" ({shown[0]}x{shown[1]} as shown)" if shown != (width, height) else ""
            raise UserError(
                f"{self.where} is for images of {self.width}x{self.height}, these have {width}x{height}{as_shown}, "
                "another aspect: give the fx, fy, cx, cy, width and height of these images"
            )
        return resize_intrinsics(self.matrix, (self.width, self.height), height, width)

    def _fits(self, width: int, height: int) -> bool:
        """Whether an image of this size is a resize of this camera's, but for a pixel."""
        return (
            abs(width * self.height / self.width - height) <= 1 or abs(height * self.width / self.height - width) <= 1
        )


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
    _check_pixels(where, fx, fy, cx, cy, width, height)
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


def _check_pixels(where: str, fx: float, fy: float, cx: float, cy: float, width: int, height: int) -> None:
    """Raises UserError where these cannot be pixels: shares of the sides, millimetres, numbers of another image."""
    shares = f"{where}: fx, fy, cx, cy are in pixels of {width}x{height} images, not shares of them"
    in_corner = (abs(cx) <= 1 and abs(cy) <= 1) or 0 < cx < 1 or 0 < cy < 1
    if in_corner and min(width, height) > _TINY:
        raise UserError(f"{shares}; a centre of {cx:g}, {cy:g} lies within the first pixel")
    if not (fx > 0 and fy > 0):
        raise UserError(f"{where}: fx {fx:g} and fy {fy:g} are not focal lengths in pixels, which are above 0")
    if not MIN_FOV <= field_of_view(fx, width) <= MAX_FOV:
        seen = f"a horizontal field of view of {field_of_view(fx, width):.1f} degrees"
        raise UserError(f"{shares}; fx {fx:g} means {seen}, and {MIN_FOV:g} to {MAX_FOV:g} are taken")
    if not 1 / _MAX_OBLONG <= fy / fx <= _MAX_OBLONG:
        raise UserError(f"{shares}; fx {fx:g} and fy {fy:g} are too different for one lens")
    if not (-width < cx < 2 * width and -height < cy < 2 * height):
        raise UserError(f"{shares}; the centre {cx:g}, {cy:g} lies far outside")


def field_of_view(focal: float, side: int) -> float:
    """Degrees from the outer edge of the first pixel of a side to that of the last; focal length and side in pixels."""
    return math.degrees(2 * math.atan(side / (2 * focal)))


def intrinsics_from_fov(degrees: float, width: int, height: int, pixel_aspect: float = 1.0) -> np.ndarray:
    """K, float64 (3,3), with the centre in the middle of the image.

    Args:
        degrees: horizontal field of view, between the outer edges of the first and the last column.
        width, height: pixels.
        pixel_aspect: width of a pixel by its height. The lens has one focal length, so fy is that many times fx.
    """
    focal = width / 2 / math.tan(math.radians(degrees) / 2)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal * pixel_aspect, (height - 1) / 2], [0, 0, 1.0]])


def shown_size(width: int, height: int, pixel_aspect: float) -> tuple[int, int]:
    """(width, height) of an image with square pixels instead of such of this width by their height; never smaller."""
    return round(width * max(1.0, pixel_aspect)), round(height / min(1.0, pixel_aspect))


def resize_intrinsics(intrinsics: np.ndarray, size: tuple[int, int], height: int, width: int) -> np.ndarray:
    """K, float64 (3,3), in pixels of an image resized from `size`, (width, height); see `frames.resize_view`."""
    x, y = width / size[0], height / size[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ intrinsics

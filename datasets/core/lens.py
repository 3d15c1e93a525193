"""A lens that bends the picture, and the straight picture that a pinhole camera would have taken.

The models are OpenCV's: pinhole with k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [tx ty]]]], and fisheye with k1 k2 k3 k4.
Their coefficients belong to directions, not to pixels: a resized picture has the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from depth.types import DepthPixels, UserError

COUNTS = {"pinhole": (4, 5, 8, 12, 14), "fisheye": (4,)}

_TOLERANCE = 0.02  # of the longer side
_STEPS = 20
_Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Lens:
    """The bent camera and the straight one that takes its place, both for pictures of one size."""

    model: str  # of COUNTS
    coefficients: _Numbers
    bent: _Numbers  # K of the picture as it was taken, nine numbers
    straight: _Numbers  # K of the straight picture
    width: int  # pixels
    height: int

    @property
    def matrix(self) -> np.ndarray:
        """K of the straight picture, float64 (3,3), pixels."""
        return np.array(self.straight).reshape(3, 3)

    def straighten(self, image: Tensor) -> Tensor:
        """A picture as taken, uint8 (3,H,W) -> the straight one; black where the lens has not looked."""
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(self.straighten_pixels(pixels)).permute(2, 0, 1)

    def straighten_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """(H,W) or (H,W,C) of any type that cv2.remap takes; 0 where the lens has not looked."""
        return cv2.remap(pixels, *_maps(self), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)

    def straighten_ids(self, values: np.ndarray) -> np.ndarray:
        """(H,W) or (H,W,C), as the nearest pixel has them, nothing in between; 0 where the lens has not looked."""
        # cv2's own fixed-point maps, which _maps has, mistake the nearest pixel.
        places = [np.rint(each).astype(int) for each in _maps(self, cv2.CV_32FC1)]
        inside = (places[0] >= 0) & (places[0] < self.width) & (places[1] >= 0) & (places[1] < self.height)
        found = np.zeros_like(values)
        found[inside] = values[places[1][inside], places[0][inside]]
        return found

    def straighten_mask(self, counted: np.ndarray) -> np.ndarray:
        """bool (H,W), True: the pixel counts; so does a straight one where the lens has looked and all around count."""
        return self.straighten_pixels(counted.view(np.uint8) * 255) == 255

    def seen(self) -> np.ndarray:
        """bool (H,W) of the straight picture, True: the lens has looked there."""
        return self.straighten_mask(np.ones((self.height, self.width), bool))

    def straighten_depth(self, pixels: DepthPixels) -> DepthPixels:
        """Depths along the axis, which a lens does not change, at the straight picture's pixels.

        Each goes to the nearest pixel, and the nearer one stays where two meet.
        """
        if not pixels.depth.size:
            return pixels
        places = np.stack([pixels.columns, pixels.rows], -1).astype(np.float64)
        bent = np.array(self.bent).reshape(3, 3)
        rays = _directions(self.model, places, np.array(self.coefficients), bent)
        columns, rows = np.rint(rays @ self.matrix[:2, :2].T + self.matrix[:2, 2]).T
        inside = (columns >= 0) & (columns < self.width) & (rows >= 0) & (rows < self.height)
        depth = np.full((self.height, self.width), np.inf, np.float32)
        np.minimum.at(depth, (rows[inside].astype(int), columns[inside].astype(int)), pixels.depth[inside])
        return DepthPixels.of(np.where(np.isfinite(depth), depth, np.float32(0)))


def lens_of(model: str, coefficients: _Numbers, matrix: np.ndarray, size: tuple[int, int], alpha: float) -> Lens:
    """The lens of a camera.

    Args:
        model: of COUNTS.
        coefficients: as many as the model takes.
        matrix: K of the picture as taken, (3,3), pixels.
        size: its (width, height).
        alpha: 0 cuts the straight picture so that all of it was seen, 1 keeps all that was; between, a part.

    Raises:
        UserError: the coefficients belong to no picture of this size.
    """
    values = np.array(coefficients, np.float64)
    try:
        if model == "fisheye":
            new = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(matrix, values, size, np.eye(3), balance=alpha)
        else:
            new, _ = cv2.getOptimalNewCameraMatrix(matrix, values, size, alpha)
    except cv2.error:
        new = np.zeros((3, 3))
    sensible = np.isfinite(new).all() and 1 < new[0, 0] < 100 * size[0] and 1 < new[1, 1] < 100 * size[1]
    if not sensible or not _comes_back(model, values, matrix, size):
        order = "k1 k2 k3 k4" if model == "fisheye" else "k1 k2 p1 p2 k3"
        raise UserError(f"the distortion folds the picture: are the coefficients {order} of OpenCV's {model} model?")
    return Lens(model, tuple(coefficients), _flat(matrix), _flat(new), *size)


def _comes_back(model: str, values: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether the picture's border, straightened and bent again, is where it was: a model that folds loses it."""
    across, down = (np.linspace(0, side - 1, 9) for side in size)
    border = [(x, y) for x in across for y in (0, size[1] - 1)] + [(x, y) for x in (0, size[0] - 1) for y in down]
    places = np.array(border, np.float64)
    with np.errstate(all="ignore"):
        try:
            again = _bend(model, _directions(model, places, values, matrix), values, matrix)
        except cv2.error:
            return False
        return bool(np.abs(again - places).max() < _TOLERANCE * max(size))


def _directions(model: str, places: np.ndarray, values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Pixels (P,2) of the bent picture -> directions (x/z, y/z), (P,2); OpenCV's few steps are gone on with."""
    undo = cv2.fisheye.undistortPoints if model == "fisheye" else cv2.undistortPoints
    found = undo(places[:, None], matrix, values)[:, 0]
    for _ in range(_STEPS):
        found = found + (places - _bend(model, found, values, matrix)) / (matrix[0, 0], matrix[1, 1])
    return found


def _bend(model: str, directions: np.ndarray, values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Directions (P,2) -> pixels (P,2) of the bent picture."""
    if model == "fisheye":
        return cv2.fisheye.distortPoints(directions[:, None], matrix, values)[:, 0]
    rays = np.concatenate([directions, np.ones((len(directions), 1))], 1)
    return cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, values)[0][:, 0]


def _flat(matrix: np.ndarray) -> _Numbers:
    return tuple(float(value) for value in np.asarray(matrix).ravel())


@lru_cache(maxsize=16)  # a data set has few cameras, and the maps of a picture take a hundred times its remap
def _maps(lens: Lens, kind: int = cv2.CV_16SC2) -> tuple[np.ndarray, np.ndarray]:
    bent, coefficients = np.array(lens.bent).reshape(3, 3), np.array(lens.coefficients)
    make = cv2.fisheye.initUndistortRectifyMap if lens.model == "fisheye" else cv2.initUndistortRectifyMap
    return make(bent, coefficients, np.eye(3), lens.matrix, (lens.width, lens.height), kind)

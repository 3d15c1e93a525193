"""The camera of one's own footage: from a small JSON file, from a field of view, or to be learned.

    {"width": 1920, "height": 1080, "fx": 1390.5, "fy": 1391.2, "cx": 959.5, "cy": 539.5}

All in pixels of the original image, whose size the file states; pixel centres are at integers, so the centre of an
image is ((width - 1) / 2, (height - 1) / 2). A lens that bends the picture adds "model", "distortion" and "alpha", see
datasets.core.intrinsics; frames are straightened when they are read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from datasets.core.intrinsics import (
    MAX_FOV,
    MIN_FOV,
    field_of_view,
    intrinsics_from_fov,
    read_intrinsics,
    resize_intrinsics,
)
from datasets.core.lens import Lens
from depth.support.files import write_file
from depth.types import UserError

START_FOV = 60.0  # degrees; where learning begins, between a phone's main camera (65) and a compact camera (54)


@dataclass(frozen=True)
class PinholeCamera:
    """Intrinsics with the size of the image they go with, pixels."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @property
    def matrix(self) -> np.ndarray:
        """K, float64 (3,3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    @property
    def fov(self) -> float:
        """Horizontal field of view from edge to edge, degrees, as if the principal point were the centre."""
        return field_of_view(self.fx, self.width)

    def resized(self, width: int, height: int) -> PinholeCamera:
        """The camera of the same image at another size: outer edges stay on each other (see frames.resize_view)."""
        return _camera(resize_intrinsics(self.matrix, (self.width, self.height), height, width), width, height)


@dataclass(frozen=True)
class CameraChoice:
    """What the user said about the camera: a file, a field of view, or that it is to be learned."""

    file: Path | None = None
    fov: float | None = None  # horizontal, degrees
    learned: bool = False

    def check(self) -> None:
        """Raises UserError where nothing was said, or something that no image could go with."""
        if self.file is not None:
            read_intrinsics(self.file)
        else:
            self.camera(4, 3, "")

    def lens(self, width: int, height: int, pixel_aspect: float = 1.0) -> Lens | None:
        """What bends pictures of this size, where the file says so; `pixel_aspect` as for `camera`."""
        return None if self.file is None else read_intrinsics(self.file).lens_for(width, height, pixel_aspect)

    def camera(self, width: int, height: int, what: str, pixel_aspect: float = 1.0) -> PinholeCamera:
        """The camera of images of this size; a starting point where it is learned.

        Args:
            width, height: of the original image, pixels.
            what: the clip, for messages.
            pixel_aspect: width of its pixels by their height.

        Raises:
            UserError: nothing was said, or the file is malformed or for images of another aspect.
        """
        if self.file is not None:
            try:
                return _camera(read_intrinsics(self.file).scaled_to(width, height, pixel_aspect), width, height)
            except UserError as error:
                raise UserError(f"{what}: {error}") from None
        if self.fov is None and not self.learned:
            raise UserError(
                "footage needs its camera: --intrinsics FILE.json, --fov DEGREES (horizontal), or --learn_intrinsics"
            )
        return camera_from_fov(START_FOV if self.fov is None else self.fov, width, height, pixel_aspect)


def camera_from_fov(fov: float, width: int, height: int, pixel_aspect: float = 1.0) -> PinholeCamera:
    """The principal point is the centre; see `datasets.core.intrinsics.intrinsics_from_fov`.

    `fov` is horizontal, degrees. Raises UserError where it is not between 5 and 170.
    """
    if not MIN_FOV <= fov <= MAX_FOV:
        raise UserError(f"--fov {fov:g} is not a horizontal field of view between {MIN_FOV:g} and {MAX_FOV:g} degrees")
    return _camera(intrinsics_from_fov(fov, width, height, pixel_aspect), width, height)


def _camera(matrix: np.ndarray, width: int, height: int) -> PinholeCamera:
    return PinholeCamera(width, height, *(float(matrix[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))))


def write_camera(path: Path, camera: PinholeCamera) -> None:
    """Writes what `read_intrinsics` reads. Raises UserError where the file cannot be written."""
    write_file(path, (json.dumps(asdict(camera), indent=2) + "\n").encode(), flush=False)


def doubts(matrix: np.ndarray, width: int, height: int, pixel_aspect: float = 1.0) -> list[str]:
    """What is odd about K (3,3) for an image of this size, a phrase each; an ordinary camera has none.

    `pixel_aspect` is the width of the image's pixels by their height, as its header says.
    """
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    fov = field_of_view(fx, width)
    found = []
    if not 20 <= fov <= 140:
        found.append(f"a horizontal field of view of {fov:.0f} degrees is unusual")
    oblong = fx * pixel_aspect / fy
    if not 0.9 <= oblong <= 1.1:
        wanted = "" if pixel_aspect == 1 else f" from {1 / pixel_aspect:.2f}, the shape of the video's pixels"
        found.append(f"fx / fy differs by {100 * abs(oblong - 1):.0f} %{wanted}: pixels are seldom so oblong")
    for name, place, side in (("cx", cx, width), ("cy", cy, height)):
        if abs(place - (side - 1) / 2) > 0.15 * side:
            found.append(f"{name} {place:.0f} is far from the centre {(side - 1) / 2:.0f}")
    return found

"""Surface normals: angles between unit vectors over all pixels of a set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

LIMITS = (11.25, 22.5, 30.0)  # degrees
_STEP = 0.01  # degrees of the histogram that the median is read from


def angles(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Degrees between true and predicted normals at the pixels that have a label, float64 (P,).

    Args:
        truth: floats (H,W,3), unit length, or 0 where there is no label.
        prediction: floats (H,W,3) of any length.

    Raises:
        ValueError: shapes that differ.
    """
    if truth.shape != prediction.shape or truth.shape[-1] != 3:
        raise ValueError(f"angles: {truth.shape} and {prediction.shape} are not normals of the same pixels")
    valid = (truth != 0).any(-1)
    truth, prediction = truth[valid].astype(float), prediction[valid].astype(float)
    # atan2 keeps small angles, where the arccosine of a rounded dot product does not; the lengths cancel.
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(truth, prediction), axis=-1), (truth * prediction).sum(-1)))


@dataclass
class NormalScore:
    """Sums over a set of images."""

    pixels: int = 0
    sums: np.ndarray = field(default_factory=lambda: np.zeros(2 + len(LIMITS)))  # of angle, its square, below limits
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(round(180 / _STEP) + 1, np.int64))

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        """Counts an image, see `angles`; returns the image's own figures."""
        found = angles(truth, prediction)
        own = NormalScore(len(found))
        own.sums[:] = found.sum(), (found**2).sum(), *((found < limit).sum() for limit in LIMITS)
        own.histogram += np.bincount((found / _STEP).astype(int), minlength=len(self.histogram))
        self.merge(own)
        return own.results()

    def merge(self, other: Self) -> None:
        """Adds another set's sums."""
        self.pixels += other.pixels
        self.sums += other.sums
        self.histogram += other.histogram

    def results(self) -> dict[str, float]:
        """Angles in degrees: mean_angle, median_angle (to 0.01), rmse_angle; shares within_11.25 and so on."""
        mean, square, *within = self.sums / max(self.pixels, 1) if self.pixels else np.full_like(self.sums, np.nan)
        below = np.cumsum(self.histogram)
        median = (np.searchsorted(below, self.pixels / 2) + 0.5) * _STEP if self.pixels else float("nan")
        figures = {"mean_angle": mean, "median_angle": median, "rmse_angle": np.sqrt(square)}
        figures |= {f"within_{limit:g}": share for limit, share in zip(LIMITS, within, strict=True)}
        return {name: float(value) for name, value in figures.items()}

"""Depth with a unit: errors over all pixels of a set, which is NYUD's convention; no scaling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

_POWERS = (1, 2, 3)


def log10_error(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean |log10 prediction - log10 truth| (Saxena et al., TPAMI 2009): (P,) positive floats each, P > 0."""
    return float(np.abs(np.log10(prediction / truth)).mean())


@dataclass
class DepthScore:
    """Sums over a set of images."""

    nearest: float = 1e-3  # metres; predictions are clamped to [nearest, farthest]
    farthest: float = 80.0  # metres; true depths beyond it do not count
    pixels: int = 0
    sums: np.ndarray = field(default_factory=lambda: np.zeros(3 + len(_POWERS)))

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        """Counts an image; returns the image's own figures.

        Args:
            truth: floats (H,W), metres; 0 where there is no label.
            prediction: floats (H,W), metres.

        Raises:
            ValueError: shapes that differ, or predictions that are not finite.
        """
        if truth.shape != prediction.shape:
            raise ValueError(f"DepthScore: {truth.shape} and {prediction.shape} are not the same pixels")
        valid = (truth > 0) & (truth < self.farthest)
        truth, prediction = truth[valid].astype(float), prediction[valid].astype(float)
        if not np.isfinite(prediction).all():
            raise ValueError("DepthScore: the prediction holds depths that are not finite")
        prediction = prediction.clip(self.nearest, self.farthest)
        error = prediction - truth
        ratio = np.maximum(prediction / truth, truth / prediction)
        own = DepthScore(self.nearest, self.farthest, len(truth))
        own.sums[:3] = (error**2).sum(), np.abs(error / truth).sum(), (np.log(prediction / truth) ** 2).sum()
        own.sums[3:] = [(ratio < 1.25**power).sum() for power in _POWERS]
        self.merge(own)
        return own.results()

    def merge(self, other: Self) -> None:
        """Adds another set's sums."""
        self.pixels += other.pixels
        self.sums += other.sums

    def results(self) -> dict[str, float]:
        """abs_rel, rmse (metres), rmse_log, and the shares d1, d2, d3 below 1.25, 1.25^2, 1.25^3."""
        square, relative, log, *shares = self.sums / self.pixels if self.pixels else np.full_like(self.sums, np.nan)
        figures = {"abs_rel": relative, "rmse": np.sqrt(square), "rmse_log": np.sqrt(log)}
        figures |= {f"d{power}": share for power, share in zip(_POWERS, shares, strict=True)}
        return {name: float(value) for name, value in figures.items()}

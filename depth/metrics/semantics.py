"""Semantic segmentation: one confusion matrix a set, and how well boundaries are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np

from depth.types import IGNORE

TOLERANCE = 0.0075  # of the image's diagonal, Perazzi et al., CVPR 2016


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Pixels by true class (rows) and predicted class (columns), int64 (K,K).

    Args:
        truth: integers (H,W), 0..K-1, or IGNORE where there is no label.
        prediction: integers (H,W), 0..K-1.
        classes: K.

    Raises:
        ValueError: shapes that differ, or an id out of range.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"confusion_matrix: {truth.shape} and {prediction.shape} are not the same pixels")
    kept = truth != IGNORE
    index = classes * truth[kept].astype(np.int64) + prediction[kept]
    matrix = np.bincount(index, minlength=classes**2)
    if len(matrix) != classes**2 or (prediction[kept] >= classes).any():
        raise ValueError(f"confusion_matrix: ids beyond {classes - 1}")
    return matrix.reshape(classes, classes)


def class_iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, float64 (K,); NaN for a class that neither side has."""
    hits = np.diag(matrix).astype(float)
    union = matrix.sum(0) + matrix.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(matrix), np.nan), where=union > 0)


def mean_iou(matrix: np.ndarray) -> float:
    """Mean over the classes that occur; NaN where there are none."""
    iou = class_iou(matrix)
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")


def pixel_accuracy(matrix: np.ndarray) -> float:
    """Share of the labelled pixels that are right; NaN where there are none."""
    return float(np.trace(matrix) / matrix.sum()) if matrix.sum() else float("nan")


def boundary_counts(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Boundary pixels of each class and how many lie near the other side's, int64 (K,4).

    The columns: predicted boundary pixels, those of them near a true one, true boundary pixels, those of them near a
    predicted one. Near is within TOLERANCE of the diagonal, rounded up. A boundary is a pixel whose right, lower
    or lower right neighbour is on the other side of the class's edge, whichever side it is on itself (Perazzi et al.,
    CVPR 2016); it does not count where one of the two has no label.

    Args: as `confusion_matrix`.
    """
    prediction = np.where(truth == IGNORE, IGNORE, prediction)
    reach = int(np.ceil(TOLERANCE * np.hypot(*truth.shape)))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    known = truth != IGNORE
    counts = np.zeros((classes, 4), np.int64)
    for k in np.union1d(prediction, truth):
        if k == IGNORE:
            continue
        found, wanted = (_boundary(each == k, known) for each in (prediction, truth))
        near_wanted, near_found = (cv2.dilate(each.astype(np.uint8), disk) > 0 for each in (wanted, found))
        counts[k] = found.sum(), (found & near_wanted).sum(), wanted.sum(), (wanted & near_found).sum()
    return counts


def _boundary(mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool (H,W): one of the three neighbours is not as the pixel is in a class's mask, and both are known."""
    edge = np.zeros(mask.shape, bool)
    height, width = mask.shape
    for rows, columns in ((0, 1), (1, 0), (1, 1)):
        here, there = (slice(height - rows), slice(width - columns)), (slice(rows, None), slice(columns, None))
        edge[here] |= (mask[here] != mask[there]) & known[here] & known[there]
    return edge


def boundary_f(counts: np.ndarray) -> float:
    """Mean F over the classes with a boundary, from counts (K,4); NaN where none has one."""
    found, hit, wanted, met = counts.T.astype(float)
    present = (found + wanted) > 0
    precision = np.divide(hit, found, out=np.zeros(len(counts)), where=found > 0)
    recall = np.divide(met, wanted, out=np.zeros(len(counts)), where=wanted > 0)
    total = precision + recall
    f = np.divide(2 * precision * recall, total, out=np.zeros(len(counts)), where=total > 0)
    return float(f[present].mean()) if present.any() else float("nan")


@dataclass
class SemanticScore:
    """Sums over a set of images."""

    names: Sequence[str]  # of the K classes
    matrix: np.ndarray = field(init=False)  # int64 (K,K)
    boundaries: np.ndarray = field(init=False)  # int64 (K,4)

    def __post_init__(self) -> None:
        self.matrix = np.zeros((len(self.names),) * 2, np.int64)
        self.boundaries = np.zeros((len(self.names), 4), np.int64)

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        """Counts an image, ids (H,W) as in `confusion_matrix`; returns the image's own figures."""
        matrix = confusion_matrix(truth, prediction, len(self.names))
        boundaries = boundary_counts(truth, prediction, len(self.names))
        self.matrix += matrix
        self.boundaries += boundaries
        return _figures(matrix, boundaries)

    def merge(self, other: Self) -> None:
        """Adds another set's sums."""
        self.matrix += other.matrix
        self.boundaries += other.boundaries

    def results(self) -> dict[str, float]:
        """miou, pixel_accuracy, boundary_f, and iou/<class> of the classes that occur."""
        classes = {f"iou/{n}": float(v) for n, v in zip(self.names, class_iou(self.matrix), strict=True) if v == v}
        return _figures(self.matrix, self.boundaries) | classes


def _figures(matrix: np.ndarray, boundaries: np.ndarray) -> dict[str, float]:
    return {
        "miou": mean_iou(matrix),
        "pixel_accuracy": pixel_accuracy(matrix),
        "boundary_f": boundary_f(boundaries),
    }

"""Panoptic quality (Kirillov et al., CVPR 2019) with void and crowd regions.

A panoptic map is integers (H,W): class * INSTANCES + instance. Stuff has instance 0; a thing with instance 0 is a
crowd region of its class, in the ground truth alone; VOID has no label, or no prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

INSTANCES = 1000
VOID = -1


@dataclass
class PanopticScore:
    """Sums over a set of images."""

    names: Sequence[str]  # of the K classes
    things: Sequence[bool]  # which of them are things
    sums: np.ndarray = field(init=False)  # float64 (K,4): sum of IoU, TP, FP, FN

    def __post_init__(self) -> None:
        self.sums = np.zeros((len(self.names), 4))

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        """Counts an image, two panoptic maps; returns the image's own figures.

        Raises ValueError for shapes that differ, or a class beyond K - 1.
        """
        own = PanopticScore(self.names, self.things)
        own.sums = match_segments(truth, prediction, self.things)
        self.merge(own)
        return {name: value for name, value in own.results().items() if "/" not in name}

    def merge(self, other: Self) -> None:
        """Adds another set's sums."""
        self.sums += other.sums

    def results(self) -> dict[str, float]:
        """pq, sq, rq, then of things and of stuff (pq_things, ...), and pq/<class>; means over classes that occur."""
        iou, hits, extra, missed = self.sums.T
        occurs = hits + extra + missed > 0
        sq = np.divide(iou, hits, out=np.zeros(len(iou)), where=hits > 0)
        rq = np.divide(hits, hits + (extra + missed) / 2, out=np.zeros(len(iou)), where=occurs)
        values = {"pq": sq * rq, "sq": sq, "rq": rq}
        things = np.array(self.things, bool)
        figures = {}
        for suffix, group in (("", np.ones_like(things)), ("_things", things), ("_stuff", ~things)):
            chosen = group & occurs
            for name, value in values.items():
                figures[name + suffix] = float(value[chosen].mean()) if chosen.any() else float("nan")
        return figures | {f"pq/{self.names[k]}": float(values["pq"][k]) for k in np.flatnonzero(occurs)}


def match_segments(truth: np.ndarray, prediction: np.ndarray, things: Sequence[bool]) -> np.ndarray:
    """Sum of IoU, TP, FP and FN of each class, float64 (K,4); see `PanopticScore.add`.

    Segments match where the class is equal and IoU > 0.5, which makes the match unique; the union leaves out what the
    prediction has on void. Crowds neither match nor miss. A prediction of which more than half lies on void or a
    crowd of its class is no false positive.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"match_segments: {truth.shape} and {prediction.shape} are not the same pixels")
    wanted, wanted_at, wanted_area = np.unique(truth, return_inverse=True, return_counts=True)
    found, found_at, found_area = np.unique(prediction, return_inverse=True, return_counts=True)
    pairs = np.bincount(wanted_at.ravel() * len(found) + found_at.ravel(), minlength=len(wanted) * len(found))
    overlap = pairs.reshape(len(wanted), len(found))
    wanted_class, found_class = wanted // INSTANCES, found // INSTANCES
    if max(wanted_class.max(), found_class.max()) >= len(things):
        raise ValueError(f"match_segments: a class beyond {len(things) - 1}")
    void = wanted == VOID
    is_thing = np.array([*things, False])  # the last is void's, whose class is -1
    crowd = is_thing[wanted_class] & (wanted % INSTANCES == 0) & ~void
    on_void = overlap[void].sum(0)
    union = wanted_area[:, None] + found_area[None] - overlap - on_void[None]
    same = wanted_class[:, None] == found_class[None]
    counts = ~(void | crowd)[:, None] & (found != VOID)[None]
    matched = same & counts & (2 * overlap > union)
    excused = on_void + (overlap * (same & crowd[:, None])).sum(0)
    missed = ~(void | crowd) & ~matched.any(1)
    extra = (found != VOID) & ~matched.any(0) & ~(2 * excused > found_area)
    sums = np.zeros((len(things), 4))
    rows, columns = np.nonzero(matched)
    np.add.at(sums[:, 0], wanted_class[rows], overlap[rows, columns] / union[rows, columns])
    np.add.at(sums[:, 1], wanted_class[rows], 1)
    np.add.at(sums[:, 2], found_class[extra], 1)
    np.add.at(sums[:, 3], wanted_class[missed], 1)
    return sums

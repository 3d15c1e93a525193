"""Evaluation protocols as data, and ground truth reduced to the pixels that count under one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from depth.types import DepthPixels, EvalSample


@dataclass(frozen=True)
class Protocol:
    """Which pixels count and how predictions are clamped. Depths in metres."""

    name: str
    ground_truth: str | None  # which of a data set's; None is its own
    depth_above: float  # ground truth counts where it is strictly above this
    depth_below: float | None  # and strictly below this; None: no upper limit
    crop: tuple[float, float, float, float] | None  # top, bottom, left, right as shares of height and width
    description: str  # the mask in words
    min_depth: float = 1e-3  # predictions are clamped to [min_depth, max_depth] after scaling
    max_depth: float = 80.0


# Garg et al., ECCV 2016; the numbers every table on the Eigen split uses.
_GARG_CROP = (0.40810811, 0.99189189, 0.03594771, 0.96405229)

PROTOCOLS = {
    "eigen": Protocol("eigen", "velodyne", 1e-3, 80.0, _GARG_CROP, "velodyne ground truth, Garg crop"),
    "eigen_benchmark": Protocol("eigen_benchmark", "improved", 0.0, None, None, "improved ground truth, no crop"),
    "frames": Protocol("frames", None, 1e-3, 80.0, None, "the manifest's ground truth, no crop"),
    "synthetic": Protocol("synthetic", "dense", 1e-3, 80.0, None, "exact dense ground truth, no crop"),
}


def counted_pixels(truth: DepthPixels, protocol: Protocol) -> DepthPixels:
    """The pixels inside the protocol's crop and range, in their order. `truth` has its rows in order."""
    (height, width), (top, bottom, left, right) = truth.shape, protocol.crop or (0, 1, 0, 1)
    # The casts to int, not rounding, are part of the protocol. Rows are in order, so theirs is a slice.
    first, last = np.searchsorted(truth.rows, (int(top * height), int(bottom * height)))
    rows, columns, depth = (values[first:last] for values in (truth.rows, truth.columns, truth.depth))
    counts = depth > protocol.depth_above
    if protocol.depth_below is not None:
        counts &= depth < protocol.depth_below
    if protocol.crop is not None:
        counts &= columns >= int(left * width)
        counts &= columns < int(right * width)
    return DepthPixels(truth.shape, rows[counts], columns[counts], depth[counts])


def prepare_sample(sample: EvalSample, protocol: Protocol) -> EvalSample:
    """The sample with the ground truth that counts. Made for loader processes, and for keeping over epochs."""
    return replace(sample, truth=counted_pixels(sample.truth, protocol))


def prepare_batch(samples: Sequence[EvalSample], protocol: Protocol) -> list[EvalSample]:
    """`prepare_sample` over a batch; with functools.partial, a DataLoader's collate_fn."""
    return [prepare_sample(sample, protocol) for sample in samples]

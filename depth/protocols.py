"""Evaluation protocols as data, and ground truth reduced to the pixels that count under one.

A scan covers about one pixel in twenty, so a list of valid pixels is smaller and faster than a map and its mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from depth.types import EvalSample


@dataclass(frozen=True)
class Protocol:
    """Which pixels count and how predictions are clamped. Depths in metres."""

    name: str
    ground_truth: Literal["velodyne", "improved", "dense"]
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
    "synthetic": Protocol("synthetic", "dense", 1e-3, 80.0, None, "exact dense ground truth, no crop"),
}


@dataclass(frozen=True)
class PreparedSample:
    """An image to be predicted and the ground truth's valid pixels, in row-major order."""

    image: Tensor  # uint8 (3,h,w) at the network's input size
    name: str
    shape: tuple[int, int]  # (Hg,Wg) of the ground truth
    rows: np.ndarray  # int32 (P,)
    columns: np.ndarray  # int32 (P,)
    depth: np.ndarray  # float32 (P,), metres


def valid_mask(depth: np.ndarray, protocol: Protocol) -> np.ndarray:
    """True where ground truth (Hg,Wg) in metres counts: bool (Hg,Wg)."""
    window = _window(depth.shape, protocol)
    mask = np.zeros(depth.shape, bool)
    mask[window] = depth[window] > protocol.depth_above
    if protocol.depth_below is not None:
        mask[window] &= depth[window] < protocol.depth_below
    return mask


def _window(shape: tuple[int, int], protocol: Protocol) -> tuple[slice, slice]:
    """The rows and columns inside the crop. The casts to int, not rounding, are part of the protocol."""
    (height, width), (top, bottom, left, right) = shape, protocol.crop or (0, 1, 0, 1)
    return slice(int(top * height), int(bottom * height)), slice(int(left * width), int(right * width))


def prepare_sample(sample: EvalSample, protocol: Protocol) -> PreparedSample:
    """Keeps the pixels of `valid_mask`. Made for loader processes, and for keeping over epochs."""
    window = _window(sample.depth.shape, protocol)
    inside = np.ascontiguousarray(sample.depth[window], np.float32)
    pixels = np.flatnonzero(inside > protocol.depth_above).astype(np.int32)
    depth = inside.reshape(-1).take(pixels)
    if protocol.depth_below is not None:  # of the few that a scan leaves, not of the whole map
        near = depth < protocol.depth_below
        pixels, depth = pixels[near], depth[near]
    rows, columns = np.divmod(pixels, np.int32(inside.shape[1]))
    rows += np.int32(window[0].start)
    columns += np.int32(window[1].start)
    return PreparedSample(sample.image, sample.name, sample.depth.shape, rows, columns, depth)


def prepare_batch(samples: Sequence[EvalSample], protocol: Protocol) -> list[PreparedSample]:
    """`prepare_sample` over a batch; with functools.partial, a DataLoader's collate_fn."""
    return [prepare_sample(sample, protocol) for sample in samples]

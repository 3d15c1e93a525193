"""Evaluation protocols as data, and ground truth reduced to the pixels that count under one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from depth.types import DepthPixels, EvalSample

Crop = tuple[float, float, float, float]  # top, bottom, left, right as shares of height and width


@dataclass(frozen=True)
class Protocol:
    """Which pixels count and how predictions are clamped. Depths in metres."""

    name: str
    ground_truth: str | None  # which of a data set's; None is its own
    depth_above: float  # ground truth counts where it is strictly above this
    depth_below: float | None  # and strictly below this; None: no upper limit
    crop: Crop | None
    truth: str  # the ground truth in words
    min_depth: float = 1e-3  # predictions are clamped to [min_depth, max_depth] after scaling
    max_depth: float = 80.0
    aspect: float | None = None  # width / height of the part of the image, around its centre, that is looked at at all
    figures: tuple[str, ...] | None = None  # of the table, where they are not METRICS; log10 is counted where it is one

    @property
    def description(self) -> str:
        """Ground truth, crop and, where it is another than usual, where the range begins."""
        crop = "no crop" if self.crop is None else f"{_NAMES.get(self.crop, 'own')} crop"
        words = [self.truth, crop] + ([f"images cut to {self.aspect:g}:1"] if self.aspect else [])
        return ", ".join(words + ([f"from {self.depth_above:g} m"] if self.depth_above > _USUAL_LEAST else []))


_USUAL_LEAST = 1e-3
# Garg et al., ECCV 2016, the one of every table on the Eigen split; Eigen et al., NeurIPS 2014.
CROPS: dict[str, Crop | None] = {
    "none": None,
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
_NAMES = {CROPS["garg"]: "Garg", CROPS["eigen"]: "Eigen"}
_MANIFEST = "the manifest's ground truth"
_MAKE3D = ("abs_rel", "sq_rel", "rmse", "log10")  # those of Godard et al.'s table

PROTOCOLS = {
    "eigen": Protocol("eigen", "velodyne", 1e-3, 80.0, CROPS["garg"], "velodyne ground truth"),
    "eigen_benchmark": Protocol("eigen_benchmark", "improved", 0.0, None, None, "improved ground truth"),
    "frames": Protocol("frames", None, 1e-3, 80.0, None, _MANIFEST),
    "synthetic": Protocol("synthetic", "dense", 1e-3, 80.0, None, "exact dense ground truth"),
    # Guizilini et al., CVPR 2020: lidar up to 200 m.
    "ddad": Protocol("ddad", None, 0.0, 200.0, None, _MANIFEST, max_depth=200.0),
    # Godard et al., CVPR 2017: the middle of the image at 2:1, and the error C1 of Karsch et al.: below 70 m.
    "make3d": Protocol(
        "make3d", None, 0.0, 70.0, None, f"{_MANIFEST} (C1)", max_depth=70.0, aspect=2.0, figures=_MAKE3D
    ),
}


def adapted(
    protocol: Protocol,
    min_depth: float | None = None,
    max_depth: float | None = None,
    crop: str | None = None,
    truth: str | None = None,
) -> Protocol:
    """A protocol with other limits of ground truth and predictions, metres, another crop (of CROPS), another truth."""
    if min_depth is not None:
        protocol = replace(protocol, depth_above=min_depth, min_depth=min_depth)
    if max_depth is not None:
        protocol = replace(protocol, depth_below=max_depth, max_depth=max_depth)
    if crop is not None:
        protocol = replace(protocol, crop=CROPS[crop])
    return protocol if truth is None else replace(protocol, truth=truth)


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

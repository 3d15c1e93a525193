"""Depth evaluation: the seven metrics, and a split that is scored while the network goes on predicting.

The prediction is sampled at the ground truth's valid pixels alone, an order of magnitude less work than resizing all
of it, masking and gathering.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from depth.evaluation.protocols import Protocol
from depth.metrics.depth import log10_error
from depth.types import DepthPixels, EvalSample, UserError

METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "d1", "d2", "d3")


@dataclass(frozen=True)
class Scaling:
    """How predictions get their unit: times `factor`, then per image times the ratio of medians if `median`."""

    median: bool = True
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise UserError(f"the depth scale factor {self.factor} is not a positive number")


# Samples and the position of the first one in the split -> inverse depth (B,h,w) in 1/m, any h and w from 2 on.
Predictor = Callable[[Sequence[EvalSample], int], np.ndarray]


@dataclass(frozen=True)
class ImageResult:
    """One image's row."""

    index: int  # position in the split
    name: str
    errors: tuple[float, ...]  # in the order of EvaluationResult.metrics
    ratio: float  # median ground truth / median prediction, whether or not it was applied
    pixels: int  # valid pixels


@dataclass(frozen=True)
class EvaluationResult:
    """All rows of a split, in its order, and the names of images without a valid pixel."""

    rows: tuple[ImageResult, ...]
    skipped: tuple[str, ...]
    protocol: Protocol
    scaling: Scaling

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the rows' errors are: METRICS, and log10 where it is one of the protocol's figures."""
        return METRICS + (("log10",) if "log10" in (self.protocol.figures or ()) else ())

    @property
    def means(self) -> dict[str, float]:
        """Metric name -> mean over images. Raises UserError where no image has a valid pixel."""
        if not self.rows:
            why = f"none of the {len(self.skipped)} images has a valid ground-truth pixel ({self.protocol.description})"
            raise UserError(why)
        return dict(zip(self.metrics, np.mean([row.errors for row in self.rows], axis=0).tolist(), strict=True))

    @property
    def ratio_median(self) -> float:
        """Median of the images' scale ratios."""
        return float(np.median([row.ratio for row in self.rows]))

    @property
    def ratio_spread(self) -> float:
        """Standard deviation of the scale ratios divided by their median."""
        return float(np.std([row.ratio for row in self.rows])) / self.ratio_median

    def extremes(self) -> dict[str, ImageResult]:
        """The rows with the best, the median and the worst Abs Rel, by those names."""
        ordered = sorted(self.rows, key=lambda row: row.errors[0])
        return {"best": ordered[0], "median": ordered[len(ordered) // 2], "worst": ordered[-1]}


def depth_errors(truth: np.ndarray, prediction: np.ndarray) -> tuple[float, ...]:
    """The seven metrics of one image (Eigen et al., NeurIPS 2014), in the order of METRICS.

    Args:
        truth, prediction: (P,) floats, metres, positive and finite; P > 0.

    Returns:
        Abs Rel, Sq Rel (m), RMSE (m), RMSE log, and the shares with max(truth/prediction, prediction/truth)
        below 1.25, 1.25^2, 1.25^3. Raises ValueError for empty arrays and shapes that differ.
    """
    if truth.ndim != 1 or truth.shape != prediction.shape or not truth.size:
        raise ValueError(f"depth_errors: {truth.shape} and {prediction.shape} are not two lists of the same pixels")
    difference = prediction - truth
    relative = difference / truth
    ratio = prediction / truth
    log_ratio = np.log(ratio)
    largest = np.maximum(ratio, 1 / ratio)
    return (
        float(np.abs(relative).mean()),
        float((difference * relative).mean()),
        math.sqrt((difference * difference).mean()),
        math.sqrt((log_ratio * log_ratio).mean()),
        *(np.count_nonzero(largest < 1.25**power) / truth.size for power in (1, 2, 3)),
    )


def median_scale(truth: np.ndarray, prediction: np.ndarray) -> float:
    """median(truth) / median(prediction) of (P,) arrays, P > 0."""
    return _median(truth) / _median(prediction)


def _median(values: np.ndarray) -> float:
    """np.median's value by one selection: eight times faster, since np.median asks for three ranks at once."""
    half = values.size // 2
    parted = np.partition(values, half)
    upper = float(parted[half])
    return upper if values.size % 2 else 0.5 * (float(parted[:half].max()) + upper)


@lru_cache(maxsize=32)
def _axis_weights(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower neighbour (intp) and upper neighbour's weight (float32) of each target pixel on one axis.

    Pixel centres lie at half-integers and the border repeats: cv2.resize's bilinear convention.
    """
    position = ((np.arange(target) + 0.5) * (source / target) - 0.5).clip(0, source - 1)
    lower = np.minimum(position.astype(np.intp), source - 2)
    return lower, (position - lower).astype(np.float32)


def sample_bilinear(grid: np.ndarray, pixels: DepthPixels) -> np.ndarray:
    """What cv2.resize(grid, (Wg,Hg)) holds at the ground truth's pixels, to float32 rounding.

    `grid` is float32 (h,w), contiguous, h and w at least 2; the result is float32 (P,).
    """
    height, width = grid.shape
    row, row_weight = _axis_weights(height, pixels.shape[0])
    column, column_weight = _axis_weights(width, pixels.shape[1])
    corner = (row * width).take(pixels.rows)
    corner += column.take(pixels.columns)
    along = column_weight.take(pixels.columns)
    flat = grid.reshape(-1)
    upper, lower = (_between(line.take(corner), line[1:].take(corner), along) for line in (flat, flat[width:]))
    return _between(upper, lower, row_weight.take(pixels.rows))


def _between(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """first + weight (second - first); both inputs are overwritten, which spares two allocations a call."""
    second -= first
    second *= weight
    first += second
    return first


def align(
    inverse_depth: np.ndarray, sample: EvalSample, protocol: Protocol, scaling: Scaling
) -> tuple[np.ndarray, float]:
    """Predicted depth at a sample's valid pixels: sampled, inverted, scaled, clamped.

    Args:
        inverse_depth: float32 (h,w), 1/m.

    Returns:
        depth (P,) in metres, and the ratio of medians before any median scaling.

    Raises:
        UserError: a value that counts is not positive and finite; names the image.
    """
    with np.errstate(invalid="ignore"):  # infinities are reported below
        sampled = sample_bilinear(inverse_depth, sample.truth)
    if not (sampled.min() > 0 and sampled.max() < math.inf):
        raise UserError(f"the prediction for {sample.name} holds inverse depths that are not positive and finite")
    depth = scaling.factor / sampled
    ratio = median_scale(sample.truth.depth, depth)
    if scaling.median:
        depth *= ratio
    return np.clip(depth, protocol.min_depth, protocol.max_depth, out=depth), ratio


def evaluate_split(
    predictor: Predictor,
    batches: Iterable[Sequence[EvalSample]],
    protocol: Protocol,
    scaling: Scaling = Scaling(),
) -> EvaluationResult:
    """Scores every image; a thread computes the metrics of earlier batches while the next one is predicted.

    Images without a valid ground-truth pixel have no metric: they are left out of the means and named in `skipped`.

    Args:
        predictor: see `Predictor`.
        batches: the split in its order, prepared with the same protocol.
        protocol, scaling: how to mask, scale and clamp.

    Raises:
        UserError: a prediction is not positive and finite.
        ValueError: the predictor returns another shape than (B,h,w).
    """
    scored: list[ImageResult] = []
    first = 0
    with ThreadPoolExecutor(1) as pool:
        pending: deque = deque()
        for batch in batches:
            predictions = predictor(batch, first)
            if predictions.ndim != 3 or len(predictions) != len(batch):
                raise ValueError(f"the predictor made {predictions.shape} of a batch of {len(batch)}")
            pending.append(pool.submit(_score_batch, batch, predictions, first, protocol, scaling))
            first += len(batch)
            if len(pending) > 2:  # bounds the predictions that wait in memory
                scored += pending.popleft().result()
        for future in pending:
            scored += future.result()
    rows = tuple(row for row in scored if row.pixels)  # none, perhaps, where this is one process's share
    return EvaluationResult(rows, tuple(row.name for row in scored if not row.pixels), protocol, scaling)


def _score_batch(
    batch: Sequence[EvalSample], predictions: np.ndarray, first: int, protocol: Protocol, scaling: Scaling
) -> list[ImageResult]:
    """A row per image; without errors where the image has no valid pixel."""
    scored = []
    for index, (sample, prediction) in enumerate(zip(batch, predictions, strict=True), start=first):
        if sample.truth.depth.size:
            depth, ratio = align(prediction, sample, protocol, scaling)
            errors = depth_errors(sample.truth.depth, depth)
            errors += (log10_error(sample.truth.depth, depth),) if "log10" in (protocol.figures or ()) else ()
            scored.append(ImageResult(index, sample.name, errors, ratio, depth.size))
        else:
            scored.append(ImageResult(index, sample.name, (), math.nan, 0))
    return scored


def merge_results(parts: Sequence[EvaluationResult]) -> EvaluationResult:
    """One result of several processes', of which r of n evaluated the images r, r + n, ...; in the split's order."""
    world = len(parts)
    rows = [replace(row, index=row.index * world + rank) for rank, part in enumerate(parts) for row in part.rows]
    rows.sort(key=lambda row: row.index)
    skipped = tuple(name for part in parts for name in part.skipped)
    return EvaluationResult(tuple(rows), skipped, parts[0].protocol, parts[0].scaling)

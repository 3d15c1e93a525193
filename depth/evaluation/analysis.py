"""Why a model is better or worse: errors at depth edges, copied texture, gradients by term, honest intervals.

Pure functions on single images and lists of per-image numbers; definitions and thresholds are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

EDGE = 0.1  # least bend of the inverse depth over a pixel, relative to the nearest of its three pixels
_DRAWS = 10_000  # of the bootstrap
BAND = 3.0  # pixels around a depth edge that count as its neighbourhood
SIGMA = 2.0  # pixels; details finer than this are high frequency
MARGIN = 2  # pixels left out along a surface's outline, where pixels mix it with what is behind
LEAST_PIXELS = 300  # of a surface, so that a correlation by chance stays below about 0.06
LEAST_TEXTURE = 0.01  # standard deviation of a textured surface's high frequencies, in grey of [0,1]


def depth_edges(depth: np.ndarray) -> np.ndarray:
    """True at the pixels on both sides of a depth edge: (H,W) metres, 0 for the sky -> bool (H,W).

    A plane's inverse depth is linear in the pixel coordinates, so its second difference is 0 at any slant; a first
    difference would take the far road for an edge.
    """
    inverse = np.divide(1.0, depth, out=np.zeros(depth.shape), where=depth > 0)
    edges = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        line, found = np.moveaxis(inverse, axis, 0), np.moveaxis(edges, axis, 0)
        bend = np.abs(line[:-2] - 2 * line[1:-1] + line[2:])
        largest = np.maximum(np.maximum(line[:-2], line[1:-1]), line[2:])
        found[1:-1] |= bend > EDGE * np.maximum(largest, 1e-9)
    return edges


def near(mask: np.ndarray, pixels: float = BAND) -> np.ndarray:
    """True within so many pixels (Euclidean, centre to centre) of a True pixel: bool (H,W) -> bool (H,W)."""
    if not mask.any():
        return np.zeros(mask.shape, bool)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= pixels + 1e-3


def boundary_errors(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """Abs Rel within BAND of the truth's depth edges, and elsewhere; NaN where there are no such pixels.

    Args:
        truth: (H,W) metres, dense, 0 for the sky: an edge against it is one.
        prediction: (H,W) metres, scaled and clamped; read at valid pixels alone.
        valid: bool (H,W), True where an error counts; there the truth is above 0.
    """
    band = near(depth_edges(truth))
    error = np.abs(prediction - truth)[valid] / truth[valid]
    at_edge = band[valid]
    return _mean(error[at_edge]), _mean(error[~at_edge])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


@dataclass(frozen=True)
class TextureCopy:
    """What of the image's texture is in the predicted disparity of flat surfaces; pixel-weighted over surfaces."""

    energy: float  # root mean square of the disparity's high frequencies, relative to the surface's mean disparity
    correlation: float  # of their size with the image's: mean of |Pearson's r|; 0 is none, 1 a copy
    pixels: int


def texture_copy(disparity: np.ndarray, grey: np.ndarray, surfaces: np.ndarray) -> TextureCopy | None:
    """High frequencies of a predicted disparity inside flat textured surfaces, and whether they are the image's.

    The true disparity of a plane is linear in the pixel coordinates: any high frequency is invented.

    Args:
        disparity: (H,W), inverse depth in any unit, positive.
        grey: (H,W) in [0,1], the image.
        surfaces: ids of planar surfaces (H,W), 0 where there is none.

    Returns None where no surface is large and textured enough.
    """
    energies, correlations, weights = [], [], []
    for index in np.unique(surfaces[surfaces > 0]):
        mask = cv2.erode((surfaces == index).astype(np.uint8), np.ones((2 * MARGIN + 1,) * 2), borderValue=0) > 0
        if np.count_nonzero(mask) < LEAST_PIXELS:
            continue
        rows, columns = (slice(axis.min(), axis.max() + 1) for axis in np.nonzero(mask))
        inside = mask[rows, columns]
        texture = _detail(grey[rows, columns], inside)
        if texture.std() < LEAST_TEXTURE:
            continue
        detail = _detail(disparity[rows, columns], inside)
        energies.append(np.sqrt((detail**2).mean()) / disparity[mask].mean())
        spread = detail.std() * texture.std()
        covariance = ((detail - detail.mean()) * (texture - texture.mean())).mean()
        # A perfect plane leaves rounding, in which there is nothing to be found.
        flat = energies[-1] < 1e-6
        correlations.append(0.0 if flat else abs(covariance) / spread)
        weights.append(inside.sum())
    if not weights:
        return None
    return TextureCopy(
        float(np.average(energies, weights=weights)), float(np.average(correlations, weights=weights)), sum(weights)
    )


def _detail(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """High frequencies inside a mask: values less their plane, less a blur that sees the mask alone. (P,)"""
    row, column = np.nonzero(mask)
    design = np.stack([row, column, np.ones(row.size)], 1).astype(np.float64)
    inside = values[mask].astype(np.float64)
    rest = np.zeros(mask.shape)
    rest[mask] = inside - design @ np.linalg.lstsq(design, inside, rcond=None)[0]
    weight = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), SIGMA, borderType=cv2.BORDER_CONSTANT)
    blurred = cv2.GaussianBlur(rest, (0, 0), SIGMA, borderType=cv2.BORDER_CONSTANT)
    return rest[mask] - blurred[mask] / weight[mask]


def term_gradients(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], parameters: Sequence[Tensor], reference: str
) -> dict[str, dict[str, float]]:
    """What each weighted term asks of the parameters: name -> its gradient's norm, and cosine with the reference's.

    terms: scalars of one graph; those that do not reach the parameters have norm 0 and cosine 0.
    """
    gradients = {}
    for name, value in terms.items():
        parts = (
            torch.autograd.grad(weights[name] * value, parameters, retain_graph=True, allow_unused=True)
            if value.requires_grad
            else [None] * len(parameters)
        )
        filled = [torch.zeros_like(p) if g is None else g for g, p in zip(parts, parameters, strict=True)]
        gradients[name] = torch.cat([g.reshape(-1).double() for g in filled])
    main = gradients[reference]
    found = {}
    for name, gradient in gradients.items():
        scale = (gradient.norm() * main.norm()).item()
        cosine = (gradient @ main).item() / scale if scale else 0.0
        found[name] = {"norm": gradient.norm().item(), "cosine": cosine}
    return found


def bootstrap_interval(
    differences: np.ndarray,
    groups: Sequence[str] | None = None,
) -> tuple[float, float]:
    """95 % percentile interval of the mean of per-image differences (M,), by drawing with replacement.

    Paired: the differences are of two models on the same image. What is drawn is images or, with `groups`, the name of
    each image's group, whole groups: frames of one drive show the same street, and an interval that takes them for
    independent is too narrow. Of one group alone images are drawn: too narrow, but one group tells nothing. Raises
    ValueError for an empty list, or names that are not one an image.
    """
    if differences.ndim != 1 or not differences.size or (groups is not None and len(groups) != differences.size):
        raise ValueError(f"bootstrap_interval takes (M,) differences and M groups, got {differences.shape}")
    several = groups is not None and len(set(groups)) > 1
    _, member = np.unique(groups if several else np.arange(differences.size), return_inverse=True)
    sums, counts = np.bincount(member, differences), np.bincount(member)
    generator = np.random.default_rng(0)
    means = []
    for _ in range(_DRAWS // 1000):
        drawn = generator.integers(0, sums.size, (1000, sums.size))
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) over seeds; the spread of a single one is NaN."""
    array = np.asarray(values, float)
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else float("nan")


@dataclass(frozen=True)
class PairedDifference:
    """Mean of per-image differences of two models, with what can be said of its certainty."""

    mean: float  # over pairs of runs and images
    low: float  # 95 % interval over pairs and images; of one pair over images alone
    high: float
    spread: float  # standard deviation of the pairs' means; NaN for one pair
    agree: bool  # whether the pairs' means have one sign


def paired_difference(differences: np.ndarray, groups: Sequence[str] | None) -> PairedDifference:
    """Summary of differences (S,M) of S pairs of runs, say seeds, on the same M images.

    The interval's arms are the root of the summed squares of two: `bootstrap_interval`'s, of the images' differences
    averaged over the pairs, with `groups` as there; and Student's t's of the pairs' means, since no drawing makes many
    of a few pairs. What images and pairs do only together is counted in both, so it errs on the wide side. Raises
    ValueError for empty arrays.
    """
    low, high = bootstrap_interval(differences.mean(0), groups)
    pairs = differences.mean(1)
    mean, spread = mean_and_spread(pairs)
    of_pairs = 0.0 if pairs.size == 1 else float(stdtrit(pairs.size - 1, 0.975)) * spread / math.sqrt(pairs.size)
    low, high = mean - math.hypot(mean - low, of_pairs), mean + math.hypot(high - mean, of_pairs)
    return PairedDifference(mean, low, high, spread, bool((pairs > 0).all() or (pairs < 0).all()))

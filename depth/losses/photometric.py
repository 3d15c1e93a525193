"""Photometric reprojection: SSIM + L1, minimum over sources, auto-mask (Godard et al., ICCV 2019, section 3).

Everything is float32: SSIM of a natural pair reads .011 in float32 and .066 in bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from depth.types import WHOLE

C1 = 0.01**2
C2 = 0.03**2
SSIM_SHARE = 0.85


@dataclass(frozen=True)
class WindowStatistics:
    """Mean and variance of an image in every 3x3 window, both shaped like the image (...,H,W)."""

    mean: Tensor
    variance: Tensor


def window_mean(image: Tensor) -> Tensor:
    """3x3 mean of every pixel with reflection padding: (...,H,W) -> (...,H,W). H, W >= 2."""
    planes = image.reshape(-1, 1, *image.shape[-2:])
    return F.avg_pool2d(F.pad(planes, (1, 1, 1, 1), mode="reflect"), 3, 1).view(image.shape)


def window_statistics(image: Tensor) -> WindowStatistics:
    """Statistics for `ssim_distance`; compute them once for an image that is compared several times."""
    mean = window_mean(image)
    return WindowStatistics(mean, window_mean(image.square()) - mean.square())


def ssim_distance(a: Tensor, b: Tensor, a_statistics: WindowStatistics) -> Tensor:
    """(1 - SSIM)/2 per pixel, clamped to [0,1]; 3x3 mean windows (Wang et al., TIP 2004, with a box window).

    Args:
        a: (...,H,W) in [0,1]; broadcasts against b.
        b: (...,H,W) in [0,1].
        a_statistics: `window_statistics(a)`.

    Returns:
        the broadcast shape.
    """
    mean_a, variance_a = a_statistics.mean, a_statistics.variance
    mean_b = window_mean(b)
    variance_b = window_mean(b.square()) - mean_b.square()
    covariance = window_mean(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    denominator = (mean_a.square() + mean_b.square() + C1) * (variance_a + variance_b + C2)
    return ((1 - numerator / denominator) / 2).clamp(0, 1)


def photometric_error(target: Tensor, image: Tensor, statistics: WindowStatistics, no_ssim: bool = False) -> Tensor:
    """pe = 0.85 (1 - SSIM)/2 + 0.15 |a - b|, averaged over colour.

    Args:
        target: (B,1,3,1,H,W) in [0,1].
        image: (B,N,3,S,H,W) in [0,1].
        statistics: of the target.
        no_ssim: True leaves the L1 term alone, unweighted.

    Returns:
        (B,N,S,H,W).
    """
    absolute = (target - image).abs().mean(2)
    if no_ssim:
        return absolute
    return SSIM_SHARE * ssim_distance(target, image, statistics).mean(2) + (1 - SSIM_SHARE) * absolute


def min_reprojection(
    target: Tensor,
    synthesized: Tensor,
    sources: Tensor,
    *,
    automask: bool = True,
    average: bool = False,
    no_ssim: bool = False,
    seen: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Photometric error of each pixel and scale, and which pixels take part.

    Args:
        target: (B,3,H,W) in [0,1].
        synthesized: (B,N,3,S,H,W), the warped sources.
        sources: (B,N,3,H,W), the same sources unwarped.
        automask: the minimum also runs over the unwarped sources, so that pixels that do not move are
            ignored; their error carries 1e-5 Gaussian noise (torch's global generator), which breaks ties.
        average: mean over the sources instead of the minimum.
        no_ssim: L1 alone.
        seen: bool (B,N,S,H,W), False where a warped source shows nothing that counts: it is no candidate there. None:
            all are. A pixel without any is not active, and its error has no gradient.

    Returns:
        error (B,S,H,W), float32: the minimum, over the masked candidates too.
        active (B,S,H,W), bool: True where a warped source won.
    """
    reference = target[:, None, :, None]
    statistics = window_statistics(reference)
    errors = photometric_error(reference, synthesized, statistics, no_ssim)
    reprojection = _over_sources(errors, average) if seen is None else _over_seen(errors, seen, average)
    if not automask:
        active = reprojection != torch.inf  # NaN is to show
        return torch.where(active, reprojection, 0.0), active
    with torch.no_grad():
        still = photometric_error(reference, sources[:, :, :, None], statistics, no_ssim)
        identity = _over_sources(still + 1e-5 * torch.randn_like(still), average)
    return torch.minimum(reprojection, identity), reprojection < identity


def pixel_weights(counted: Tensor | None) -> Tensor | None:
    """Weights of pixels that make a mean over an image the mean over those that count: bool -> float32 (B,1,H,W).

    So every image weighs the same, however many of its pixels count. One in which none does weighs nothing. None where
    all count.
    """
    if counted is None:
        return None
    values = counted.float()
    return values / values.mean((-2, -1), keepdim=True).clamp_min(1.0 / counted[0].numel())


def beside_mask(sources: Tensor, counted: Tensor | None) -> Tensor:
    """Images (B,N,3,H,W) with their masks, bool (B,N,H,W), as a fourth channel, to be warped together."""
    return sources if counted is None else torch.cat([sources, counted[:, :, None].to(sources.dtype)], 2)


def split_mask(warped: Tensor) -> tuple[Tensor, Tensor | None]:
    """Warped images (B,N,3,S,H,W), and where all that SSIM's windows show counts, bool (B,N,S,H,W); None without."""
    if warped.shape[2] == 3:
        return warped, None
    mask = warped[:, :, 3].detach()
    least = -F.max_pool2d(-mask.flatten(0, 1), 3, 1, 1)
    return warped[:, :, :3], ~(least.view(mask.shape) <= WHOLE)  # a place that is NaN counts, so that the loss shows it


def _over_seen(errors: Tensor, seen: Tensor, average: bool) -> Tensor:
    """As `_over_sources`, of the sources that are seen; infinity where none is."""
    if not average:
        return torch.where(seen, errors, torch.inf).amin(1)
    number = seen.sum(1)
    mean = torch.where(seen, errors, 0.0).sum(1) / number.clamp_min(1)
    return torch.where(number > 0, mean, torch.inf)


def _over_sources(error: Tensor, average: bool) -> Tensor:
    return error.mean(1) if average else error.amin(1)

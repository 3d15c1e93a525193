"""The photometric loss and its gradient in one pass over the images, a few rows at a time.

The value is that of `photometric.min_reprojection`, whose recorded steps would write some sixty tensors of the size of
all warped images to memory. Here a stripe of rows stays in the processor's cache from the windows' sums to the
gradient, and only the gradient is kept.

With sums M, E, P of b, b^2, ab over a window, A and V of the target's a and a^2, and every factor of SSIM times 81,

    n1 = 2 A M + 81 C1       n2 = 18 P + 81 C2 - 2 A M          SSIM = n1 n2 / (d1 d2)
    d1 = A^2 + M^2 + 81 C1   d2 = 9 V - A^2 + 9 E - M^2 + 81 C2

    dSSIM/dP = 18 n1 / (d1 d2)          dSSIM/dE = -9 SSIM / d2
    dSSIM/dM = (2 A (n2 - n1) - 2 M SSIM (d2 - d1)) / (d1 d2)

and a pixel's gradient gathers these from the nine windows that hold it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from depth.losses.photometric import C1, C2, SSIM_SHARE, min_reprojection
from depth.losses.windows import box, fold, gather, inner, reflect

# Values of one tensor that a core's second-level cache of 2 MB holds beside seven others of its kind.
_CACHED_VALUES = 64 * 1024
# A pixel's error is _LEAST - _BY_SSIM (sum of SSIM over colour) + _BY_DIFFERENCE (sum of |a - b| over colour).
_LEAST, _BY_SSIM, _BY_DIFFERENCE = SSIM_SHARE / 2, SSIM_SHARE / 6, (1 - SSIM_SHARE) / 3


def reprojection_loss(
    target: Tensor,
    synthesized: Tensor,
    sources: Tensor,
    *,
    automask: bool = True,
    average: bool = False,
    no_ssim: bool = False,
    seen: Tensor | None = None,
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean of `photometric.min_reprojection`'s error, a scalar, and its active mask (B,S,H,W); arguments as there.

    `weight`, float32 (B,1,H,W), is what the pixels' errors are multiplied by; one whose weight is 0 is not active.

    Equal to float32 rounding, in value and in the gradient to `synthesized`; the other images get none. A tie of two
    sources gives its gradient to one of them, where `min_reprojection` splits it, and SSIM is not clamped where
    rounding takes it beyond 1.
    """
    if average or no_ssim or torch.compiler.is_compiling():
        error, active = min_reprojection(
            target, synthesized, sources, automask=automask, average=average, no_ssim=no_ssim, seen=seen
        )
        return (error.mean(), active) if weight is None else ((error * weight).mean(), active & (weight > 0))
    return _Reprojection.apply(target, synthesized, sources, automask, seen, weight)


class _Reprojection(torch.autograd.Function):
    """The gradient is formed beside the value: on a CPU image by image and scale by scale, on a GPU all at once."""

    @staticmethod
    def forward(
        ctx,
        target: Tensor,
        synthesized: Tensor,
        sources: Tensor,
        automask: bool,
        seen: Tensor | None,
        weight: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Value and active mask; shapes as in `reprojection_loss`."""
        batch, number, _, scales, height, width = synthesized.shape
        still_noise = None
        if automask:
            still_noise = 1e-5 * torch.randn(
                batch, number, 1, 1, height, width, dtype=target.dtype, device=target.device
            )
        active = torch.ones(batch, scales, height, width, dtype=torch.bool, device=target.device)
        slope = torch.empty_like(synthesized) if ctx.needs_input_grad[1] else None
        total = target.new_zeros(())
        for b in _parts(batch, target.device):
            reference = _Reference.of(target[b, None, :, None], None if weight is None else weight[b, None, :, None])
            identity = _identity(reference, sources[b, :, :, None], still_noise[b]) if automask else None
            for s in _parts(scales, target.device):
                image = reflect(synthesized[b, :, :, s])
                known = None if seen is None else seen[b, :, None, s]
                gathered = torch.zeros_like(image) if slope is not None else None
                for rows in _stripes(image):
                    total += _stripe(reference, image, identity, known, rows, active[b, s], gathered)
                if slope is not None:
                    slope[b, :, :, s] = fold(gathered)
        ctx.save_for_backward(slope)
        ctx.mark_non_differentiable(active)
        ctx.scale = 1.0 / active.numel()
        return total * ctx.scale, active

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream: Tensor, _active: Tensor) -> tuple[None, Tensor, None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return None, slope * (upstream * ctx.scale), None, None, None, None


@dataclass(frozen=True)
class _Reference:
    """What all images that are compared with a target share; (b,1,3,1,h,w), or h + 2 and w + 2 where it is padded."""

    padded: Tensor  # a
    product: Tensor  # 18 a, padded
    sums: Tensor  # A
    luminance: Tensor  # A^2 + 81 C1
    contrast: Tensor  # 9 V - A^2 + 81 C2
    weight: Tensor | None  # of the pixels' errors

    @classmethod
    def of(cls, target: Tensor, weight: Tensor | None) -> _Reference:
        """target: (b,1,3,1,h,w), weight: (b,1,1,1,h,w)."""
        padded = reflect(target)
        sums = box(padded)
        square = sums.square()
        contrast = box(padded.square()).mul_(9).sub_(square).add_(81 * C2)
        return cls(padded, padded * 18, sums, square.add_(81 * C1), contrast, weight)

    def rows(self, start: int, stop: int) -> _Reference:
        """The part for rows start to stop of the image; views."""
        inner, padded = slice(start, stop), slice(start, stop + 2)
        windows = [each[..., padded, :] for each in (self.padded, self.product)]
        pixels = (self.sums, self.luminance, self.contrast, self.weight)
        return _Reference(*windows, *(None if each is None else each[..., inner, :] for each in pixels))


@dataclass(frozen=True)
class _Comparison:
    """Images against the reference, with the names of the formulas above; (b,N,3,s,h,w), the error (b,N,1,s,h,w)."""

    error: Tensor
    difference: Tensor  # b - a
    sums: Tensor  # M
    n1: Tensor
    n2: Tensor
    d1: Tensor
    d2: Tensor
    inverse: Tensor  # 1 / (d1 d2)
    ssim: Tensor

    @classmethod
    def of(cls, reference: _Reference, image: Tensor) -> _Comparison:
        """image: (b,N,3,s,h+2,w+2), padded as the reference is."""
        sums = box(image)
        n1 = torch.addcmul(image.new_full((), 81 * C1), reference.sums, sums, value=2)
        n2 = box(torch.addcmul(image.new_full((), 9 * (C1 + C2)), reference.product, image)).sub_(n1)
        d1 = sums.square()
        d2 = torch.add(reference.contrast, box(image.square()), alpha=9).sub_(d1)
        d1 += reference.luminance
        inverse = (d1 * d2).reciprocal_()
        ssim = (n1 * n2).mul_(inverse)
        difference = inner(image) - inner(reference.padded)
        error = difference.abs().sum(2, keepdim=True).mul_(_BY_DIFFERENCE)
        error.sub_(ssim.sum(2, keepdim=True), alpha=_BY_SSIM).add_(_LEAST)
        return cls(error, difference, sums, n1, n2, d1, d2, inverse, ssim)

    def add_gradient(self, reference: _Reference, image: Tensor, weight: Tensor, gathered: Tensor) -> None:
        """Adds the gradient of sum(weight * error) to `gathered`, padded like `image`."""
        ratio = self.inverse * (weight * -_BY_SSIM)
        by_sum = (self.n2 - self.n1).mul_(reference.sums)
        by_sum -= (self.d2 - self.d1).mul_(self.ssim).mul_(self.sums)
        framed = ratio.new_zeros(*ratio.shape[:-2], ratio.shape[-2] + 4, ratio.shape[-1] + 4)
        gathered.add_(gather(by_sum, ratio, framed), alpha=2)
        gathered.addcmul_(reference.product, gather(self.n1, ratio, framed))
        gathered.addcmul_(image, gather(self.d1 * self.ssim, ratio, framed), value=-18)
        inner(gathered).addcmul_(self.difference.sign(), weight, value=_BY_DIFFERENCE)


def _stripe(
    reference: _Reference,
    image: Tensor,
    identity: Tensor | None,
    seen: Tensor | None,
    rows: slice,
    active: Tensor,
    gathered: Tensor | None,
) -> Tensor:
    """Sum of the error over some rows; writes them to `active` and adds their gradient to `gathered`."""
    reference, padded = reference.rows(rows.start, rows.stop), slice(rows.start, rows.stop + 2)
    image = image[..., padded, :]
    comparison = _Comparison.of(reference, image)
    candidates = comparison.error if seen is None else torch.where(seen[..., rows, :], comparison.error, torch.inf)
    error, winner = candidates.min(1, keepdim=True)
    moves = None
    if identity is not None:
        still = identity[..., rows, :]
        moves = error < still
        error = torch.minimum(error, still)
    elif seen is not None:
        moves = error != torch.inf  # NaN is to show
        error = torch.where(moves, error, 0.0)
    if moves is not None:
        active[..., rows, :] = moves[:, 0, 0]
    weight = reference.weight
    if weight is not None:
        active[..., rows, :] &= weight[:, 0, 0] > 0
        error = error * weight
    if gathered is not None:
        number = torch.arange(image.shape[1], device=image.device).view(-1, 1, 1, 1, 1)
        chosen = winner == number
        if moves is not None:
            chosen &= moves
        share = chosen.to(image.dtype) if weight is None else chosen * weight
        comparison.add_gradient(reference, image, share, gathered[..., padded, :])
    return error.sum()


def _identity(reference: _Reference, sources: Tensor, noise: Tensor) -> Tensor:
    """The least error of the unwarped sources (b,N,3,1,H,W) with noise (b,N,1,1,H,W) on it: (b,1,1,1,H,W)."""
    image = reflect(sources)
    errors = [
        _Comparison.of(reference.rows(rows.start, rows.stop), image[..., rows.start : rows.stop + 2, :]).error
        for rows in _stripes(image)
    ]
    return (torch.cat(errors, -2) + noise).amin(1, keepdim=True)


def _parts(count: int, device: torch.device) -> list[slice]:
    return [slice(i, i + 1) for i in range(count)] if device.type == "cpu" else [slice(0, count)]


def _stripes(image: Tensor) -> list[slice]:
    """Rows of a padded image (...,H+2,W+2) that are worked on at a time."""
    height = image.shape[-2] - 2
    rows = height
    if image.device.type == "cpu":
        rows = max(4, _CACHED_VALUES * torch.get_num_threads() * image.shape[-2] // image.numel())
    return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]

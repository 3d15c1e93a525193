"""Whether a branch works: does the module regenerate, does C help it, and does C carry the image's brightness?"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from depth.dejavu.branch import DejaVu
from depth.dejavu.losses import regeneration_mse

SIGMA = 2.0  # pixels; details finer than this are texture
FLAT = 0.7  # share of the pixels, those farthest from C's own edges, in which texture is looked for
REACH = 3  # pixels around an edge that belong to it


def diagnose(
    branch: DejaVu, target: Tensor, prediction: Tensor, epoch: float, loss: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    """Figures of a branch on fixed frames.

    Args:
        target: (B,3,H,W), the clean images in [0,1].
        prediction: (B,N,h,w).
        epoch: as the branch takes it.
        loss: regenerated (B,3,H,W) -> the weighted regeneration loss, a scalar.

    Returns:
        redacted, regenerated, regenerated_without_c: mean squared error against the clean image, the last with each
        channel of C replaced by its mean.
        texture: correlation of C's details with the image's away from C's edges, in [0,1]; 0 is none, 1 a copy.
        texture_growth: the same of the loss's downward gradient on C, in [-1,1]; above 0 a step enlarges what texture
            is in C. Both are means over C's channels, weighted by the energy of their details.
        gamma_share: `branch.strength`.
    """
    size = target.shape[-2:]
    redacted = branch.edit(target)
    with torch.enable_grad():
        c = branch.condition_on(prediction.detach(), size).detach().requires_grad_()
        regenerated = branch.regenerate(redacted, c)
        value = loss(regenerated)
        (gradient,) = torch.autograd.grad(value, c) if value.requires_grad else (torch.zeros_like(c),)
    mean = c.detach().mean((2, 3), keepdim=True).expand_as(c)
    without = branch.regenerate(redacted, mean)
    errors = {"redacted": redacted, "regenerated": regenerated, "regenerated_without_c": without}
    figures = {name: regeneration_mse(image, target).item() for name, image in errors.items()}
    texture, growth = texture_in(c.detach(), gradient, target)
    return figures | {"texture": texture, "texture_growth": growth, "gamma_share": branch.strength(epoch)}


def texture_in(c: Tensor, gradient: Tensor, image: Tensor) -> tuple[float, float]:
    """How alike C's details and the image's are off C's edges, and whether a step down the gradient adds to that.

    c, gradient (B,N,H,W), image (B,3,H,W) -> a correlation in [0,1], and a signed one in [-1,1].
    """
    details = detail(c)
    strength = details.abs() / details.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-12)
    near = F.max_pool2d(strength.amax(1, keepdim=True), 2 * REACH + 1, 1, REACH).flatten(1)
    flat = near <= near.quantile(FLAT, 1, keepdim=True)  # (B,H*W)
    own, downward, grey = (
        masked_unit(each.flatten(2), flat) for each in (details, -detail(gradient), detail(image.mean(1, keepdim=True)))
    )
    energy = (details.flatten(2).square() * flat[:, None]).sum(2)
    weight = energy / energy.sum().clamp_min(1e-20)
    correlation, asked = (own * grey).sum(2), (downward * grey).sum(2)
    return (weight * correlation.abs()).sum().item(), (weight * correlation.sign() * asked).sum().item()


def detail(image: Tensor) -> Tensor:
    """An image (B,C,H,W) less its blur by SIGMA."""
    side = 2 * round(3 * SIGMA) + 1
    return image - gaussian_blur2d(image, (side, side), (SIGMA, SIGMA))


def masked_unit(values: Tensor, mask: Tensor) -> Tensor:
    """(B,N,P) with mean 0 and length 1 over the pixels of a mask (B,P), 0 elsewhere; all 0 where they do not vary."""
    mask = mask[:, None].float()
    centred = (values - (values * mask).sum(2, keepdim=True) / mask.sum(2, keepdim=True)) * mask
    return centred / centred.norm(dim=2, keepdim=True).clamp_min(1e-12)

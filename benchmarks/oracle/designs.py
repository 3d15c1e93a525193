"""Ways to show C to a module so that structure passes and brightness does not: (B,N,H,W) -> (B,N',H,W)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

Design = Callable[[Tensor], Tensor]


def noise(c: Tensor, spread: float = 0.05) -> Tensor:
    """C with Gaussian noise, drawn anew for every call: details below it cannot be read."""
    return c + spread * torch.randn_like(c)


def blur(c: Tensor, sigma: float = 2.0) -> Tensor:
    """C without its details."""
    side = 2 * round(3 * sigma) + 1
    return gaussian_blur2d(c, (side, side), (sigma, sigma))


def median(c: Tensor, side: int = 5) -> Tensor:
    """The median over a square: edges stay, details go."""
    half = side // 2
    windows = F.unfold(F.pad(c, (half,) * 4, mode="replicate").flatten(0, 1)[:, None], side)
    return windows.median(1).values.view(c.shape)


def bilateral(c: Tensor, side: int = 7, spread: float = 0.1) -> Tensor:
    """Mean over a square of what is like the middle in all channels: edges stay, details below `spread` go."""
    half, (height, width) = side // 2, c.shape[-2:]
    padded = F.pad(c, (half,) * 4, mode="replicate")
    total, weights = torch.zeros_like(c), torch.zeros_like(c[:, :1])
    for row in range(side):
        for column in range(side):
            other = padded[..., row : row + height, column : column + width]
            weight = torch.exp(-(other - c).square().sum(1, keepdim=True) / (2 * spread**2))
            total, weights = total + weight * other, weights + weight
    return total / weights


def bends(c: Tensor, least: float = 0.1, reaches: tuple[int, ...] = (1, 2, 4)) -> Tensor:
    """Second differences of C to both sides, those below `least` set to 0, bounded: where something begins or ends.

    A plane's disparity is linear in the pixel coordinates, so nothing is left of it at any slant.
    """
    found = []
    for reach in reaches:
        for axis in (2, 3):
            sides = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
            padded = F.pad(c, sides, mode="replicate")
            low, middle, high = (padded.narrow(axis, start, c.shape[axis]) for start in (0, reach, 2 * reach))
            found.append(torch.tanh(F.softshrink(low - 2 * middle + high, least) / least))
    return torch.cat(found, 1)


DESIGNS: Mapping[str, Design] = {
    "plain": lambda c: c,
    "noise": noise,
    "blur": blur,
    "median": median,
    "bilateral": bilateral,
    "bilateral, noise": lambda c: noise(bilateral(c)),
    "median, noise": lambda c: noise(median(c)),
    "bends": bends,
    "bends, noise": lambda c: bends(noise(c, 0.02)),
    "bilateral, bends": lambda c: bends(bilateral(c)),
}

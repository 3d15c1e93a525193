"""Filters of bands of the orthonormal two-dimensional DCT, as matrix products.

Source: DCT-II and DCT-III, Ahmed, Natarajan, Rao 1974, in the orthonormal scaling of scipy.fft.dctn(norm="ortho").
Everything here runs in float32 with autocast off; a float64 input stays float64. The products follow PyTorch's
matmul precision: with TF32 allowed on a GPU they are good to about 1e-3 only.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

SQRT2 = math.sqrt(2.0)


@torch.compiler.assume_constant_result
def dct_matrix(n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The orthonormal DCT-II matrix of order n, cached.

    Returns (n,n): row k holds sqrt(2/n) cos(pi k (2i+1) / 2n) for i = 0..n-1, row 0 holds sqrt(1/n). Its transpose
    is its inverse (the DCT-III). Callers must not write into it.
    """
    return _cached_matrix(n, device, dtype)


@lru_cache(maxsize=64)
def _cached_matrix(n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    # A matrix first built under inference_mode would be unusable in a later training step.
    with torch.inference_mode(False):
        k = torch.arange(n, device=device)[:, None]
        i = torch.arange(n, device=device)[None, :]
        # The phase in units of pi/2n is an exact integer. It is folded into the first eighth of a turn before it is
        # rounded: a cosine of the phase itself would be off by 1e-4 in float32.
        phase = (k * (2 * i + 1)) % (4 * n)
        phase = torch.where(phase > 2 * n, 4 * n - phase, phase)
        sign = torch.where(phase > n, -1, 1)
        phase = torch.where(phase > n, 2 * n - phase, phase)
        unit = math.pi / (2 * n)
        cosine = torch.cos(phase.to(dtype) * unit)
        matrix = sign * torch.where(2 * phase <= n, cosine, torch.sin((n - phase).to(dtype) * unit))
        matrix = matrix * math.sqrt(2.0 / n)
        matrix[0] = math.sqrt(1.0 / n)
    return matrix


def radius(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Radius of every DCT component: sqrt((u/H)^2 + (v/W)^2) / sqrt(2), float32 (H,W) in [0,1)."""
    u = torch.arange(height, device=device)[:, None] / height
    v = torch.arange(width, device=device)[None, :] / width
    return torch.sqrt(u * u + v * v) / SQRT2


def keep_band(x: Tensor, low: float, high: float) -> Tensor:
    """The part of an image whose DCT radius lies in [low, high).

    x: (...,H,W). Returns the same shape, float32 (or float64 for float64 input); linear in x and exact: equal to
    masking the whole DCT. Only the block of components below `high` is computed, the rest of the mask being zero.
    Raises ValueError unless 0 <= low < high.
    """
    if not 0.0 <= low < high:
        raise ValueError(f"a band needs 0 <= low < high, got [{low}, {high})")
    with torch.autocast(x.device.type, enabled=False):
        x = _working(x)
        if high >= 1.0:  # up to the last corner: the complement is the smaller block
            return x - keep_band(x, 0.0, low) if low > 0.0 else x
        rows, columns, mask = _low_block(x.shape[-2], x.shape[-1], low, high, x.device, x.dtype)
        return _sandwich(rows.T, _sandwich(rows, x, columns.T) * mask, columns)


def stop_band(x: Tensor, low: float, high: float) -> Tensor:
    """An image without the part whose DCT radius lies in [low, high); shapes and errors as `keep_band`."""
    if high >= 1.0 and low > 0.0:
        return keep_band(x, 0.0, low)
    return _working(x) - keep_band(x, low, high)


@torch.compiler.assume_constant_result
def _low_block(
    height: int, width: int, low: float, high: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """The DCT rows (h,H) and columns (w,W) that a band reaches, and its mask (h,w) over them; cached."""
    return _cached_block(height, width, low, high, device, dtype)


@lru_cache(maxsize=64)
def _cached_block(
    height: int, width: int, low: float, high: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.inference_mode(False):
        band = radius(height, width, device)
        h, w = (_count_below(high, length) for length in (height, width))
        mask = ((band >= low) & (band < high))[:h, :w].to(dtype)
        rows = dct_matrix(height, device, dtype)[:h].contiguous()
        columns = dct_matrix(width, device, dtype)[:w].contiguous()
    return rows, columns, mask


def _count_below(high: float, length: int) -> int:
    """How many components along one axis have a radius below `high`: counted without a tensor, so that the networks
    that filter can be exported; in float32, as `radius` is, so that both agree to the last component.
    """
    position = np.arange(length, dtype=np.float32) / np.float32(length)
    return int((np.sqrt(position * position) / np.float32(SQRT2) < np.float32(high)).sum())


def _sandwich(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """left (a,H) @ x (...,H,W) @ right (W,b), in the order that costs fewer multiplications."""
    (a, height), (width, b) = left.shape, right.shape
    if a * height * width + a * width * b <= height * width * b + a * height * b:
        return (left @ x) @ right
    return left @ (x @ right)


def _working(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()

"""Sums over the 3x3 windows of images with reflected borders, and the adjoints of both."""

from __future__ import annotations

import torch
from torch import Tensor


def reflect(image: Tensor) -> Tensor:
    """(...,H,W) with one row and column of its mirror image around it."""
    padded = image.new_empty(*image.shape[:-2], image.shape[-2] + 2, image.shape[-1] + 2)
    inner(padded).copy_(image)
    for edge, inside in ((0, 2), (-1, -3)):
        padded[..., 1:-1, edge] = padded[..., 1:-1, inside]
    for edge, inside in ((0, 2), (-1, -3)):
        padded[..., edge, :] = padded[..., inside, :]
    return padded


def fold(gathered: Tensor) -> Tensor:
    """The adjoint of `reflect`, in place."""
    for edge, inside in ((0, 2), (-1, -3)):
        gathered[..., inside, :] += gathered[..., edge, :]
    for edge, inside in ((0, 2), (-1, -3)):
        gathered[..., inside] += gathered[..., edge]
    return inner(gathered)


def inner(padded: Tensor) -> Tensor:
    return padded[..., 1:-1, 1:-1]


def box(padded: Tensor) -> Tensor:
    """Sums of the 3x3 windows: (...,h+2,w+2) -> (...,h,w)."""
    columns = (padded[..., :-2, :] + padded[..., 1:-1, :]).add_(padded[..., 2:, :])
    return (columns[..., :-2] + columns[..., 1:-1]).add_(columns[..., 2:])


def gather(first: Tensor, second: Tensor, framed: Tensor) -> Tensor:
    """The adjoint of `box` on first * second: (...,h,w) -> (...,h+2,w+2); `framed` has a border of two zeros."""
    torch.mul(first, second, out=framed[..., 2:-2, 2:-2])
    return box(framed)

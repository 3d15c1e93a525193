"""Losses that give depth and motion a unit: how far the camera went, and depth where it is known."""

from __future__ import annotations

import torch
from torch import Tensor


def speed_error(source_from_target: Tensor, travelled: Tensor) -> Tensor:
    """Mean difference of the predicted and the travelled distance, metres; 0 where no distance is known.

    Velocity supervision of Guizilini et al., CVPR 2020: | |t| - |v| dt |.

    Args:
        source_from_target: (B,N,4,4), predicted.
        travelled: (B,N), metres between target and source; NaN where it is not known.

    Returns:
        a scalar.
    """
    known = travelled.isfinite()
    length = (source_from_target[..., :3, 3].square().sum(-1) + 1e-12).sqrt()  # with a gradient at rest
    error = (length - torch.where(known, travelled, 0.0)).abs()
    return torch.where(known, error, 0.0).sum() / known.sum().clamp_min(1)


def sparse_depth_error(depth: Tensor, truth: Tensor) -> Tensor:
    """Mean |ln depth - ln truth| over the pixels that have a truth; 0 where none has.

    The logarithm makes a metre count for more where things are near, as their parallax does.

    Args:
        depth: (B,S,H,W), metres, positive.
        truth: (B,1,H,W), metres; 0 where there is none.

    Returns:
        a scalar.
    """
    known = truth > 0
    error = (depth.log() - torch.where(known, truth, 1.0).log()).abs()
    return torch.where(known, error, 0.0).sum() / (known.sum() * depth.shape[1]).clamp_min(1)

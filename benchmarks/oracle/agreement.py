"""Whether the branch pulls a network's prediction towards the truth: its gradient on C against truth less C."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.oracle.cell import Schedule, regeneration_loss
from benchmarks.oracle.designs import DESIGNS
from benchmarks.oracle.scenes import Scenes
from depth.dejavu.branch import DejaVu
from depth.dejavu.diagnosis import detail
from depth.losses.perceptual import PerceptualLoss


def agreement(
    branch: DejaVu,
    design: str,
    scenes: Scenes,
    c: Tensor,
    truth: Tensor,
    schedule: Schedule,
    perceptual: PerceptualLoss,
) -> dict[str, float]:
    """Figures of the downward gradient of the regeneration loss on C = c (M,N,H,W), over all frames together.

    truth: (M,N,H,W), scaled to c by least squares, frame by frame.
    cosine_edges, cosine_flat: with truth - C, within 2 px of true depth edges and elsewhere; above 0 a step helps.
    edge_energy: share of the gradient's energy at those edges.
    texture: its correlation with the image's details elsewhere, signed by C's own: above 0 a step adds to a copy.
    """
    torch.manual_seed(1)  # of edits and noise
    gradients = []
    for images, each in zip(scenes.images.split(8), c.split(8), strict=True):
        each = each.clone().requires_grad_()
        regenerated = branch(images, DESIGNS[design](each)).regenerated
        loss = regeneration_loss(regenerated, images, schedule, perceptual) * len(images)
        gradients.append(-torch.autograd.grad(loss, each)[0])
    down = torch.cat(gradients)
    scale = (c * truth).sum((1, 2, 3), keepdim=True) / truth.square().sum((1, 2, 3), keepdim=True)
    wanted = scale * truth - c
    edges = scenes.edges.expand_as(c)
    grey = detail(scenes.images.mean(1, keepdim=True)).expand_as(c)
    own = _correlation(detail(c)[~edges], grey[~edges])
    return {
        "cosine_edges": _cosine(down[edges], wanted[edges]),
        "cosine_flat": _cosine(down[~edges], wanted[~edges]),
        "edge_energy": (down[edges].square().sum() / down.square().sum()).item(),
        "texture": _correlation(detail(down)[~edges], grey[~edges]) * (1.0 if own >= 0 else -1.0),
    }


def _cosine(left: Tensor, right: Tensor) -> float:
    return (left @ right / (left.norm() * right.norm()).clamp_min(1e-20)).item()


def _correlation(left: Tensor, right: Tensor) -> float:
    return _cosine(left - left.mean(), right - right.mean())

"""Cameras that are turned up or down, as if they had been mounted otherwise.

A turn about the camera's centre needs no scene: it is the warp of a world at any distance. Zhao et al., CVPR 2021
(Camera Pose Matters), turn cameras for depth from labels; here all frames of a sample turn alike, so that video stays
as consistent as it was.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from depth.geometry import backproject, project, transform_from_axis_angle, warp
from depth.types import WHOLE, Known


def turn(
    frames: Tensor, intrinsics: Tensor, stereo_from_target: Tensor, known: Known, pitch: Tensor
) -> tuple[Tensor, Tensor, Known]:
    """Turns each sample's cameras about their x axis; the intrinsics stay.

    Args:
        frames: float32 (B,F,3,H,W), the target first.
        intrinsics: float32 (B,3,3), pixels.
        stereo_from_target: float32 (B,4,4).
        known: of the samples; without depth, which a turn would change.
        pitch: float32 (B,), radians, positive: downwards.

    Returns:
        Frames, where what the camera did not see repeats the border; stereo_from_target and motions in the turned
        axes; and in `known` which pixels count: those that the camera saw, and that counted before.

    Raises:
        ValueError: there is depth.
    """
    if known.depth is not None:
        raise ValueError("depth maps cannot be turned with their cameras")
    size = frames.shape[-2:]
    axis_angle = torch.stack([pitch, torch.zeros_like(pitch), torch.zeros_like(pitch)], 1)
    before_from_turned = transform_from_axis_angle(-axis_angle, torch.zeros_like(axis_angle))
    anywhere = frames.new_ones(len(pitch), 1, *size)
    of_frames = before_from_turned[:, None].expand(-1, frames.shape[1], -1, -1)
    masked = torch.cat([frames, _counted(known, frames)[:, :, None]], 2)
    turned = warp(masked, anywhere, of_frames, intrinsics)[:, :, :, 0]
    rays = before_from_turned[:, :3, :3] @ backproject(anywhere, intrinsics).flatten(2)
    seen = (turned[:, :, 3] > WHOLE) & _inside(project(rays.unflatten(2, size), intrinsics))
    motion = known.source_from_target
    known = replace(
        known,
        counted=seen[:, :1],
        sources_counted=seen[:, 1:],
        source_from_target=None if motion is None else _in_axes(motion, before_from_turned[:, None]),
    )
    return turned[:, :, :3], _in_axes(stereo_from_target, before_from_turned), known


def _counted(known: Known, frames: Tensor) -> Tensor:
    """float32 (B,F,H,W): 1 where a pixel counts before the turn."""
    batch, number, _, height, width = frames.shape
    masks = (known.counted, 1), (known.sources_counted, number - 1)
    whole = [frames.new_ones(batch, n, height, width) if mask is None else mask.to(frames.dtype) for mask, n in masks]
    return torch.cat(whole, 1)


def _inside(places: Tensor) -> Tensor:
    """Whether pixels (B,2,H,W) lie in their image: bool (B,1,H,W)."""
    height, width = places.shape[-2:]
    x, y = places.split(1, 1)
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _in_axes(transforms: Tensor, before_from_turned: Tensor) -> Tensor:
    """Transforms (...,4,4) between cameras that turn alike, in the turned axes."""
    return before_from_turned.mT @ transforms @ before_from_turned

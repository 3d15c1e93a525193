"""Depth, poses and the warp between views: pure functions, float32, pixel centres at integer coordinates.

Transforms are 4x4, named by their frames (`source_from_target` takes target coordinates to source
coordinates) and compose so that the names meet. K is in pixels of the image it goes with. Reduced
precision has no place here: a 640-wide sampling grid is off by 0.6 px in bfloat16.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Below this z (metres, or the model's unit) a point is at or behind the camera plane. Clamping sends
# its projection far outside the image, where border padding and a zero gradient make it harmless.
_MIN_Z = 1e-3


def disparity_to_depth(disparity: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Depth from a network's disparity.

    Args:
        disparity: any shape, in (0,1).
        min_depth, max_depth: metres, or the unit of a monocular model; 0 < min_depth < max_depth.

    Returns:
        1 / (1/max + (1/min - 1/max) d), the same shape, in [min_depth, max_depth]
        (Godard et al., ICCV 2019, section 3).
    """
    return 1.0 / disparity_to_inverse_depth(disparity, min_depth, max_depth)


def disparity_to_inverse_depth(disparity: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Inverse depth 1/max + (1/min - 1/max) d in 1/m, 1/unit where monocular; see `disparity_to_depth`."""
    return 1.0 / max_depth + (1.0 / min_depth - 1.0 / max_depth) * disparity


def transform_from_axis_angle(axis_angle: Tensor, translation: Tensor) -> Tensor:
    """Rigid transform [R | t] from a rotation vector (Rodrigues' formula) and a translation.

    Args:
        axis_angle: (...,3), radians; the zero vector is the identity, with finite gradients.
        translation: (...,3), in the unit of the depth.

    Returns:
        (...,4,4).
    """
    angle = (axis_angle.square().sum(-1, keepdim=True) + 1e-12).sqrt()[..., None]
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    # torch.sinc(a) is sin(pi a)/(pi a): both factors stay accurate and differentiable at angle 0.
    first = torch.sinc(angle / torch.pi)
    second = 0.5 * torch.sinc(0.5 * angle / torch.pi).square()
    rotation = torch.eye(3, dtype=x.dtype, device=x.device) + first * skew + second * (skew @ skew)
    top = torch.cat([rotation, translation[..., None]], -1)
    bottom = torch.eye(4, dtype=x.dtype, device=x.device)[3:].expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], -2)


def invert_transform(b_from_a: Tensor) -> Tensor:
    """Inverse of a rigid transform: (...,4,4) -> a_from_b (...,4,4)."""
    rotation = b_from_a[..., :3, :3].mT
    translation = -rotation @ b_from_a[..., :3, 3:]
    return torch.cat([torch.cat([rotation, translation], -1), b_from_a[..., 3:, :]], -2)


def matrix_from_intrinsics(values: Tensor) -> Tensor:
    """fx, fy, cx, cy (...,4) -> K (...,3,3), in the same pixels."""
    fx, fy, cx, cy = values.unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    return torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one], -1).unflatten(-1, (3, 3))


def pixel_grid(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Homogeneous pixel coordinates (3,H,W): u, v, 1, float32."""
    v, u = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device),
        torch.arange(width, dtype=torch.float32, device=device),
        indexing="ij",
    )
    return torch.stack([u, v, torch.ones_like(u)])


def backproject(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Camera-frame points of every pixel: depth (B,1,H,W) and K (B,3,3) -> (B,3,H,W), x right, y down, z forward."""
    batch, _, height, width = depth.shape
    rays = _inverse(intrinsics) @ pixel_grid(height, width, depth.device).flatten(1)
    return rays.view(batch, 3, height, width) * depth


def project(points: Tensor, intrinsics: Tensor) -> Tensor:
    """Pixels (B,2,H,W) of camera-frame points (B,3,H,W) under K (B,3,3); z is clamped to at least 1e-3."""
    x, y, z = (intrinsics @ points.flatten(2)).unflatten(2, points.shape[2:]).unbind(1)
    z = z.clamp(min=_MIN_Z)
    return torch.stack([x / z, y / z], 1)


def warp(sources: Tensor, depth: Tensor, source_from_target: Tensor, intrinsics: Tensor) -> Tensor:
    """Source images resampled at the places where the target's pixels are seen in them.

    The product K (R D K^-1 p + t) = D (K R K^-1) p + K t is formed per source once and shared by all
    depth maps, and all of a source's depth maps are sampled in one call.

    Args:
        sources: (B,N,C,H,W).
        depth: (B,S,H,W), S depth maps of the target, positive.
        source_from_target: (B,N,4,4).
        intrinsics: (B,3,3), pixels at H x W, of target and sources.

    Returns:
        (B,N,C,S,H,W): bilinear, border padding, align_corners=True in normaliser and sampler alike.

    Raises:
        ValueError: shapes do not fit.
    """
    batch, number, channels, height, width = sources.shape
    scales = depth.shape[1]
    if depth.shape != (batch, scales, height, width) or source_from_target.shape != (batch, number, 4, 4):
        raise ValueError(
            f"warp: sources {tuple(sources.shape)}, depth {tuple(depth.shape)} and "
            f"source_from_target {tuple(source_from_target.shape)} do not fit"
        )
    k = intrinsics[:, None]
    homography = k @ source_from_target[..., :3, :3] @ _inverse(k)  # (B,N,3,3)
    shift = (k @ source_from_target[..., :3, 3:]).view(batch, number, 3, 1, 1, 1)
    rays = (homography @ pixel_grid(height, width, depth.device).flatten(1)).view(batch, number, 3, 1, height, width)
    x, y, z = (rays * depth[:, None, None] + shift).unbind(2)  # each (B,N,S,H,W)
    z = z.clamp(min=_MIN_Z)
    grid = torch.stack([x / z * (2.0 / (width - 1)) - 1.0, y / z * (2.0 / (height - 1)) - 1.0], -1)
    sampled = _sample(sources.flatten(0, 1), grid.view(batch * number, scales * height, width, 2))
    return sampled.view(batch, number, channels, scales, height, width)


def _inverse(matrices: Tensor) -> Tensor:
    """Of (...,3,3); not finite where there is none. `torch.linalg.inv` would have the host wait, to raise an error."""
    return torch.linalg.inv_ex(matrices).inverse


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    """Bilinear samples at (B,h,w,2) in [-1,1]; NaN where a place is NaN, so that the loss shows it.

    On a CPU `grid_sample` gives such a place a finite value, and its backward pass dies of a segmentation fault
    (github.com/pytorch/pytorch/issues/24823).
    """
    lost = None
    if grid.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.isfinite(grid.detach().sum()):
        lost = grid.isnan().any(-1)[:, None]
        grid = grid.nan_to_num()
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled if lost is None else sampled.masked_fill(lost, float("nan"))

"""The ray-caster: a depth buffer over a grid of rays, for a pinhole camera and for a scanner alike.

A ray's direction is p[r] (u[c] A + v[c] B) + q[r] C with orthonormal world axes A, B, C. The camera has
p = 1, v = 1, so that the ray parameter is its depth z; the scanner has unit directions, so that it is the
range. For a plane 1/t is linear in the direction, and so are the sides of a convex face seen from the
origin: a face costs one outer sum and a comparison per side, inside its bounding window only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.world.street import Street
from datasets.world.surfaces import FIRST_FACE, KERB, ROAD, SIDEWALK, TERRAIN, Quadric, Scene

_FARTHEST = 230.0  # metres; the ground ends there, which KITTI's 16-bit depth (up to 255 m) can hold


@dataclass(frozen=True)
class RayGrid:
    """Rays of one sensor at one instant."""

    origin: np.ndarray  # (3,) float64 world
    axes: np.ndarray  # (3,3) float64, rows A, B, C
    columns: np.ndarray  # (2,C) float32: u, v
    rows: np.ndarray  # (2,R) float32: p, q
    directions: np.ndarray  # (3,R,C) float32 world

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.shape[1], self.columns.shape[1]


@dataclass(frozen=True)
class Hits:
    """What the rays of a grid meet first."""

    inverse: np.ndarray  # (R,C) float32, 1 / ray parameter; 0 for the sky
    surface: np.ndarray  # (R,C) int32 surface id


def camera_grid(world_from_camera: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int], step: float) -> RayGrid:
    """Rays through pixels (height, width) = size at every `step` pixels, from -step to one step past the end.

    With step 0.5, pixel (i, j) lies at index (2 i + 1, 2 j + 1).
    """
    height, width = size
    x = (np.arange(round(width / step) + 1) - 1) * step
    y = (np.arange(round(height / step) + 1) - 1) * step
    u = (x - intrinsics[0, 2]) / intrinsics[0, 0]
    q = (y - intrinsics[1, 2]) / intrinsics[1, 1]
    right, down, forward = world_from_camera[:3, :3].T
    return _grid(world_from_camera[:3, 3], (right, forward, down), (u, np.ones_like(u)), (np.ones_like(q), q))


def scanner_grid(world_from_velo: np.ndarray, azimuths: np.ndarray, elevations: np.ndarray) -> RayGrid:
    """Unit rays of a scanner at all azimuths (left positive) and elevations (up positive), radians."""
    forward, left, up = world_from_velo[:3, :3].T
    columns, rows = (np.cos(azimuths), np.sin(azimuths)), (np.cos(elevations), np.sin(elevations))
    return _grid(world_from_velo[:3, 3], (forward, left, up), columns, rows)


def _grid(origin: np.ndarray, axes: tuple, columns: tuple, rows: tuple) -> RayGrid:
    (a, b, c), (u, v), (p, q) = axes, columns, rows
    flat = np.outer(a, u) + np.outer(b, v)
    directions = p[None, :, None] * flat[:, None, :] + (c[:, None] * q)[:, :, None]
    return RayGrid(
        np.array(origin),
        np.array(axes),
        np.array(columns, np.float32),
        np.array(rows, np.float32),
        directions.astype(np.float32),
    )


def cast(
    scene: Scene,
    street: Street,
    grid: RayGrid,
    windows: np.ndarray,
    quadric_windows: np.ndarray,
    before: Hits | None = None,
) -> Hits:
    """First hits of all rays; windows (F,4) and (Q,4) are row and column ranges from `bounds.py`.

    Adds to `before`, in place, where it is given; otherwise starts with the ground.
    """
    if before is None:
        before = Hits(np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.int32))
        _cast_ground(street, grid, before.inverse, before.surface)
    inverse, surface = before.inverse, before.surface
    seen = np.flatnonzero(windows[:, 1] > windows[:, 0])
    for index, planes in zip(seen, _face_planes(scene, seen, grid), strict=True):
        planes = planes[: scene.counts[index] + 1]
        _cast_face(planes, FIRST_FACE + index, grid, windows[index], inverse, surface)
    for index in np.flatnonzero(quadric_windows[:, 1] > quadric_windows[:, 0]):
        target = scene.first_quadric + index
        _cast_quadric(scene.quadrics[index], target, grid, quadric_windows[index], inverse, surface)
    return before


def _cast_ground(street: Street, grid: RayGrid, inverse: np.ndarray, surface: np.ndarray) -> None:
    """Road plane, sidewalk plane above it, and the kerb's face between them."""
    rows = np.flatnonzero((grid.directions[2] < -1e-4).any(1))
    if len(rows) == 0:
        return
    part = slice(rows[0], rows[-1] + 1)
    dx, dy, dz = (np.ascontiguousarray(d[part]) for d in grid.directions)
    ox, oy, oz = (float(v) for v in grid.origin)
    fall = np.minimum(dz, np.float32(-1e-4))
    t_high, t_low = (street.kerb - oz) / fall, -oz / fall

    def distance(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = ox + t * dx, oy + t * dy
        lateral, _ = street.lateral(x, y)
        return street.kerb_distance(x, lateral), lateral

    high, lateral = distance(t_high)
    low, _ = distance(t_low)
    on_top = high > 0
    kerb = ~on_top & (low > 0)
    t = np.where(on_top, t_high, t_low)
    if kerb.any():
        # Regula falsi between the two planes: the span is short, two steps leave less than a millimetre.
        share = np.where(kerb, high / np.minimum(high - low, -1e-6), 0)
        guess = t_high + share * (t_low - t_high)
        middle, _ = distance(guess)
        slope = np.where(middle > 0, (middle - high) / np.maximum(share, 1e-3), (low - middle) / (1.001 - share))
        share = np.clip(share - middle / np.maximum(slope, 1e-6), 0, 1)
        t = np.where(kerb, t_high + share * (t_low - t_high), t)
    identity = np.where(np.abs(lateral) - street.half_width > street.sidewalk, TERRAIN, SIDEWALK)
    identity = np.where(on_top, identity, np.where(kerb, KERB, ROAD))
    seen = (dz < -1e-4) & (t < _FARTHEST)
    inverse[part] = np.where(seen, 1 / t, 0)
    surface[part] = np.where(seen, identity, 0)


def _face_planes(scene: Scene, seen: np.ndarray, grid: RayGrid) -> np.ndarray:
    """(n,9,3) float32 in grid axes: dotted with a direction, row 0 gives the face's 1/t, the others are >= 0 inside.

    The others are the planes through the origin and each side.
    """
    vertices = scene.vertices[seen] - grid.origin
    normals = scene.normals[seen]
    following = np.roll(vertices, -1, axis=1)
    # The padding repeats the last vertex, so the side from there back to the first is the last of all.
    order = np.arange(vertices.shape[1])
    closing = order == scene.counts[seen][:, None] - 1
    following = np.where(closing[..., None], vertices[:, :1], following)
    own = normals / np.einsum("fk,fk->f", normals, vertices[:, 0])[:, None]
    planes = np.concatenate([own[:, None], np.cross(following, vertices)], 1)
    return (planes @ grid.axes.T).astype(np.float32)


def _cast_face(
    planes: np.ndarray, target: int, grid: RayGrid, window: np.ndarray, inverse: np.ndarray, surface: np.ndarray
) -> None:
    r0, r1, c0, c1 = window
    u, v = grid.columns[:, c0:c1]
    p, q = grid.rows[:, r0:r1]
    across = planes[:, :1] * u + planes[:, 1:2] * v
    down = planes[:, 2:] * q
    value = p[:, None] * across[0] + down[0][:, None]
    mask = value > inverse[r0:r1, c0:c1]
    # The sides are compared after division by p: a column vector against a row vector.
    limit = -down / p
    for side in range(1, len(planes)):
        mask &= across[side] >= limit[side][:, None]
    np.copyto(inverse[r0:r1, c0:c1], value, where=mask)
    np.copyto(surface[r0:r1, c0:c1], np.int32(target), where=mask)


def _cast_quadric(
    shape: Quadric, target: int, grid: RayGrid, window: np.ndarray, inverse: np.ndarray, surface: np.ndarray
) -> None:
    r0, r1, c0, c1 = window
    dx, dy, dz = grid.directions[:, r0:r1, c0:c1]
    ox, oy, oz = (float(v) for v in grid.origin - shape.centre)
    flat, tall = 1 / shape.radius**2, 1 / shape.half_height**2
    a = (dx * dx + dy * dy) * flat + dz * dz * tall
    b = dx * (ox * flat) + dy * (oy * flat) + dz * (oz * tall)
    c = (ox * ox + oy * oy) * flat + oz * oz * tall - 1
    root = b * b - a * c
    # With t = c / (-b + sqrt(root)) the reciprocal needs no division by a and the nearer hit has the plus sign.
    value = (np.sqrt(np.maximum(root, 0)) - b) * (1 / c)
    height = oz + shape.centre[2] + dz / np.maximum(value, 1e-4)
    mask = (root > 0) & (value > inverse[r0:r1, c0:c1])
    mask &= (height >= shape.bottom) & (height <= shape.top)
    np.copyto(inverse[r0:r1, c0:c1], value, where=mask)
    np.copyto(surface[r0:r1, c0:c1], np.int32(target), where=mask)

"""Bounding windows: which rays of a grid can meet which surface. Rows of (row, row end, column, column end)."""

from __future__ import annotations

import numpy as np

from datasets.world.caster import RayGrid
from datasets.world.surfaces import Quadric, Scene

_NEAR = 0.1  # metres in front of the camera below which nothing is seen
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (0, 1)])


def camera_windows(scene: Scene, grid: RayGrid) -> tuple[np.ndarray, np.ndarray]:
    """Windows of all faces (F,4) and quadrics (Q,4) in a camera's grid; empty where turned away or out of view."""
    faces = _image_windows(_local(scene.vertices, grid), grid)
    faces[~_facing(scene, grid)] = 0
    return faces, _image_windows(_local(_boxes(scene.quadrics), grid), grid, loops=False)


def scanner_windows(scene: Scene, grid: RayGrid) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """As camera_windows for a scanner that goes all the way round: faces, quadrics, and both once more.

    The second pair holds the rest of the windows that run over the end of the columns, and is empty elsewhere.
    """
    faces, face_rest = _azimuth_windows(_local(scene.vertices, grid), grid)
    turned = ~_facing(scene, grid)
    faces[turned] = face_rest[turned] = 0
    quadrics, quadric_rest = _azimuth_windows(_local(_boxes(scene.quadrics), grid), grid)
    return faces, quadrics, face_rest, quadric_rest


def _local(points: np.ndarray, grid: RayGrid) -> np.ndarray:
    return (points - grid.origin) @ grid.axes.T


def _facing(scene: Scene, grid: RayGrid) -> np.ndarray:
    return np.einsum("fk,fk->f", scene.normals, grid.origin - scene.vertices[:, 0]) > 1e-3


def _boxes(quadrics: tuple[Quadric, ...]) -> np.ndarray:
    """Corners (Q,8,3) of the boxes around the quadrics."""
    sizes = np.array([[q.radius, q.radius, q.top - q.bottom] for q in quadrics]).reshape(-1, 1, 3)
    bases = np.array([[q.centre[0], q.centre[1], q.bottom] for q in quadrics]).reshape(-1, 1, 3)
    return bases + sizes * _CORNERS


def _image_windows(local: np.ndarray, grid: RayGrid, loops: bool = True) -> np.ndarray:
    """Windows of point sets (N,V,3) in axes (right, forward, down); loops are clipped at the near plane."""
    right, forward, down = np.moveaxis(local, -1, 0)
    if loops:
        # Where a side crosses the near plane, the crossing point bounds the visible part.
        step = np.roll(local, -1, axis=1) - local
        crossing = (forward > _NEAR) != (np.roll(forward, -1, axis=1) > _NEAR)
        share = (_NEAR - forward) / np.where(crossing, step[..., 1], 1)
        clipped = local + share[..., None] * step
        right, forward, down = (
            np.concatenate([whole, clipped[..., k]], 1) for k, whole in enumerate((right, forward, down))
        )
        seen = np.concatenate([local[..., 1] > _NEAR, crossing], 1)
        wide = np.zeros(len(local), bool)
    else:
        seen = forward > _NEAR
        wide = seen.any(1) & ~seen.all(1)
    depth = np.where(seen, np.maximum(forward, 0.5 * _NEAR), 1)
    columns = _range(right / depth, seen, grid.columns[0])
    rows = _range(down / depth, seen, grid.rows[1])
    columns[wide], rows[wide] = (0, grid.shape[1]), (0, grid.shape[0])
    windows = np.concatenate([rows, columns], 1)
    windows[(columns[:, 1] <= columns[:, 0]) | (rows[:, 1] <= rows[:, 0])] = 0
    return windows


def _range(values: np.ndarray, seen: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Index ranges (N,2) of equally spaced `samples` that lie within the seen values (N,V), one to spare."""
    step = float(samples[1] - samples[0])
    index = (values - float(samples[0])) / step
    low = np.where(seen, index, np.inf).min(1)
    high = np.where(seen, index, -np.inf).max(1)
    low = np.clip(np.nan_to_num(np.floor(low), posinf=len(samples)), 0, len(samples))
    high = np.clip(np.nan_to_num(np.ceil(high) + 1, neginf=0), 0, len(samples))
    return np.stack([low, high], 1).astype(int)


def _azimuth_windows(local: np.ndarray, grid: RayGrid) -> tuple[np.ndarray, np.ndarray]:
    """Column windows of point sets (N,V,3) in axes (forward, left, up), all rows; and what wraps around."""
    count = grid.shape[1]
    azimuth = np.arctan2(local[..., 1], local[..., 0])
    start = np.arctan2(grid.columns[1, 0], grid.columns[0, 0])
    turn = np.arctan2(grid.columns[1, 1], grid.columns[0, 1]) - start
    step = 2 * np.pi / count
    relative = (azimuth - start) * np.sign(np.sin(turn)) / step
    # No surface spans half a turn, so its points lie within half a turn of its first one.
    first = relative[:, :1] % count
    spread = (relative - first + count / 2) % count - count / 2
    low = np.floor((first + spread).min(1)).astype(int)
    high = np.ceil((first + spread).max(1)).astype(int) + 1
    shift = (low // count) * count
    low, high = low - shift, high - shift
    rows = np.broadcast_to([0, grid.shape[0]], (len(local), 2))
    main = np.concatenate([rows, np.stack([low, np.minimum(high, count)], 1)], 1)
    rest = np.concatenate([rows, np.stack([np.zeros_like(low), np.maximum(high - count, 0)], 1)], 1)
    rest[rest[:, 3] == 0] = 0
    return main, rest

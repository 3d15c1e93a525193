"""What the sensors see at one instant: images, depth, labels, scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.world.bounds import camera_windows, scanner_windows
from datasets.world.caster import Hits, RayGrid, camera_grid, cast, scanner_grid
from datasets.world.layout import DriveWorld
from datasets.world.rig import Rig
from datasets.world.shader import Shader
from datasets.world.surfaces import FIRST_FACE, KERB, ROAD, Scene

_RINGS = 64
_TOP, _BOTTOM = 2.0, -24.8  # degrees of elevation, as KITTI's scanner
_COLUMNS = 360  # of a turn: a scan stays small; KITTI's has about 2,000
_RANGE = 120.0  # metres


@dataclass(frozen=True)
class View:
    """A camera's exposure at native size (H,W)."""

    image: np.ndarray  # (H,W,3) uint8, R, G, B
    depth: np.ndarray  # (H,W) float32, camera z in metres, 0 for the sky
    surface: np.ndarray  # (H,W) int32 surface id at the pixel centre
    kinds: np.ndarray  # (H,W) uint8 Class
    grid: RayGrid  # of the supersampled image


def expose(world: DriveWorld, scene: Scene, rig: Rig, world_from_camera: np.ndarray) -> View:
    """Renders one camera; depth and surface are the pixel centre's.

    Pixels on an edge between surfaces are averaged over nine samples, shared with their neighbours.
    Elsewhere the textures' own filters make one sample enough.
    """
    grid = camera_grid(world_from_camera, rig.intrinsics, (rig.height, rig.width), 0.5)
    hits = cast(scene, world.street, grid, *camera_windows(scene, grid))
    mixed, wanted = _antialiased(hits.surface)
    colours = Shader(scene, world.street, grid, 1 / float(rig.intrinsics[0, 0]), world.crossings).shade(hits, wanted)
    colours = np.where(mixed[..., None], _blur_down(colours), colours[1:-1:2, 1:-1:2])
    image = np.rint(colours * 255).astype(np.uint8)
    inverse, surface = (np.ascontiguousarray(v[1:-1:2, 1:-1:2]) for v in (hits.inverse, hits.surface))
    depth = np.where(inverse > 0, 1 / np.maximum(inverse, 1e-6), 0).astype(np.float32)
    return View(image, depth, surface, scene.kinds[surface], grid)


def _antialiased(surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From surface ids (2H+1,2W+1): pixels (H,W) that see several surfaces, and samples that must be shaded."""
    mixed = np.zeros_like(surface[1:-1:2, 1:-1:2], bool)
    parts = [(slice(r, r - 2 or None, 2), slice(c, c - 2 or None, 2)) for r in range(3) for c in range(3)]
    for part in parts:
        mixed |= surface[part] != surface[1:-1:2, 1:-1:2]
    wanted = np.zeros_like(surface, bool)
    for part in parts:
        wanted[part] |= mixed
    wanted[1:-1:2, 1:-1:2] = True
    return mixed, wanted


def _blur_down(samples: np.ndarray) -> np.ndarray:
    """(2H+1,2W+1,3) samples to (H,W,3): a tent of one pixel's half width, a plain model of the lens."""
    rows = 0.25 * (samples[:-2:2] + samples[2::2]) + 0.5 * samples[1:-1:2]
    return 0.25 * (rows[:, :-2:2] + rows[:, 2::2]) + 0.5 * rows[:, 1:-1:2]


def normals(view: View, scene: Scene, world: DriveWorld, world_from_camera: np.ndarray) -> np.ndarray:
    """Unit surface normals (H,W,3) float32 in camera axes, towards the camera; 0 for the sky."""
    directions = view.grid.directions[:, 1:-1:2, 1:-1:2]
    points = view.grid.origin[:, None, None] + directions * view.depth
    up = np.where((view.surface > 0) & (view.surface < FIRST_FACE), 1.0, 0.0)
    out = np.stack([np.zeros_like(up), np.zeros_like(up), up])
    kerb = view.surface == KERB
    out[:, kerb] = _kerb_normals(world, points[:, kerb])
    face = (view.surface >= FIRST_FACE) & (view.surface < scene.first_quadric)
    out[:, face] = scene.normals[view.surface[face] - FIRST_FACE].T
    for index, shape in enumerate(scene.quadrics):
        mask = view.surface == scene.first_quadric + index
        if mask.any():
            scale = np.array([shape.radius, shape.radius, shape.half_height]) ** 2
            gradient = (points[:, mask] - shape.centre[:, None]) / scale[:, None]
            out[:, mask] = gradient / np.linalg.norm(gradient, axis=0)
    return np.einsum("kc,khw->hwc", world_from_camera[:3, :3], out).astype(np.float32)


def _kerb_normals(world: DriveWorld, points: np.ndarray) -> np.ndarray:
    """Horizontal normals (3,n) that look down the kerb distance's slope, onto the road."""

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return world.street.kerb_distance(x, world.street.lateral(x, y)[0])

    x, y, _ = points
    step = 0.02
    slope = np.stack([distance(x + step, y) - distance(x - step, y), distance(x, y + step) - distance(x, y - step)])
    return np.vstack([-slope / np.maximum(np.linalg.norm(slope, axis=0), 1e-9), np.zeros(len(x))])


def flat_surfaces(view: View, scene: Scene) -> np.ndarray:
    """Ids (H,W) uint16 of planar textured surfaces, constant over a drive; 0 where it is curved, kerb or sky."""
    flat = (view.surface >= ROAD) & (view.surface < scene.first_quadric) & (view.surface != KERB)
    return np.where(flat, view.surface, 0).astype(np.uint16)


def scan(world: DriveWorld, scene: Scene, world_from_velo: np.ndarray) -> np.ndarray:
    """One turn of the scanner: (n,4) float32 x, y, z in metres (scanner axes) and reflectance in [0,1]."""
    azimuths = np.pi - 2 * np.pi * (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    elevations = np.radians(np.linspace(_TOP, _BOTTOM, _RINGS))
    grid = scanner_grid(world_from_velo, azimuths, elevations)
    hits = _cast_round(world, scene, grid)
    seen = hits.inverse > 1 / _RANGE
    local = grid.axes.astype(np.float32) @ grid.directions.reshape(3, -1)
    points = local.reshape(3, *grid.shape)[:, seen] / hits.inverse[seen]
    reflectance = scene.materials.colour.mean(0)[hits.surface[seen]]
    return np.vstack([points, reflectance]).T.astype("<f4")


def _cast_round(world: DriveWorld, scene: Scene, grid: RayGrid) -> Hits:
    faces, quadrics, face_rest, quadric_rest = scanner_windows(scene, grid)
    hits = cast(scene, world.street, grid, faces, quadrics)
    return cast(scene, world.street, grid, face_rest, quadric_rest, hits)

"""Point clouds of depth maps, and what a cloud says about the camera's height above the road."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Where a forward-looking camera on a vehicle sees road: shares of the image's rows and columns.
_ROAD_ROWS, _ROAD_COLUMNS = (0.6, 0.95), (0.25, 0.75)
_ROAD_POINTS = 3000
_HYPOTHESES = 256
_LARGEST_TILT = np.cos(np.radians(25))  # of the road's normal against the image's vertical
_INLIER_DISTANCE = 0.05  # of the camera's height: 8 cm for a car
_SMALLEST_SHARE = 0.4  # of the points that must lie in the plane


@dataclass(frozen=True)
class PointCloud:
    """Coloured points in camera axes: x right, y down, z forward."""

    points: np.ndarray  # float32 (P,3), in the depth's unit
    colours: np.ndarray  # uint8 (P,3) RGB

    def to_ply(self) -> bytes:
        """Binary little-endian PLY with x, y, z, red, green, blue per vertex."""
        fields = [("xyz", "<f4", 3), ("rgb", "u1", 3)]
        vertices = np.empty(len(self.points), dtype=fields)
        vertices["xyz"], vertices["rgb"] = self.points, self.colours
        lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
        lines += [f"property float {axis}" for axis in "xyz"]
        lines += [f"property uchar {colour}" for colour in ("red", "green", "blue")]
        return "\n".join([*lines, "end_header", ""]).encode("ascii") + vertices.tobytes()


def point_cloud(
    depth: np.ndarray, picture: np.ndarray, intrinsics: np.ndarray, max_depth: float | None = None
) -> PointCloud:
    """A point per pixel.

    Args:
        depth: (H,W), any unit.
        picture: uint8 (H,W,3) RGB.
        intrinsics: K, (3,3), pixels at H x W.
        max_depth: leaves points beyond this depth out.

    Raises:
        ValueError: depth and picture are not of one size.
    """
    if depth.shape != picture.shape[:2]:
        raise ValueError(f"depth {depth.shape} and picture {picture.shape} do not fit")
    keep = np.isfinite(depth) if max_depth is None else depth <= max_depth
    rows, columns = np.nonzero(keep)
    return PointCloud(_backproject(depth, rows, columns, intrinsics).astype(np.float32), picture[keep])


def camera_height(depth: np.ndarray, intrinsics: np.ndarray) -> float | None:
    """Distance of the camera from the road's plane, in the depth's unit; None where no road is found.

    RANSAC over points of the lower middle of the image: planes through three points whose normal is within 25
    degrees of the image's vertical, the one with the most points within 5 % of its own height, fitted once more
    to those by least squares. A share below 40 % is no road.

    Args:
        depth: (H,W).
        intrinsics: K, (3,3), pixels at H x W.
    """
    generator = np.random.default_rng(0)
    height, width = depth.shape
    rows = generator.integers(int(_ROAD_ROWS[0] * height), int(_ROAD_ROWS[1] * height), _ROAD_POINTS)
    columns = generator.integers(int(_ROAD_COLUMNS[0] * width), int(_ROAD_COLUMNS[1] * width), _ROAD_POINTS)
    points = _backproject(depth, rows, columns, intrinsics)
    corners = points[generator.integers(0, len(points), (_HYPOTHESES, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    normals /= np.where(lengths > 0, lengths, 1)[:, None]
    normals *= np.where(normals[:, 1:2] < 0, -1, 1)  # downwards, as y is
    heights = (normals * corners[:, 0]).sum(1)
    plausible = (normals[:, 1] > _LARGEST_TILT) & (heights > 0)
    if not plausible.any():
        return None
    normals, heights = normals[plausible], heights[plausible]
    inside = np.abs(points @ normals.T - heights) < _INLIER_DISTANCE * heights  # (points, hypotheses)
    best = inside[:, inside.sum(0).argmax()]
    if best.mean() < _SMALLEST_SHARE:
        return None
    centre = points[best].mean(0)
    normal = np.linalg.svd(points[best] - centre, full_matrices=False)[2][2]
    return float(abs(normal @ centre))


def _backproject(depth: np.ndarray, rows: np.ndarray, columns: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Camera-frame points (P,3), float64, of the pixels (P,) and (P,)."""
    pixels = np.stack([columns, rows, np.ones(len(rows))])
    return (np.linalg.inv(intrinsics) @ pixels).T * depth[rows, columns, None]

"""Ground truth for evaluation: depth from lidar scans as published numbers use it, and KITTI's improved depth maps."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.core.images import image_size, read_depth_png
from datasets.core.splits import FrameRef
from datasets.kitti.calibration import CameraPair
from depth.support.files import written_aside
from depth.types import DepthPixels, UserError

if TYPE_CHECKING:
    from datasets.kitti.layout import KittiRaw  # whose ground truth this is

# Part of every cache key: a change of what `velodyne_depth` computes, or of an entry's layout, needs a new number.
_CODE_VERSION = 2
_BYTES_PER_POINT = 16
_MAX_SCAN_BYTES = 1 << 28


@dataclass(frozen=True)
class DepthMapGroundTruth:
    """KITTI's improved ground truth, and the dense depth of the embedded world: 16-bit PNG / 256."""

    source: KittiRaw

    def has(self, ref: FrameRef) -> bool:
        """Whether the depth map is there."""
        return self.source.depth_map_path(ref) is not None

    def check(self, ref: FrameRef) -> None:
        """Raises UserError where the depth map is missing or its header is damaged."""
        image_size(self._path(ref))

    def __call__(self, ref: FrameRef) -> DepthPixels:
        """The pixels that have one. Raises UserError where it is missing or malformed."""
        return DepthPixels.of(read_depth_png(self._path(ref)))

    def _path(self, ref: FrameRef) -> Path:
        path = self.source.depth_map_path(ref)
        if path is None:
            root = self.source.root
            raise UserError(f"no depth map for {ref.name} under {root}: get data_depth_annotated.zip (KITTI)")
        return path


@dataclass(frozen=True)
class VelodyneGroundTruth:
    """Depth from the lidar scan of the frame, made when asked for and kept in a cache.

    It is the ground truth of the eigen protocol, see `velodyne_depth`, or without its quirks (`published` False).
    """

    source: KittiRaw
    cache: Path | None
    published: bool = True

    def has(self, ref: FrameRef) -> bool:
        """Whether the scan is there."""
        return self.source.scan_path(ref) is not None

    def check(self, ref: FrameRef) -> None:
        """Raises UserError where the calibration of its day or the size of the scan is wrong."""
        self.source.cameras(ref)
        self.source.reference_from_velodyne(ref)
        check_scan(self._path(ref))

    def __call__(self, ref: FrameRef) -> DepthPixels:
        """The pixels that have one. Raises UserError where scan or calibration is malformed."""
        path = self._path(ref)
        cameras, lidar = self.source.cameras(ref), self.source.reference_from_velodyne(ref)

        def made() -> DepthPixels:
            return DepthPixels.of(velodyne_depth(read_scan(path), cameras, lidar, ref.side, self.published))

        if self.cache is None:
            return made()
        camera = cameras.camera(ref.side)
        entry = self.cache / f"{_cache_key(path, cameras, lidar, ref.side, self.published)}.npz"
        pixels = _load(entry, (camera.height, camera.width))
        if pixels is None:
            pixels = made()
            _save(entry, pixels)
        return pixels

    def _path(self, ref: FrameRef) -> Path:
        path = self.source.scan_path(ref)
        if path is None:
            raise UserError(f"no scan for {ref.name}: {ref.folder}/velodyne_points is not under {self.source.root}")
        return path


def check_scan(path: Path) -> None:
    """Raises UserError where a scan's length is not that of whole points, or the file is not there."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"cannot read the scan {path}: {error.strerror or error}") from None
    if size == 0 or size % _BYTES_PER_POINT or size > _MAX_SCAN_BYTES:
        raise UserError(f"{path}: {size:,} bytes are not a scan (a multiple of {_BYTES_PER_POINT}); get it again")


def read_scan(path: Path) -> np.ndarray:
    """A lidar scan in KITTI's format: float32 (N,4), x forward, y left, z up in metres, and reflectance.

    Raises UserError where the file cannot be read or its length is not that of whole points.
    """
    check_scan(path)
    try:
        return np.fromfile(path, dtype="<f4").reshape(-1, 4)
    except OSError as error:
        raise UserError(f"cannot read the scan {path}: {error.strerror or error}") from None


def velodyne_depth(
    scan: np.ndarray, cameras: CameraPair, reference_from_velodyne: np.ndarray, side: str, published: bool = True
) -> np.ndarray:
    """Depth of a scan's points in a camera: float32 (H,W) metres, 0 where no point falls.

    It has the quirks that all published numbers on the eigen test images have: depth is the lidar's forward distance x
    instead of the camera's z, points behind the lidar are dropped, pixels are round(u) - 1, and pixels that collide are
    found by an index that wraps a column early.

    Args:
        scan: float32 (N,4), see `read_scan`; points with a number that is not finite are left out.
        cameras: the rectified cameras; the depth map has the size of the one on `side` ('l' or 'r').
        reference_from_velodyne: float64 (4,4), metres.
        published: False leaves the quirks out, for training: depth is the camera's z, of points in front of it, pixels
            are round(u), and the nearest of a pixel wins. With them a model would learn depths 0.29 m too large.
    """
    camera = cameras.camera(side)
    points = scan[np.isfinite(scan).all(axis=1), :3].astype(np.float64)
    points = points[points[:, 0] >= 0]
    rectified = np.eye(4)
    rectified[:3, :3] = cameras.rectification
    projection = camera.projection @ rectified @ reference_from_velodyne
    u, v, z = projection @ np.vstack((points.T, np.ones(len(points))))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        column, row = np.round(u / z) - published, np.round(v / z) - published
    # Bounds are checked before the cast: a point beside the camera may project beyond any integer.
    visible = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    visible &= z != 0 if published else z > 0
    pixels = row[visible].astype(np.int64), column[visible].astype(np.int64)
    depth = (points[:, 0] if published else z)[visible].astype(np.float32)
    return _nearest(*pixels, depth, camera.height, camera.width, published)


def _nearest(
    row: np.ndarray, column: np.ndarray, depth: np.ndarray, height: int, width: int, published: bool
) -> np.ndarray:
    """The nearest depth of each pixel.

    The published code numbers pixel (r, c) as r (W-1) + c - 1, so (r, W-1) and (r+1, 0) count as one: the pixel of
    the first point in the scan gets the nearest depth of both, the other keeps its own last point. Both columns
    lie outside the crop of the eigen protocol.
    """
    image = np.zeros((height, width), np.float32)
    image[row, column] = depth
    if depth.size:
        index = row * (width - 1) + column - 1 if published else row * width + column
        _, first, group = np.unique(index, return_index=True, return_inverse=True)
        nearest = np.full(first.size, np.inf, np.float32)
        np.minimum.at(nearest, group, depth)
        image[row[first], column[first]] = nearest
    return image


def _cache_key(path: Path, cameras: CameraPair, lidar: np.ndarray, side: str, published: bool) -> str:
    """Everything the depth depends on; the scan stands for itself by path, size and time of change."""
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"cannot read the scan {path}: {error.strerror or error}") from None
    camera = cameras.camera(side)
    parts = (_CODE_VERSION, path.resolve(), stat.st_size, stat.st_mtime_ns, camera.width, camera.height)
    parts += () if published else ("camera",)
    digest = hashlib.sha256(repr(parts).encode())
    for matrix in (camera.projection, cameras.rectification, lidar):
        digest.update(np.ascontiguousarray(matrix, dtype="<f8").tobytes())
    return digest.hexdigest()


def _load(entry: Path, shape: tuple[int, int]) -> DepthPixels | None:
    """The pixels of a cache entry, or None where there is none or it is damaged: it is then made anew."""
    try:
        with np.load(entry, allow_pickle=False) as arrays:
            index, depth = arrays["index"], arrays["depth"]
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        return None
    fits = index.dtype == np.int32 and depth.dtype == np.float32 and index.ndim == 1 and index.shape == depth.shape
    if not fits or not (np.isfinite(depth) & (depth > 0)).all() or not (np.diff(index) > 0).all():
        return None
    if index.size and not 0 <= index[0] <= index[-1] < shape[0] * shape[1]:
        return None
    return DepthPixels(shape, *np.divmod(index, np.int32(shape[1])), depth)


def _save(entry: Path, pixels: DepthPixels) -> None:
    """Writes aside and renames. A cache that cannot be written costs time, not the evaluation: a warning."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(entry) as aside:
            np.savez(aside, index=pixels.rows * np.int32(pixels.shape[1]) + pixels.columns, depth=pixels.depth)
    except OSError as error:
        warnings.warn(f"the ground-truth cache {entry.parent} cannot be written: {error}", stacklevel=2)

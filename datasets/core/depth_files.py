"""Depth maps of others: 16-bit PNG with a scale, .npy, .npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.core.images import MAX_PIXELS, read_depth_png
from depth.types import UserError, reason_of

DEPTH_SUFFIXES = (".png", ".npy", ".npz")


def read_depth(path: Path, scale: float = 1.0, key: str | None = None) -> np.ndarray:
    """A depth map: float32 (H,W) metres, 0 where there is none (where the file has 0, less, NaN or infinity).

    Args:
        path: .png (16-bit grey), .npy or .npz, by its ending.
        scale: what stands in the file for a metre: 256 in KITTI's PNGs, 1 where the file has metres.
        key: of the array in a .npz; None takes the only one.

    Raises UserError naming the file where it cannot be read or holds anything but a map of real numbers.
    """
    if path.suffix.lower() == ".png":
        return read_depth_png(path, scale)
    depth = read_numbers(path, key)
    depth = depth[..., 0] if depth.ndim == 3 and depth.shape[2] == 1 else depth
    if depth.ndim != 2 or depth.dtype.kind not in "fiu" or not 0 < depth.size <= MAX_PIXELS:
        raise UserError(f"{path}: a depth map is (height, width) real numbers, this is {depth.dtype} {depth.shape}")
    with np.errstate(over="ignore"):
        depth = depth.astype(np.float32) / np.float32(scale)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def read_numbers(path: Path, key: str | None) -> np.ndarray:
    """The array of a .npy, or that of a .npz with this key, or its only one. Raises UserError naming the file."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            names = list(archive)
            if key is None and len(names) != 1:
                raise UserError(f"{path} holds {len(names)} arrays: say which by its key ({', '.join(names[:4])})")
            if key is not None and key not in names:
                raise UserError(f"{path} has no array {key!r}; it has {', '.join(names[:4])}")
            return archive[names[0] if key is None else key]
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason_of(error)}") from None
    except Exception as error:  # NumPy hands its header to a parser of Python, which trips in many ways
        raise UserError(f"{path} is damaged or not a file of plain numbers: {reason_of(error)}") from None

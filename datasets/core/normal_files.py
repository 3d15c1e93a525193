"""Surface normals of others: .npy, and PNGs of 8 or 16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.core.depth_files import read_numbers
from datasets.core.images import read_colours
from depth.types import UserError

NORMAL_SUFFIXES = (".png", ".npy")

# A component n stands in a PNG as (n + 1) times this; one that is 0 0 0 has none.
_HALVES = {np.dtype(np.uint8): 127.5, np.dtype(np.uint16): 32767.0}
_LEAST_LENGTH = 0.5  # a shorter vector has no direction


def read_normals(path: Path) -> np.ndarray:
    """A map of normals: float32 (H,W,3), unit vectors, 0 where there is none.

    In a PNG of 8 bits a component n is 127.5 (n + 1), of 16 bits 32767 (n + 1); pixels of 0 0 0, and vectors shorter
    than a half, are none. A .npy holds (H,W,3) floats. Raises UserError naming the file for anything else.
    """
    if path.suffix.lower() == ".npy":
        vectors = read_numbers(path, None)
        if vectors.ndim != 3 or vectors.shape[2] != 3 or vectors.dtype.kind != "f" or not vectors.size:
            what = f"this is {vectors.dtype} {vectors.shape}"
            raise UserError(f"{path}: a map of normals is (height, width, 3) floats, {what}")
        with np.errstate(over="ignore"):  # what is infinite then has no direction
            return unit_normals(vectors.astype(np.float32))
    stored = read_colours(path)
    vectors = stored.astype(np.float32) / np.float32(_HALVES[stored.dtype]) - 1
    return np.where((stored == 0).all(-1, keepdims=True), np.float32(0), unit_normals(vectors))


def unit_normals(vectors: np.ndarray) -> np.ndarray:
    """float32 (H,W,3): unit length, or 0 where a vector is too short to have a direction, or not finite."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    valid = np.isfinite(length) & (length > _LEAST_LENGTH)
    return np.where(valid, vectors / np.where(valid, length, 1), 0).astype(np.float32)

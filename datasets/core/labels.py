"""What becomes of labels when their image is resized, scaled, cropped or mirrored, and how they are batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from depth.types import IGNORE, LabelMaps, Labels

_MOST_THINGS = 255  # of an image; the smallest beyond that are not told apart
_FILLING = {"semantics": IGNORE, "instances": 0, "depth": 0, "normals": 0}


def resize_labels(labels: Labels, height: int, width: int) -> Labels:
    """Labels at another size, as their image is resized: pixel centres at integers, outer edges on each other.

    Ids are those of the nearest pixel. Depths and normals are means over the pixels that have one, where these are at
    least half of what is looked at; normals keep unit length.
    """
    return Labels(**{name: _RESIZES[name](value, height, width) for name, value in labels.given().items()})


def scale_depth(labels: Labels, factor: float) -> Labels:
    """Labels of an image that was enlarged and is looked at as if by the same camera: all is as much nearer."""
    return labels if labels.depth is None else replace(labels, depth=labels.depth / np.float32(factor))


def crop_labels(labels: Labels, top: int, left: int, height: int, width: int) -> Labels:
    """A window, which may reach beyond the end: there nothing has a label. `top` and `left` are 0 or more."""
    cut = {}
    for name, value in labels.given().items():
        part = value[top : top + height, left : left + width]
        cut[name] = np.full((height, width, *value.shape[2:]), _FILLING[name], value.dtype)
        cut[name][: part.shape[0], : part.shape[1]] = part
    return Labels(**cut)


def _nearest(ids: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = (_centres(old, new) for old, new in zip(ids.shape, (height, width), strict=True))
    return ids[rows[:, None], columns[None]]


def _centres(old: int, new: int) -> np.ndarray:
    """The old pixel in which each new pixel's centre lies; cv2's own nearest takes the one at its upper left corner."""
    return np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)


def _mean(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 (H,W) or (H,W,3), where all zeros is no label."""
    valid = (values != 0) if values.ndim == 2 else (values != 0).any(-1)
    method = cv2.INTER_AREA if height * width < valid.size else cv2.INTER_LINEAR
    share = cv2.resize(valid.astype(np.float32), (width, height), interpolation=method)
    share = share if values.ndim == 2 else share[..., None]
    total = cv2.resize(values, (width, height), interpolation=method)
    return np.where(share >= 0.5, total / np.maximum(share, 0.5), np.float32(0))


def _mean_direction(normals: np.ndarray, height: int, width: int) -> np.ndarray:
    mean = _mean(normals, height, width)
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    return np.where(length > 1e-3, mean / np.maximum(length, 1e-3), np.float32(0))


_RESIZES: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "semantics": _nearest,
    "instances": _nearest,
    "depth": _mean,
    "normals": _mean_direction,
}


def stack_labels(labels: Sequence[Labels]) -> LabelMaps:
    """Labels of images of one size as a batch; things are counted 1, 2, ... in each image."""
    maps = {}
    for name in labels[0].given():
        values = [getattr(each, name) for each in labels]
        if name == "instances":
            values = [_counted(ids) for ids in values]
        batch = torch.from_numpy(np.stack(values))
        maps[name] = batch.movedim(3, 1) if name == "normals" else batch[:, None] if name == "depth" else batch
    return LabelMaps(**maps)


def _counted(ids: np.ndarray) -> np.ndarray:
    """int (H,W) of any ids -> uint8 (H,W): 1, 2, ... in the order of the ids; the largest _MOST_THINGS are kept."""
    found, places, areas = np.unique(ids, return_inverse=True, return_counts=True)
    areas[found == 0] = 0
    kept = np.sort(np.argsort(-areas, kind="stable")[: min(_MOST_THINGS, np.count_nonzero(areas))])
    numbers = np.zeros(len(found), np.uint8)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers[places].reshape(ids.shape)


def mirror_labels(labels: LabelMaps, flip: Tensor) -> LabelMaps:
    """Mirrors the samples where `flip`, bool (B,), is True: columns turn round, and so does the normals' x."""

    def turn(values: Tensor) -> Tensor:
        return torch.where(flip.view(-1, *[1] * (values.dim() - 1)), values.flip(-1), values)

    turned = labels.mapped(turn)
    if turned.normals is None:
        return turned
    sign = torch.ones_like(turned.normals[:, :, :1, :1])
    sign[:, 0] = torch.where(flip, -1.0, 1.0)[:, None, None]
    return replace(turned, normals=turned.normals * sign)

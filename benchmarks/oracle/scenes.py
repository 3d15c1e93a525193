"""Frames of the embedded world with all that could be known of them, as tensors at the network's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.core.images import read_image, resize_image
from datasets.core.splits import Part
from datasets.kitti.ground_truth import DepthMapGroundTruth
from datasets.locate import DataPlace
from datasets.sets import open_source, split_frames
from datasets.world.surfaces import Class
from depth.evaluation.analysis import depth_edges, near
from depth.types import UserError

EDGE_PIXELS = 2.0  # around depth edges, at the network's size


@dataclass(frozen=True)
class Scenes:
    """M frames, their truth, and where the edges are; all float32 but for the mask."""

    images: Tensor  # (M,3,H,W) in [0,1]
    disparity: Tensor  # (M,1,H,W), inverse depth in 1/m, 0 for the sky
    classes: Tensor  # (M,K,H,W), shares of the pixel; they sum to 1
    normals: Tensor  # (M,3,H,W), camera axes, unit length; 0 for the sky
    edges: Tensor  # bool (M,1,H,W), True: within EDGE_PIXELS of a depth edge
    names: tuple[str, ...]  # "<drive> <frame> <side>"

    def __len__(self) -> int:
        return len(self.names)


def load_scenes(place: DataPlace, part: Part, height: int, width: int, every: int = 1) -> Scenes:
    """Every n-th left frame of a part of the embedded world. Raises UserError for a world without labels."""
    refs = [ref for ref in split_frames(place, "synthetic", part) if ref.side == "l"][::every]
    source = open_source(place, refs)
    truth = DepthMapGroundTruth(source)
    size, rows = (height, width), []
    for ref in refs:
        path = source.image_path(ref)
        rows.append((resize_image(read_image(path), *size) / 255.0, *_truth(truth(ref).dense(), path, size)))
    columns = [torch.stack(list(column)) for column in zip(*rows, strict=True)]
    return Scenes(*columns, names=tuple(ref.name for ref in refs))


def _truth(depth: np.ndarray, image: Path, size: tuple[int, int]) -> Sequence[Tensor]:
    """Disparity, classes, normals and edges of one frame, each (C,H,W)."""
    folder = image.parent.parent.parent / "semantics"
    ids = _label(folder / "class_02" / image.name)
    normals = _label(folder / "normal_02" / image.name)[..., ::-1] / 32767.0 - 1.0
    normals[ids == Class.SKY] = 0
    inverse = np.divide(1.0, depth, out=np.zeros(depth.shape, np.float32), where=depth > 0)
    one_hot = F.one_hot(torch.from_numpy(ids).long(), len(Class)).permute(2, 0, 1).float()
    edges = _resized(torch.from_numpy(depth_edges(depth))[None].float(), size)[0].numpy() > 0.1
    normals = _resized(torch.from_numpy(normals.copy()).permute(2, 0, 1).float(), size)
    return (
        _resized(torch.from_numpy(inverse)[None], size),
        _resized(one_hot, size),
        normals / normals.norm(dim=0, keepdim=True).clamp_min(1e-6),
        torch.from_numpy(near(edges, EDGE_PIXELS))[None],
    )


def _label(path: Path) -> np.ndarray:
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if values is None:
        raise UserError(f"{path} is missing: the oracle needs an embedded world with labels")
    return values


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(C,H0,W0) -> (C,H,W), averaged over the pixels that a new one covers, as the image is."""
    return F.interpolate(values[None], size, mode="area")[0]

"""Labels by hand, batches of noise with labels, and objectives of several tasks, all small."""

from __future__ import annotations

from dataclasses import replace

import torch

from depth.dense.building import build_dense_objective
from depth.dense.objective import DenseObjective
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.network import NetworkOptions
from depth.options.tasks import TaskOptions
from depth.types import IGNORE, Classes, FrameBatch, LabelMaps
from tests.test_objective import make_batch

CLASSES = Classes(("sky", "road", "car"), (False, False, True), ((70, 130, 180), (128, 64, 128), (0, 0, 142)))
ALL = ("depth", "semantics", "normals", "panoptic")


def labels(size: int = 2, height: int = 64, width: int = 96) -> LabelMaps:
    """Sky above, road below, two cars on it, an unlabelled column at the right; depth grows upwards."""
    semantics = torch.zeros(size, height, width, dtype=torch.uint8)
    semantics[:, height // 2 :] = 1
    instances = torch.zeros_like(semantics)
    for number, left in ((1, 10), (2, 50)):
        semantics[:, height // 2 : height // 2 + 16, left : left + 20] = 2
        instances[:, height // 2 : height // 2 + 16, left : left + 20] = number
    semantics[..., -4:] = IGNORE
    depth = torch.linspace(40, 2, height).view(1, 1, -1, 1).repeat(size, 1, 1, width)
    depth[:, :, : height // 4] = 0
    normals = torch.zeros(size, 3, height, width)
    normals[:, 1, height // 2 :] = -1
    return LabelMaps(semantics, instances, depth, normals)


def labelled_batch(offsets: tuple[int, ...] = ()) -> FrameBatch:
    batch = make_batch(offsets or (-1,))
    if not offsets:
        batch = replace(batch, sources=batch.sources[:, :0], sources_aug=batch.sources_aug[:, :0], offsets=())
    return replace(batch, labels=labels())


def dense_config(tasks: tuple[str, ...] = ALL, dejavu: dict | None = None, **options) -> Config:
    return resolved(
        Config(
            tasks=TaskOptions(tasks=tasks, **options),
            data=DataOptions(dataset="synthetic", height=64, width=96),
            network=NetworkOptions(encoder_weights="scratch"),
            dejavu=DejaVuOptions(**(dejavu or {})),
        )
    )


def dense_objective(tasks: tuple[str, ...] = ALL, dejavu: dict | None = None, **options) -> DenseObjective:
    torch.manual_seed(0)
    classes = {"names": CLASSES.names, "things": CLASSES.things, "colours": CLASSES.colours}
    return build_dense_objective(dense_config(tasks, dejavu, **options), classes)

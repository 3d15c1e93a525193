"""One picture of a set's best, median and worst images by each task: image, prediction, label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from depth.evaluation.sheets import caption
from depth.tasks.base import Task
from depth.types import LabelledSample

_TILE_WIDTH = 480  # pixels


@dataclass(frozen=True)
class ShownImage:
    """An image with a task's result and its place in the ranking."""

    task: Task
    rank: str  # "best", "median", "worst"
    figure: str  # "miou 0.412"
    sample: LabelledSample
    result: np.ndarray


def image_sheet(shown: Sequence[ShownImage], headline: str) -> np.ndarray:
    """uint8 BGR (H,W,3): the headline, then a captioned row of three tiles an image. Text is ASCII."""
    header = np.concatenate([caption(name, _TILE_WIDTH) for name in ("input", "prediction", "label")], 1)
    rows = [caption(headline, header.shape[1]), header]
    for each in shown:
        label = f"{each.task.name}, {each.rank}: {each.sample.name}   {each.figure}"
        truth = each.task.truth(each.sample.labels)
        height = round(_TILE_WIDTH * truth.shape[0] / truth.shape[1])
        pictures = [each.task.picture(each.result), each.task.picture(truth)]
        tiles = [cv2.resize(p, (_TILE_WIDTH, height), interpolation=cv2.INTER_NEAREST) for p in pictures]
        image = np.ascontiguousarray(each.sample.image.permute(1, 2, 0).numpy())
        tiles = [cv2.resize(image, (_TILE_WIDTH, height), interpolation=cv2.INTER_AREA), *tiles]
        rows += [caption(label, header.shape[1]), np.concatenate(tiles, 1)[..., ::-1]]
    return np.concatenate(rows)

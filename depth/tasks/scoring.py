"""A network's predictions of labelled images, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from depth.tasks.base import Outputs, Score, Task
from depth.types import DenseOutput, LabelledSample

# An image and each task's result at the size of its labels.
Predicted = tuple[LabelledSample, dict[str, np.ndarray]]


def predict_images(
    net: Callable[[Tensor], DenseOutput],
    tasks: Mapping[str, Task],
    batches: Iterable[Sequence[LabelledSample]],
    device: torch.device | str,
) -> Iterator[Predicted]:
    """Every image with its results, in order. `net` is in evaluation mode; autocast is the caller's."""
    for batch in batches:
        with torch.no_grad():
            images = torch.stack([sample.image for sample in batch]).to(device).float() / 255
            outputs = net(images).outputs()
            for i, sample in enumerate(batch):
                own: Outputs = {name: value[i : i + 1] for name, value in outputs.items()}
                size = next(iter(sample.labels.given().values())).shape[:2]
                yield sample, {name: task.results(own, size)[0] for name, task in tasks.items()}


def score_images(
    tasks: Mapping[str, Task], predictions: Iterable[Predicted]
) -> tuple[dict[str, Score], list[dict[str, float]]]:
    """The tasks' scores over all images, and a row an image of its own figures, <task>/<figure>."""
    scores = {name: task.score() for name, task in tasks.items()}
    rows = []
    for sample, results in predictions:
        row = {}
        for name, task in tasks.items():
            figures = scores[name].add(task.truth(sample.labels), results[name])
            row |= {f"{name}/{figure}": value for figure, value in figures.items()}
        rows.append(row)
    return scores, rows

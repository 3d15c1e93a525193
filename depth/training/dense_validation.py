"""Validation of several tasks while training: their scores on the validation images, pictures of fixed ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from depth.dense.objective import DenseObjective
from depth.tasks.scoring import predict_images, score_images
from depth.training.monitor import step_pictures
from depth.training.validation import quiet
from depth.types import FrameBatch, LabelledSample, Labels


class DenseValidation:
    """Scores and pictures of an objective, with random generators of its own.

    Args:
        objective: the one that is trained.
        batches: lists of labelled images, the same at every call.
        shown: the fixed images whose pictures are written.
        bfloat16: precision of the network, as in training.
    """

    criterion = "lowest mean of the tasks' own scores on validation images"

    def __init__(
        self,
        objective: DenseObjective,
        batches: Iterable[Sequence[LabelledSample]],
        shown: FrameBatch,
        bfloat16: bool = False,
    ) -> None:
        self.objective, self.batches, self.shown, self.bfloat16 = objective, batches, shown, bfloat16
        self.tasks = {name: task for name, task in objective.tasks.items() if name in objective.labelled}

    def scores(self) -> dict[str, float]:
        """<task>/<figure> of the figures that are shown, and "score", the mean of the tasks' own, lower is better.

        With a branch also dejavu/*, what depth.dejavu.diagnosis finds on the shown images.
        """
        with self._quiet():
            predictions = predict_images(self.objective.depth_net, self.tasks, self.batches, self.shown.target.device)
            found = score_images(self.tasks, predictions)[0]
        results = {name: score.results() for name, score in found.items()}
        figures = {f"{name}/{f}": results[name][f] for name, task in self.tasks.items() for f in task.figures}
        with self._quiet():
            branch = self.objective.diagnose_branch(self.shown.target)
        figures |= {f"dejavu/{name}": value for name, value in branch.items()}
        return figures | {"score": sum(t.judge(results[n]) for n, t in self.tasks.items()) / len(self.tasks)}

    def pictures(self) -> list[dict[str, Tensor]]:
        """Of each fixed image: step_pictures', then each task's prediction and label."""
        with self._quiet():
            output = self.objective(self.shown)
        sheets = step_pictures(self.shown, output)
        size = tuple(self.shown.target.shape[-2:])
        for name, task in self.objective.tasks.items():
            for i, result in enumerate(task.results(output.predictions, size)):
                sheets[i][f"9_{name}"] = _picture(task.picture(result))
                if name in self.tasks:
                    truth = task.truth(labels_of(self.shown, i))
                    sheets[i][f"9_{name}_label"] = _picture(task.picture(truth))
        return sheets

    def _quiet(self) -> AbstractContextManager[None]:
        return quiet(self.objective, self.shown.target.device, self.bfloat16)


def labels_of(batch: FrameBatch, index: int) -> Labels:
    """One image's labels, out of a batch."""
    found = {}
    for name in ("semantics", "instances", "depth", "normals"):
        value = getattr(batch.labels, name)
        if value is not None:
            array = value[index].cpu()
            array = array.movedim(0, 2) if name == "normals" else array[0] if name == "depth" else array
            found[name] = array.numpy()
    return Labels(**found)


def _picture(rgb) -> Tensor:
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)

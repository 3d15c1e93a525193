"""Semantic segmentation: K logits, cross-entropy over the labelled pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from depth.metrics.semantics import SemanticScore
from depth.tasks.base import Outputs, Task, nearest
from depth.types import IGNORE, Classes, LabelMaps, Labels

_UNLABELLED = (0, 0, 0)  # black


class Semantics(Task):
    """The regeneration module sees the likeliest class of each pixel, or the softmax probabilities.

    Args:
        classes: of the data set.
        dejavu_classes: decided, or probabilities as published, in whose last percent the image can be hidden.
        hardest: share of an image's pixels, those with the largest losses, whose mean is the loss; 1 takes all. (0.2 is
            Panoptic-DeepLab's, Cheng et al., CVPR 2020.)
    """

    name = "semantics"
    labels = ("semantics",)
    terms = ("semantics",)
    figures = ("miou", "pixel_accuracy", "boundary_f")
    compared = "miou"
    meaning = "8-bit grey PNG: class ids, see classes"
    export_meaning = "logits (batch,K,H,W); the class is the largest"
    higher_is_better = True

    def __init__(
        self,
        classes: Classes,
        hardest: float = 1.0,
        dejavu_classes: Literal["decided", "probabilities"] = "decided",
    ) -> None:
        self.classes, self.hardest = classes, hardest
        self.decided = dejavu_classes == "decided"
        self.channels = self.condition_channels = len(classes.names)

    def losses(self, outputs: Outputs, labels: LabelMaps) -> dict[str, Tensor]:
        """`semantics`: see depth.tasks.base.Task.losses."""
        truth = labels.semantics.long()
        loss = F.cross_entropy(outputs[self.name].float(), truth, ignore_index=IGNORE, reduction="none")
        valid = (truth != IGNORE).sum()
        if self.hardest < 1:
            count = max(1, round(self.hardest * loss[0].numel()))
            loss = loss.flatten(1).topk(count, 1).values
            valid = (loss > 0).sum()  # ignored pixels have none
        return {self.name: loss.sum() / valid.clamp_min(1)}

    def condition(self, outputs: Outputs) -> Tensor:
        """(B,K,H,W): probabilities, or 1 at the largest and 0 elsewhere, with the gradient of the probabilities.

        (The straight-through estimator of Bengio, Leonard and Courville, arXiv 1308.3432.)
        """
        probabilities = outputs[self.name].float().softmax(1)
        if not self.decided:
            return probabilities
        likeliest = probabilities.max(1, keepdim=True).indices  # argmax takes four times as long on a CPU
        decided = torch.zeros_like(probabilities).scatter_(1, likeliest, 1.0)
        return decided + (probabilities - probabilities.detach())

    def exported(self, outputs: Outputs) -> Tensor:
        """The logits."""
        return outputs[self.name]

    def results(self, outputs: Outputs, size: tuple[int, int]) -> np.ndarray:
        """Class ids, uint8 (B,H,W): of the logits, resized bilinearly."""
        logits = F.interpolate(outputs[self.name].float(), size, mode="bilinear")
        return logits.argmax(1).to(torch.uint8).cpu().numpy()

    def truth(self, labels: Labels) -> np.ndarray:
        """uint8 (H,W)."""
        return labels.semantics

    def score(self) -> SemanticScore:
        """mIoU, pixel accuracy, boundary F."""
        return SemanticScore(self.classes.names)

    def constant(self, truths: Iterable[np.ndarray]) -> np.ndarray:
        """The class that is most frequent at each pixel."""
        counts: np.ndarray | int = 0
        for truth in truths:
            counts = counts + (truth == np.arange(self.channels)[:, None, None])
        return np.argmax(counts, 0).astype(np.uint8)

    def resize(self, result: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The nearest pixels' ids."""
        return nearest(result, size)

    def stored(self, result: np.ndarray) -> np.ndarray:
        """The ids."""
        return result

    def picture(self, result: np.ndarray) -> np.ndarray:
        """The classes' colours; black where there is no label."""
        palette = np.full((256, 3), _UNLABELLED, np.uint8)
        palette[: self.channels] = self.classes.colours
        return palette[result]

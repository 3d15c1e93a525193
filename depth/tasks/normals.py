"""Surface normals in camera axes: three channels, brought to unit length."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from depth.metrics.normals import NormalScore
from depth.tasks.base import Outputs, Task
from depth.types import LabelMaps, Labels

_STEPS = 32767.0  # of a unit in the PNG


class Normals(Task):
    """The regeneration module sees the unit normals.

    The loss is the L1 distance of unit vectors summed over x, y and z, as ATRC and InvPT weigh it with 10.
    """

    name = "normals"
    labels = ("normals",)
    terms = ("normals",)
    figures = ("median_angle", "mean_angle", "within_11.25")
    compared = "mean_angle"
    meaning = "16-bit RGB PNG: x, y, z = value / 32767 - 1"
    export_meaning = "unit normals (batch,3,H,W), x right, y down, z forward"
    higher_is_better = False
    # An L1 pushes as hard from far as from near: without norms the decoder told ground from walls, but no wall from
    # another, after 216 steps at 1e-3.
    norm = True
    channels = condition_channels = 3

    def losses(self, outputs: Outputs, labels: LabelMaps) -> dict[str, Tensor]:
        """`normals`: see depth.tasks.base.Task.losses."""
        valid = (labels.normals != 0).any(1)
        distance = (self.condition(outputs) - labels.normals).abs().sum(1)
        return {self.name: (distance * valid).sum() / valid.sum().clamp_min(1)}

    def condition(self, outputs: Outputs) -> Tensor:
        """Unit normals (B,3,H,W)."""
        return F.normalize(outputs[self.name].float(), dim=1)

    def exported(self, outputs: Outputs) -> Tensor:
        """Unit normals."""
        return self.condition(outputs)

    def results(self, outputs: Outputs, size: tuple[int, int]) -> np.ndarray:
        """Unit normals, float32 (B,H,W,3)."""
        resized = F.interpolate(self.condition(outputs), size, mode="bilinear")
        return F.normalize(resized, dim=1).movedim(1, 3).cpu().numpy()

    def truth(self, labels: Labels) -> np.ndarray:
        """float32 (H,W,3); 0 where there is no label."""
        return labels.normals

    def score(self) -> NormalScore:
        """Mean, median and root mean square of the angle, shares below 11.25, 22.5 and 30 degrees."""
        return NormalScore()

    def constant(self, truths: Iterable[np.ndarray]) -> np.ndarray:
        """The mean direction at each pixel; that of all pixels where none ever had a label."""
        total: np.ndarray | int = 0
        for truth in truths:
            total = total + truth.astype(np.float64)
        overall = total.sum((0, 1))
        return _unit(np.where((total == 0).all(-1, keepdims=True), overall, total))

    def resize(self, result: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Bilinear, then unit length."""
        return _unit(cv2.resize(result, size[::-1], interpolation=cv2.INTER_LINEAR))

    def stored(self, result: np.ndarray) -> np.ndarray:
        """Steps of 1 / 32767."""
        return np.rint((result[..., ::-1].clip(-1, 1) + 1) * _STEPS).astype(np.uint16)

    def picture(self, result: np.ndarray) -> np.ndarray:
        """x, y, z in [-1,1] as red, green, blue; mid grey where there is no label."""
        return np.rint((result.clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-6)).astype(np.float32)

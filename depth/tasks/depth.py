"""Depth from labels, in metres: the same head as depth from video, a disparity in (0,1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from depth.geometry import disparity_to_depth, disparity_to_inverse_depth
from depth.metrics.depth import DepthScore
from depth.tasks.base import Outputs, Task
from depth.types import LabelMaps, Labels

FARTHEST = 80.0  # metres; beyond, a label neither teaches nor counts
_BERHU = 0.2  # of the largest error, where the loss becomes quadratic (Laina et al., 3DV 2016)


class Depth(Task):
    """The regeneration module sees the disparity divided by its mean.

    Args:
        min_depth, max_depth: of disparity 1 and 0, metres.
        depth_loss: l1, of metres; log, L1 of their logarithms; berhu, of the inverse depth as a disparity in (0,1).
    """

    name = "depth"
    labels = ("depth",)
    terms = ("depth",)
    figures = ("abs_rel", "rmse", "d1")
    compared = "rmse"
    meaning = "16-bit grey PNG: depth in metres = value / 256; 65535 is that or more"
    export_meaning = "inverse depth (batch,1,H,W), 1 / metres where labels taught it"
    higher_is_better = False
    channels = condition_channels = 1
    LOSSES: ClassVar[tuple[str, ...]] = ("l1", "log", "berhu")

    def __init__(
        self, min_depth: float = 0.1, max_depth: float = 100.0, depth_loss: Literal["l1", "log", "berhu"] = "l1"
    ) -> None:
        self.min_depth, self.max_depth, self.depth_loss = min_depth, max_depth, depth_loss

    def losses(self, outputs: Outputs, labels: LabelMaps) -> dict[str, Tensor]:
        """`depth`: see depth.tasks.base.Task.losses."""
        disparity = outputs[self.name].float()
        valid = (labels.depth > 0) & (labels.depth < FARTHEST)
        truth = torch.where(valid, labels.depth, 1.0)
        if self.depth_loss == "berhu":
            near, far = 1 / self.min_depth, 1 / self.max_depth
            error = berhu((disparity - (1 / truth - far) / (near - far)) * valid)
        else:
            depth = disparity_to_depth(disparity, self.min_depth, self.max_depth)
            error = (depth - truth if self.depth_loss == "l1" else (depth / truth).log()).abs()
        return {self.name: (error * valid).sum() / valid.sum().clamp_min(1)}

    def condition(self, outputs: Outputs) -> Tensor:
        """(B,1,H,W), mean 1 in each image, so that the branch cannot push the scale."""
        disparity = outputs[self.name].float()
        return disparity / disparity.mean((2, 3), keepdim=True)

    def exported(self, outputs: Outputs) -> Tensor:
        """Inverse depth."""
        return disparity_to_inverse_depth(outputs[self.name], self.min_depth, self.max_depth)

    def results(self, outputs: Outputs, size: tuple[int, int]) -> np.ndarray:
        """Depths in metres, float32 (B,H,W): of the inverse depth, resized bilinearly."""
        inverse = disparity_to_inverse_depth(outputs[self.name].float(), self.min_depth, self.max_depth)
        return (1 / F.interpolate(inverse, size, mode="bilinear"))[:, 0].cpu().numpy()

    def truth(self, labels: Labels) -> np.ndarray:
        """float32 (H,W), metres; 0 where there is no label."""
        return labels.depth

    def score(self) -> DepthScore:
        """Abs Rel, RMSE, RMSE log, d1, d2, d3 over all pixels of the set, up to 80 m; no scaling."""
        return DepthScore(farthest=FARTHEST)

    def constant(self, truths: Iterable[np.ndarray]) -> np.ndarray:
        """One over the mean inverse depth at each pixel; that of all pixels where none ever had a label."""
        total: np.ndarray | int = 0
        count: np.ndarray | int = 0
        for truth in truths:
            valid = (truth > 0) & (truth < FARTHEST)
            total = total + np.where(valid, 1 / np.where(valid, truth, 1), 0)
            count = count + valid
        overall = total.sum() / max(1, count.sum())
        return (1 / np.where(count > 0, total / np.maximum(count, 1), overall)).astype(np.float32)

    def resize(self, result: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Bilinear in inverse depth."""
        return 1 / cv2.resize(1 / result, size[::-1], interpolation=cv2.INTER_LINEAR)

    def stored(self, result: np.ndarray) -> np.ndarray:
        """KITTI's steps of 1 / 256 m."""
        return np.rint((result * 256.0).clip(1, 65535)).astype(np.uint16)

    def picture(self, result: np.ndarray) -> np.ndarray:
        """Inverse depth in magma, bright at the 95th percentile and above; black where there is no label."""
        inverse = np.where(result > 0, 1 / np.where(result > 0, result, 1), 0)
        scaled = np.clip(inverse / max(float(np.quantile(inverse, 0.95)), 1e-6), 0, 1)
        return np.ascontiguousarray(cv2.applyColorMap((255 * scaled).astype(np.uint8), cv2.COLORMAP_MAGMA)[..., ::-1])


def berhu(error: Tensor) -> Tensor:
    """Reverse Huber: |e| up to c, (e^2 + c^2) / 2c beyond, with c a fifth of the largest |e|. Any shape."""
    size = error.abs()
    limit = (_BERHU * size.detach().max()).clamp_min(1e-6)
    return torch.where(size <= limit, size, (size**2 + limit**2) / (2 * limit))

"""What all edits share. Defaults are ours: the DejaVu paper's settings were not available."""

from __future__ import annotations

from typing import ClassVar

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor

from depth.types import UserError


class Edit(IntensityAugmentationBase2D):
    """Base of the edits, applied to every sample (p = 1) unless told otherwise.

    Input and output (B,C,H,W), or (C,H,W) with `keepdim`. `same_on_batch` gives all samples one draw.
    """

    random: ClassVar[bool] = False  # True: what it redacts is not known beforehand; --crm auto goes by it

    def __init__(self, same_on_batch: bool = False, p: float = 1.0, keepdim: bool = False) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)

    def _bernoulli(self, probability: float, shape: tuple[int, int, int]) -> Tensor:
        """bool (B,1,h,w), True with the given probability; shape is (B,h,w)."""
        batch, height, width = shape
        draws = 1 if self.same_on_batch else batch
        mask = torch.rand(draws, 1, height, width, device=self.device) < probability
        return mask.expand(batch, 1, height, width)


def check_fraction(name: str, value: float) -> None:
    """Raises UserError where an edit's setting is not a share."""
    if not 0.0 <= value <= 1.0:
        raise UserError(f"the edit's {name} is {value}; it must lie in [0, 1]")

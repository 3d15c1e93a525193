"""The DejaVu branch: redact the target image, regenerate it from what is left and from the network's prediction."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.types import Regeneration, UserError

CONDITIONS = ("prediction", "detached", "none")


class DejaVu(nn.Module):
    """Target image and prediction C -> Regeneration. For training only; it adds nothing to inference.

    Args:
        edit: redacts an image (B,3,H,W), a kornia augmentation of depth.dejavu.edits; its draws come from torch's
            global generator.
        crm: (redacted (B,3,H,W), C (B,N,H,W)) -> regenerated (B,3,H,W). Where its attribute `fills` is true, only what
            the edit takes away counts of its image, and what the edit left is taken from the redacted one.
        condition: what the CRM is given for C. `prediction`: the prediction, so that the loss reaches its network;
            `detached`: the prediction without gradient, so that only the CRM learns; `none`: the constant 1, which
            leaves the CRM its size but no knowledge of the scene. The last two are controls.
        normalise: divide the prediction by its own mean, per image and channel. For disparity, so that the
            branch cannot push the scale of a monocular model; not for class scores or normals.
        warmup: epochs in which the CRM learns alone, on a prediction without gradient. A CRM that cannot regenerate
            yet sends a gradient that says nothing about the prediction.
        ramp: epochs after them over which the gradient that reaches the prediction grows to its full size.

    Raises UserError for an unknown condition.
    """

    def __init__(
        self,
        edit: nn.Module,
        crm: nn.Module,
        condition: str = "prediction",
        normalise: bool = True,
        warmup: float = 0.0,
        ramp: float = 0.0,
    ) -> None:
        super().__init__()
        if condition not in CONDITIONS:
            raise UserError(f"unknown DejaVu condition {condition!r}; choose one of: {', '.join(CONDITIONS)}")
        self.edit = edit
        self.crm = crm
        self.condition = condition
        self.normalise = normalise
        self.warmup, self.ramp = warmup, ramp

    def forward(self, target: Tensor, prediction: Tensor, epoch: float = math.inf) -> Regeneration:
        """target: (B,3,H,W), the clean image in [0,1]. prediction: (B,N,h,w), resized bilinearly to HxW.

        epoch: how far the training is, for warm-up and ramp; the default is after them.
        Returns both images (B,3,H,W) in float32; neither is clamped.
        """
        if target.ndim != 4 or prediction.ndim != 4 or len(target) != len(prediction):
            raise ValueError(f"DejaVu takes (B,3,H,W) and (B,N,h,w), got {target.shape} and {prediction.shape}")
        # The gradient that reaches C is the branch's whole purpose. With the module in bfloat16 it is off by 17 to 20 %
        # (30 % with LPIPS), through the ReLUs and norms inside: its last convolution alone in float32 mends nothing.
        with torch.autocast(target.device.type, enabled=False):
            redacted = self.edit(target)
            c = self.condition_on(prediction, target.shape[-2:], epoch)
            return Regeneration(redacted=redacted, regenerated=self.regenerate(redacted, c))

    def regenerate(self, redacted: Tensor, c: Tensor) -> Tensor:
        """(B,3,H,W) and C as the CRM sees it -> (B,3,H,W), for the image that the edit was last given.

        An edit E is linear, so E(I) + f - E(f) is the clean image I where f is. Nowhere is it further from I than f is
        where E is a projection, as dropping pixels and DCT components are.
        """
        image = self.crm(redacted, c)
        if getattr(self.crm, "fills", False):
            return redacted + image - self.edit(image, params=self.edit._params)  # with the draws of that call
        return image

    def strength(self, epoch: float) -> float:
        """Share of the regeneration loss's gradient that reaches the prediction, in [0,1]; the CRM gets all of its."""
        if self.condition != "prediction" or epoch < self.warmup:
            return 0.0
        return min(1.0, (epoch - self.warmup) / self.ramp) if self.ramp else 1.0

    def condition_on(self, prediction: Tensor, size: torch.Size, epoch: float = math.inf) -> Tensor:
        """C as the CRM sees it: (B,N,h,w) -> float32 (B,N,H,W), with `strength` of its gradient."""
        if self.condition == "none":
            return prediction.new_ones((*prediction.shape[:2], *size), dtype=torch.float32)
        c = scale_gradient(prediction, self.strength(epoch)).float()
        if c.shape[-2:] != size:
            c = F.interpolate(c, size, mode="bilinear")
        return c / c.mean((2, 3), keepdim=True) if self.normalise else c


def scale_gradient(values: Tensor, share: float) -> Tensor:
    """The same values, whose gradient is multiplied by `share`; with 0 there is none, and none is computed."""
    if share in (0.0, 1.0):
        return values if share else values.detach()
    return values.detach() + share * (values - values.detach())

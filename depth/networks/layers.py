"""Pieces that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The devices that networks run under autocast on. Others may not be asked, and whether they may, torch.compile before
# torch 2.14 cannot ask.
_AUTOCAST = ("cpu", "cuda")


class Float32Conv2d(nn.Conv2d):
    """A Conv2d that computes and returns float32 under autocast too.

    For the last layer of a network: bfloat16 keeps 8 bits, so a disparity's logit of -4 would move in steps
    of 0.016, which is 1.6 % of the disparity, and a pose's angles in steps of 0.4 %.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C',H',W')."""
        device = input.device.type
        if device in _AUTOCAST and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return super().forward(input.float())
        return super().forward(input)


def check_image(image: Tensor, channels: int, least: int) -> None:
    """The guard at a network's door.

    Args:
        image: what was given; should be (B,`channels`,H,W).
        channels: number of channels.
        least: smallest height and width in pixels; both must also be multiples of 32.

    Raises:
        ValueError: the shape does not fit.
    """
    if torch.jit.is_tracing():
        return  # in a trace sizes are tensors, and a comparison would be frozen into the graph with a warning
    if image.dim() != 4 or image.shape[1] != channels:
        raise ValueError(f"expected an image (B,{channels},H,W), got shape {tuple(image.shape)}")
    height, width = image.shape[-2:]
    if height % 32 or width % 32 or height < least or width < least:
        raise ValueError(
            f"expected height and width that are multiples of 32 and at least {least}, got {height}x{width}"
        )

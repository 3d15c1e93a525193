"""Pieces that several networks share."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

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


def fold_norms(network: nn.Module) -> nn.Module:
    """Puts a network in eval mode and folds its batch norms into its convolutions, in place; returns the network.

    Of each module's children, a batch norm that comes right after a convolution is folded into it; what timm applies
    after a norm stays. It computes the same, but for rounding, and is for networks that are frozen: batch norms were a
    quarter of such a network's time on a CPU, forward and backward.
    """
    network.eval()
    for parent in list(network.modules()):
        for (first, conv), (second, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, first, fuse_conv_bn_eval(conv, norm))
                setattr(parent, second, getattr(norm, "act", nn.Identity()))
    return network


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

"""Depth and pose networks: images -> disparities, pairs of frames -> motion. DEPTH_NETS names the depth networks.

May import: depth/types.py, depth/support.
"""

from __future__ import annotations

import math

from torch import nn

from depth.networks.encoder_weights import SCRATCH
from depth.support.parts import Parts, build_part

# Constructors of modules from an image (B,3,H,W) in [0,1] to a DepthOutput.
DEPTH_NETS: Parts = {
    "resnet": "depth.networks.depth_net:DepthNet",
    "packnet": "depth.networks.packnet:PackNet",
    "packnet_slim": "depth.networks.packnet:PackNetSlim",
}


def build_depth_net(
    name: str, encoder: str = "resnet18", num_channels: int = 1, encoder_weights: str = SCRATCH
) -> nn.Module:
    """A depth network: image (B,3,H,W) in [0,1] -> DepthOutput. It is told what it has a parameter for.

    Args:
        name: one of DEPTH_NETS.
        encoder: of `resnet`, the U-Net; see depth.networks.encoders.
        num_channels: prediction channels C, 1 for depth.
        encoder_weights: `pretrained`, `scratch` or a file; PackNet always starts from scratch.

    Raises:
        UserError: unknown name or encoder, or the encoder's weights cannot be had or belong to another network.
    """
    values = {"encoder": encoder, "num_channels": num_channels, "encoder_weights": encoder_weights}
    return build_part(DEPTH_NETS, name, "depth network", **values)


def set_initial_disparity(depth_net: nn.Module, disparity: float) -> None:
    """Sets the biases of a depth network's heads so that an untrained one predicts about this disparity everywhere.

    A sigmoid alone starts at 0.5, a depth of 0.2, where a pose network's first steps move the image by several
    pixels and a network from scratch may settle on an inside-out scene. From afar the first warps are small.

    Args:
        depth_net: one of DEPTH_NETS; it or a part of it holds the last convolutions before the sigmoid as `heads`.
        disparity: in (0,1).

    Raises:
        ValueError: nothing in the network is named `heads`.
    """
    heads = [head for name, module in depth_net.named_modules() if name.split(".")[-1] == "heads" for head in module]
    if not heads:
        raise ValueError(f"{type(depth_net).__name__} has no `heads`, the convolutions before the sigmoid")
    for head in heads:
        nn.init.constant_(head.bias, math.log(disparity / (1 - disparity)))

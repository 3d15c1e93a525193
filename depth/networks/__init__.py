"""Depth networks by name, the pose network, and how they start."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from depth.networks.depth_net import DepthNet
from depth.networks.packnet import PACKNET01, PACKNET_SLIM, PackNet
from depth.networks.pose_net import PoseNet
from depth.types import UserError


def _resnet(num_layers: int, num_channels: int, pretrained: bool) -> nn.Module:
    return DepthNet(num_layers, num_channels, pretrained)


def _packnet(num_layers: int, num_channels: int, pretrained: bool) -> nn.Module:
    return PackNet(PACKNET01, num_channels)


def _packnet_slim(num_layers: int, num_channels: int, pretrained: bool) -> nn.Module:
    return PackNet(PACKNET_SLIM, num_channels)


# (num_layers, num_channels, pretrained) -> module: image (B,3,H,W) -> DepthOutput. num_layers and pretrained
# concern ResNet encoders; PackNet has one depth and, as published, no ImageNet weights.
DEPTH_NETS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "resnet": _resnet,
    "packnet": _packnet,
    "packnet_slim": _packnet_slim,
}


def build_depth_net(name: str, num_layers: int = 18, num_channels: int = 1, pretrained: bool = False) -> nn.Module:
    """A depth network: image (B,3,H,W) in [0,1] -> DepthOutput.

    Args:
        name: one of DEPTH_NETS.
        num_layers: of a ResNet encoder, 18, 34, 50 or 101; PackNet has none to choose.
        num_channels: prediction channels C, 1 for depth.
        pretrained: ImageNet weights where the network has any; PackNet always starts from scratch.

    Raises:
        UserError: unknown name or num_layers, or the pretrained weights cannot be had.
    """
    if name not in DEPTH_NETS:
        raise UserError(f"unknown depth network '{name}'; choose from {', '.join(DEPTH_NETS)}")
    return DEPTH_NETS[name](num_layers, num_channels, pretrained)


def build_pose_net(
    pretrained: bool = False,
    num_layers: int = 18,
    learn_intrinsics: bool = False,
    unit: float = 1.0,
    forward: float = 0.0,
) -> nn.Module:
    """A pose network: pair (B,6,H,W) in [0,1], in time order -> (B,6), axis-angle (rad) and translation.

    Args:
        pretrained: ImageNet weights for the encoder.
        num_layers: of the ResNet encoder, 18, 34, 50 or 101.
        learn_intrinsics: adds the head for the camera's intrinsics.
        unit: what its translations are counted in, in the model's own unit.
        forward: how far the untrained network moves the camera forward, in the model's unit.

    Raises:
        UserError: unknown num_layers, or the pretrained weights cannot be had.
    """
    return PoseNet(num_layers, pretrained, learn_intrinsics, unit, forward)


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

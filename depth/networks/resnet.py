"""ResNet encoder on torchvision's layers, for one image or several stacked ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from depth.networks.encoder_weights import PRETRAINED, SCRATCH, fitted, read_weights, repeated
from depth.support.pretrained import pretrained_state
from depth.types import UserError

# The first ImageNet recipe for every depth: it is the one that the published depth results start from.
_VARIANTS: dict[int, tuple[Callable[..., models.ResNet], models.WeightsEnum]] = {
    18: (models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1),
    34: (models.resnet34, models.ResNet34_Weights.IMAGENET1K_V1),
    50: (models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1),
    101: (models.resnet101, models.ResNet101_Weights.IMAGENET1K_V1),
}


class ResNetEncoder(nn.Module):
    """Five feature maps of a ResNet without its classifier.

    Args:
        num_layers: 18, 34, 50 or 101.
        num_images: RGB images stacked in the input, M. With given weights the first convolution's are
            repeated M times and divided by M, so that M equal images give the features of one.
        weights: `pretrained` (ImageNet, from torch.hub's cache or its server), `scratch` (torchvision's
            initialisation), or a file with torchvision's keys.

    Raises:
        UserError: unknown num_layers, or the weights cannot be had or belong to another network.

    `channels` holds the widths of the five maps, `strides` their strides.
    """

    strides = (2, 4, 8, 16, 32)

    def __init__(self, num_layers: int, num_images: int = 1, weights: str = SCRATCH) -> None:
        super().__init__()
        if num_layers not in _VARIANTS:
            raise UserError(f"no ResNet with {num_layers} layers; choose from {', '.join(map(str, _VARIANTS))}")
        network = _VARIANTS[num_layers][0](weights=None)
        if weights != SCRATCH:
            _load(network, weights, num_layers)
        self.conv1 = network.conv1 if num_images == 1 else _widen(network.conv1, num_images, weights != SCRATCH)
        self.bn1 = network.bn1
        self.relu = network.relu
        self.maxpool = network.maxpool
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        self.layer4 = network.layer4
        last = network.fc.in_features
        self.channels = (self.conv1.out_channels, last // 8, last // 4, last // 2, last)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B,3M,H,W) in [0,1] -> maps (B,channels[i],H/2^(i+1),W/2^(i+1)), i = 0..4.

        The images are normalised here, (x - 0.45) / 0.225, one mean and deviation for the three colours.
        """
        half = self.relu(self.bn1(self.conv1((images - 0.45) / 0.225)))
        quarter = self.layer1(self.maxpool(half))
        eighth = self.layer2(quarter)
        sixteenth = self.layer3(eighth)
        return [half, quarter, eighth, sixteenth, self.layer4(sixteenth)]


def _load(network: models.ResNet, weights: str, num_layers: int) -> None:
    if weights == PRETRAINED:
        otherwise = "train with --encoder_weights scratch"
        network.load_state_dict(pretrained_state(_VARIANTS[num_layers][1], "ImageNet weights", otherwise))
        return
    path = Path(weights)
    whole = network.state_dict()
    kept = [name for name in whole if not name.startswith("fc.")]
    state = fitted(read_weights(path), whole, kept, path, f"resnet{num_layers}")
    network.load_state_dict(state, strict=False)  # without the classifier, which is not kept


def _widen(conv: nn.Conv2d, num_images: int, given: bool) -> nn.Conv2d:
    wide = nn.Conv2d(3 * num_images, conv.out_channels, kernel_size=7, stride=2, padding=3, bias=False)
    with torch.no_grad():
        if given:
            wide.weight.copy_(repeated(conv.weight, num_images))
        else:
            nn.init.kaiming_normal_(wide.weight, mode="fan_out", nonlinearity="relu")
    return wide


ResNet18 = partial(ResNetEncoder, num_layers=18)
ResNet34 = partial(ResNetEncoder, num_layers=34)
ResNet50 = partial(ResNetEncoder, num_layers=50)
ResNet101 = partial(ResNetEncoder, num_layers=101)

"""ResNet encoder on torchvision's layers, for one image or several stacked ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision import models

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
        num_images: RGB images stacked in the input, M. With pretrained weights the first convolution's are
            repeated M times and divided by M, so that M equal images give the features of one.
        pretrained: ImageNet weights, from torch.hub's cache or its server; else torchvision's initialisation.

    Raises:
        UserError: unknown num_layers, or the pretrained weights cannot be had.

    `channels` holds the widths of the five maps.
    """

    def __init__(self, num_layers: int, num_images: int = 1, pretrained: bool = False) -> None:
        super().__init__()
        if num_layers not in _VARIANTS:
            raise UserError(f"no ResNet with {num_layers} layers; choose from {', '.join(map(str, _VARIANTS))}")
        constructor, weights = _VARIANTS[num_layers]
        network = constructor(weights=None)
        if pretrained:
            state = pretrained_state(weights, "ImageNet weights", "train with --weights_init scratch")
            network.load_state_dict(state)
        self.conv1 = network.conv1 if num_images == 1 else _widen(network.conv1, num_images, pretrained)
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


def _widen(conv: nn.Conv2d, num_images: int, pretrained: bool) -> nn.Conv2d:
    wide = nn.Conv2d(3 * num_images, conv.out_channels, kernel_size=7, stride=2, padding=3, bias=False)
    with torch.no_grad():
        if pretrained:
            wide.weight.copy_(conv.weight.repeat(1, num_images, 1, 1) / num_images)
        else:
            nn.init.kaiming_normal_(wide.weight, mode="fan_out", nonlinearity="relu")
    return wide

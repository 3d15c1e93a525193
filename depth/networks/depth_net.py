"""Monodepth2's depth network: ResNet encoder and U-Net decoder."""

from __future__ import annotations

from torch import Tensor, nn

from depth.networks.depth_decoder import DepthDecoder
from depth.networks.layers import check_image
from depth.networks.resnet import ResNetEncoder
from depth.types import DepthOutput

# The decoder mirrors one pixel beyond the border of the encoder's last map, H/32 x W/32, so that has two at least.
SMALLEST_SIDE = 64


class DepthNet(nn.Module):
    """Image -> disparities (Godard et al., ICCV 2019).

    Args:
        num_layers: of the ResNet encoder, 18, 34, 50 or 101.
        num_channels: prediction channels C, 1 for depth.
        pretrained: encoder with ImageNet weights.

    Raises:
        UserError: unknown num_layers, or the pretrained weights cannot be had.
    """

    def __init__(self, num_layers: int = 18, num_channels: int = 1, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = ResNetEncoder(num_layers, pretrained=pretrained)
        self.decoder = DepthDecoder(self.encoder.channels, num_channels)

    def forward(self, image: Tensor) -> DepthOutput:
        """Image (B,3,H,W) in [0,1] -> disparities 4 x (B,C,H/2^s,W/2^s) in (0,1), float32, finest first.

        Raises ValueError where H or W is not a multiple of 32 or below 64.
        """
        check_image(image, channels=3, least=SMALLEST_SIDE)
        return DepthOutput(self.decoder(self.encoder(image)))

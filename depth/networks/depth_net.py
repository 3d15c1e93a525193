"""Monodepth2's depth network: an encoder, a ResNet in theirs, and a U-Net decoder."""

from __future__ import annotations

from torch import Tensor, nn

from depth.networks.depth_decoder import DepthDecoder
from depth.networks.encoder_weights import SCRATCH
from depth.networks.encoders import build_encoder
from depth.networks.layers import check_image
from depth.types import DepthOutput

# The decoder mirrors one pixel beyond the border of the encoder's last map, H/32 x W/32, so that has two at least.
SMALLEST_SIDE = 64


class DepthNet(nn.Module):
    """Image -> disparities (Godard et al., ICCV 2019).

    Args:
        encoder: its name, see `build_encoder`.
        num_channels: prediction channels C, 1 for depth.
        encoder_weights: `pretrained`, `scratch` or a file.

    Raises:
        UserError: unknown encoder, or its weights cannot be had or belong to another network.
    """

    def __init__(self, encoder: str = "resnet18", num_channels: int = 1, encoder_weights: str = SCRATCH) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, weights=encoder_weights)
        self.decoder = DepthDecoder(self.encoder.channels, num_channels)

    def forward(self, image: Tensor) -> DepthOutput:
        """Image (B,3,H,W) in [0,1] -> disparities 4 x (B,C,H/2^s,W/2^s) in (0,1), float32, finest first.

        Raises ValueError where H or W is not a multiple of 32 or below 64.
        """
        check_image(image, channels=3, least=SMALLEST_SIDE)
        return DepthOutput(self.decoder(self.encoder(image)))

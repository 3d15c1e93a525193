"""One encoder and a decoder a task: depth's is Monodepth2's, the others' stop at half the resolution."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from depth.networks.depth_decoder import DepthDecoder, Level, decode
from depth.networks.layers import Float32Conv2d, check_image
from depth.types import DenseOutput, DepthOutput

_FINEST = 1  # level of the task heads: the encoder has no map at the full resolution that a finer one could see
# Of its levels, finest first: half of depth's, whose decoder costs almost as much as a ResNet-18.
_WIDTHS = (16, 32, 64, 128)
_SMALLEST_SIDE = 64  # as depth.networks.depth_net.SMALLEST_SIDE


class TaskDecoder(nn.Module):
    """Encoder maps -> maps at the image's size, one for each head.

    Args:
        encoder_channels: widths of the encoder's five maps, finest first.
        heads: name -> channels.
        norm: batch norms behind its convolutions.
    """

    def __init__(self, encoder_channels: Sequence[int], heads: Mapping[str, int], norm: bool = False) -> None:
        super().__init__()
        inputs = (*_WIDTHS[1:], encoder_channels[-1])
        skips = encoder_channels[_FINEST - 1 : -1]
        self.levels = nn.ModuleList(Level(*each, norm) for each in zip(inputs, skips, _WIDTHS, strict=True))
        self.heads = nn.ModuleDict(
            {name: Float32Conv2d(_WIDTHS[0], c, 3, padding=1, padding_mode="reflect") for name, c in heads.items()}
        )

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Maps (B,c_i,H/2^(i+1),W/2^(i+1)), i = 0..4 -> name -> (B,channels,H,W), float32."""
        features = decode(self.levels, maps, _FINEST)[0]
        return {
            name: F.interpolate(head(features), scale_factor=2.0, mode="bilinear") for name, head in self.heads.items()
        }


class DenseNet(nn.Module):
    """Image -> all tasks' predictions.

    Args:
        encoder: image (B,3,H,W) -> five maps; `channels` are their widths.
        heads: name of a task beside depth -> channels of its head.
        depth: adds depth, a disparity.
        shared_decoder: the tasks beside depth share one decoder, up to their heads.
        normed: heads whose decoder has batch norms.
    """

    def __init__(
        self,
        encoder: nn.Module,
        heads: Mapping[str, int],
        depth: bool = False,
        shared_decoder: bool = False,
        normed: Collection[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        groups = {"shared": dict(heads)} if shared_decoder and heads else {name: {name: c} for name, c in heads.items()}
        self.decoders = nn.ModuleDict(
            {
                name: TaskDecoder(encoder.channels, group, norm=any(head in normed for head in group))
                for name, group in groups.items()
            }
        )
        self.depth_decoder = DepthDecoder(encoder.channels) if depth else None

    def forward(self, image: Tensor) -> DenseOutput:
        """Image (B,3,H,W) in [0,1], H and W multiples of 32, at least 64; see DenseOutput. Raises ValueError."""
        check_image(image, channels=3, least=_SMALLEST_SIDE)
        maps = self.encoder(image)
        found: dict[str, Tensor] = {}
        for decoder in self.decoders.values():
            found |= decoder(maps)
        disparities = None if self.depth_decoder is None else DepthOutput(self.depth_decoder(maps))
        return DenseOutput(found, disparities)


class DepthPart(nn.Module):
    """A DenseNet's depth alone: image -> DepthOutput, by encoder and depth decoder."""

    def __init__(self, net: DenseNet) -> None:
        super().__init__()
        self.encoder, self.decoder = net.encoder, net.depth_decoder

    def forward(self, image: Tensor) -> DepthOutput:
        """As depth.networks.depth_net.DepthNet."""
        check_image(image, channels=3, least=_SMALLEST_SIDE)
        return DepthOutput(self.decoder(self.encoder(image)))

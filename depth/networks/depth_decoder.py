"""U-Net decoder of Monodepth2 (Godard et al., ICCV 2019): five levels, disparity heads at the four finest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.networks.layers import Float32Conv2d

CHANNELS = (16, 32, 64, 128, 256)  # of level 0 (full resolution) to level 4 (a sixteenth)
NUM_SCALES = 4


class Level(nn.Module):
    """conv 3x3 + ELU, upsampling to twice the size, skip concatenation, conv 3x3 + ELU.

    norm: batch norms behind both convolutions; Monodepth2 has none.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, norm: bool = False) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(out_channels) if norm else nn.Identity() for _ in range(2))
        self.enter = nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect")
        self.merge = nn.Conv2d(out_channels + skip_channels, out_channels, 3, padding=1, padding_mode="reflect")

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        features = F.elu(self.norms[0](self.enter(features)), inplace=True)
        features = F.interpolate(features, scale_factor=2.0, mode="nearest")
        if skip is not None:
            features = torch.cat((features, skip), dim=1)
        return F.elu(self.norms[1](self.merge(features)), inplace=True)


class DepthDecoder(nn.Module):
    """Encoder maps -> disparities at scales 0..3.

    Args:
        encoder_channels: widths of the encoder's five maps, finest (half resolution) first.
        num_channels: prediction channels C.

    `levels` and `heads` are indexed by level and scale, 0 being the full resolution.
    """

    def __init__(self, encoder_channels: Sequence[int], num_channels: int = 1) -> None:
        super().__init__()
        inputs = (*CHANNELS[1:], encoder_channels[-1])
        skips = (0, *encoder_channels[:-1])
        self.levels = nn.ModuleList(Level(*widths) for widths in zip(inputs, skips, CHANNELS, strict=True))
        self.heads = nn.ModuleList(
            Float32Conv2d(CHANNELS[scale], num_channels, 3, padding=1, padding_mode="reflect")
            for scale in range(NUM_SCALES)
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B,c_i,H/2^(i+1),W/2^(i+1)), i = 0..4 -> disparities 4 x (B,C,H/2^s,W/2^s) in (0,1), float32."""
        features = decode(self.levels, maps)
        return tuple(torch.sigmoid(head(each)) for head, each in zip(self.heads, features, strict=False))


def decode(levels: Sequence[Level], maps: Sequence[Tensor], finest: int = 0) -> list[Tensor]:
    """The features of levels `finest` to 4, from the encoder's maps; see DepthDecoder."""
    features, found = maps[-1], []
    for level in reversed(range(finest, finest + len(levels))):
        features = levels[level - finest](features, maps[level - 1] if level > 0 else None)
        found.insert(0, features)
    return found

"""PackNet01 (Guizilini et al., "3D Packing for Self-Supervised Monocular Depth Estimation", CVPR 2020).

Resolution is folded into channels instead of being pooled away: packing is space-to-depth, a 3D convolution over
(channel, row, column) and a 2D convolution; unpacking is the reverse. Differences from the paper (ours): the heads
give our disparity in (0,1), where the paper divides the sigmoid by a minimum depth of 0.5; no dropout, as in the
released configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.networks.layers import Float32Conv2d, check_image
from depth.types import DepthOutput

_GROUPS = 16


@dataclass(frozen=True)
class PackNetSize:
    """Widths of a PackNet; all are multiples of 16, the groups of its norms."""

    stem: int  # channels after the first convolution, at full resolution
    widths: tuple[int, int, int, int, int]  # channels at strides 1, 2, 4, 8, 16, before each packing
    filters: int  # 3D filters of packing and unpacking


PACKNET01 = PackNetSize(stem=64, widths=(64, 64, 128, 256, 512), filters=8)
PACKNET_SLIM = PackNetSize(stem=16, widths=(16, 16, 32, 64, 128), filters=4)  # (ours) a quarter of the width
_BLOCKS = (2, 2, 3, 3)  # residual blocks at strides 2, 4, 8, 16
_PACKING_KERNELS = (5, 3, 3, 3, 3)


class PackNet(nn.Module):
    """Image -> disparities.

    Args:
        size: widths and 3D filters.
        num_channels: prediction channels C, 1 for depth.
    """

    def __init__(self, size: PackNetSize = PACKNET01, num_channels: int = 1) -> None:
        super().__init__()
        widths = size.widths
        self.stem = _conv_norm_elu(3, size.stem, 5)
        stages: list[nn.Module] = [_conv_norm_elu(size.stem, widths[0], 7)]
        for before, width, blocks in zip(widths[:-1], widths[1:], _BLOCKS, strict=True):
            stages.append(nn.Sequential(*(_Residual(width if i else before, width) for i in range(blocks))))
        self.stages = nn.ModuleList(stages)
        self.packings = nn.ModuleList(
            _Packing(width, kernel, size.filters) for width, kernel in zip(widths, _PACKING_KERNELS, strict=True)
        )
        skips = (size.stem, *widths[:-1])
        inputs = (*widths[1:], widths[-1])
        self.unpackings = nn.ModuleList(
            _Unpacking(before, width, size.filters) for before, width in zip(inputs, widths, strict=True)
        )
        # Levels 0..2 also see the disparity of the level below, C channels.
        self.merges = nn.ModuleList(
            _conv_norm_elu(width + skip + (num_channels if level < 3 else 0), width, 3)
            for level, (width, skip) in enumerate(zip(widths, skips, strict=True))
        )
        self.heads = nn.ModuleList(Float32Conv2d(width, num_channels, 3, padding=1) for width in widths[:4])
        self.apply(_initialise)

    def forward(self, image: Tensor) -> DepthOutput:
        """Image (B,3,H,W) in [0,1] -> disparities 4 x (B,C,H/2^s,W/2^s) in (0,1), float32, finest first.

        Raises ValueError where H or W is not a multiple of 32.
        """
        check_image(image, channels=3, least=32)
        features = self.stem(image)
        skips: list[Tensor] = []
        for stage, packing in zip(self.stages, self.packings, strict=True):
            skips.append(features)
            features = packing(stage(features))
        disparities: list[Tensor] = []
        for level in reversed(range(len(self.unpackings))):
            parts = [self.unpackings[level](features), skips[level]]
            if disparities:
                coarser = F.interpolate(disparities[0], scale_factor=2.0, mode="nearest")
                parts.append(coarser.to(parts[0].dtype))
            features = self.merges[level](torch.cat(parts, dim=1))
            if level < len(self.heads):
                disparities.insert(0, torch.sigmoid(self.heads[level](features)))
        return DepthOutput(tuple(disparities))


class _Fold(nn.Module):
    """3x3x3 convolution over (channel, row, column), (B,C,H,W) -> (B,DC,H,W), filter after filter."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        # Four dimensions instead of Conv3d's five, which Module.to(memory_format=channels_last) refuses.
        self.weight = nn.Parameter(torch.empty(filters, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(filters))
        with torch.no_grad():
            nn.init.xavier_uniform_(self.weight.unsqueeze(1))

    def forward(self, features: Tensor) -> Tensor:
        return F.conv3d(features.unsqueeze(1), self.weight.unsqueeze(1), self.bias, padding=1).flatten(1, 2)


class _Packing(nn.Module):
    """(B,C,H,W) -> (B,C,H/2,W/2)."""

    def __init__(self, channels: int, kernel: int, filters: int) -> None:
        super().__init__()
        self.fold = _Fold(filters)
        self.conv = _conv_norm_elu(4 * channels * filters, channels, kernel)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv(self.fold(F.pixel_unshuffle(features, 2)))


class _Unpacking(nn.Module):
    """(B,C,H,W) -> (B,C',2H,2W)."""

    def __init__(self, in_channels: int, out_channels: int, filters: int) -> None:
        super().__init__()
        self.conv = _conv_norm_elu(in_channels, 4 * out_channels // filters, 3)
        self.fold = _Fold(filters)

    def forward(self, features: Tensor) -> Tensor:
        return F.pixel_shuffle(self.fold(self.conv(features)), 2)


class _Residual(nn.Module):
    """Two 3x3 convolutions and a 1x1 shortcut, summed, normalised, ELU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv_norm_elu(in_channels, out_channels, 3), _conv_norm_elu(out_channels, out_channels, 3)
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        self.norm = nn.GroupNorm(_GROUPS, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        return F.elu(self.norm(self.body(features) + self.shortcut(features)), inplace=True)


def _conv_norm_elu(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2),
        nn.GroupNorm(_GROUPS, out_channels),
        nn.ELU(inplace=True),
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


PackNetSlim = partial(PackNet, size=PACKNET_SLIM)

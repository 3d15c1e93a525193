"""Conditional regeneration modules: the redacted image and the prediction C (N channels) -> the regenerated image.

The default, AdditiveCRM, is ours: it regenerates after a few hundred steps, which the others do not. CRM-F and CRM-R
are those of DejaVu (Borse et al., CVPR 2023); widths and depths are ours. These two normalise with the statistics of
the batch at hand and keep no running ones: they exist in training only, where the pictures of fixed frames shall look
like what the loss sees, and the recursive one would mix those of its passes.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from depth.support.parts import Parts, build_part

WIDTH = 32
TOLD = 16  # channels of a cell that a prediction with more is mixed to
DILATIONS = (1, 2, 4, 8)
PASSES = 4
FOLD = 2
_MEAN, _SPREAD = 0.45, 0.225  # of images, as the depth networks take them


def _conv_bn_relu(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs, track_running_stats=False),
        nn.ReLU(inplace=True),
    )


def _conv_to_cells(width: int, fold: int) -> nn.Conv2d:
    """To the colours of a cell's pixels, which begin equal: independent weights show the fold as a grid from the
    first step (Aitken et al., "Checkerboard artifact free sub-pixel convolution", arXiv 1707.02937)."""
    conv = nn.Conv2d(width, 3 * fold**2, 3, padding=1)
    with torch.no_grad():
        for values in (conv.weight, conv.bias):
            values.copy_(values[:: fold**2].repeat_interleave(fold**2, 0))
    return conv


def _condition(image: Tensor, prediction: Tensor) -> Tensor:
    """(B,3,H,W), (B,N,H,W) -> (B,N+3+N,H,W): the image's brightness times C, the image, C.

    Of cells the image has 3 channels a pixel, and its brightness is their mean.
    """
    return torch.cat((image.mean(1, keepdim=True) * prediction, image, prediction), 1)


def _centred(maps: Tensor) -> Tensor:
    """Each map of (B,C,H,W) less its mean."""
    return maps - maps.mean((2, 3), keepdim=True)


class AdditiveCRM(nn.Module):
    """Adds what was removed to the redacted image: dilated convs without norms, whose last one starts at 0.

    It begins as no change, so that every step goes into what is missing, and of its image only what the edit takes
    away counts, see DejaVu; CRM-F spends most of a short training on learning to copy what it is given. Batch norm,
    whose statistics move with every batch's edit, costs it more. The layers begin as He et al., ICCV 2015, proposed:
    without norms torch's own start fades from layer to layer, and the first hundreds of steps with it. For the same
    reason they see the image with a mean of about 0 and a spread of about 1, and C less its mean.

    A prediction of up to TOLD / fold^2 channels is folded as the image is. More, folded, would be the better part of
    the work: they are mixed to TOLD channels of a cell first, which multiply the cell's mean brightness.

    Args:
        channels: N, channels of the prediction.
        width: channels of the layers.
        dilations: one layer each. With the last conv they see sum(dilations) + 1 cells to each side.
        fold: as in ForwardCRM.
    """

    fills = True

    def __init__(
        self, channels: int = 1, width: int = WIDTH, dilations: tuple[int, ...] = DILATIONS, fold: int = FOLD
    ) -> None:
        super().__init__()
        self.fold = fold
        self.mix = None
        told = channels * fold**2
        if told > TOLD:
            self.mix = nn.Conv2d(channels, TOLD, fold, fold, bias=False)
            nn.init.kaiming_normal_(self.mix.weight, nonlinearity="linear")
            told = TOLD
        inputs = [2 * told + 3 * fold**2] + [width] * (len(dilations) - 1)
        layers = []
        for i, dilation in zip(inputs, dilations, strict=True):
            conv = nn.Conv2d(i, width, 3, padding=dilation, dilation=dilation)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
            layers += [conv, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.to_rgb = nn.Conv2d(width, 3 * fold**2, 3, padding=1)
        nn.init.zeros_(self.to_rgb.weight)
        nn.init.zeros_(self.to_rgb.bias)

    def forward(self, redacted: Tensor, prediction: Tensor) -> Tensor:
        """(B,3,H,W), (B,N,H,W) -> (B,3,H,W), unbounded; H and W divisible by `fold`."""
        image = (redacted - _MEAN) / _SPREAD
        if self.mix is None:
            cells = pixel_unshuffle(_condition(image, _centred(prediction)), self.fold)
        else:
            cells = _condition(pixel_unshuffle(image, self.fold), _centred(self.mix(prediction)))
        return redacted + pixel_shuffle(self.to_rgb(self.layers(cells)), self.fold)


class ForwardCRM(nn.Module):
    """CRM-F: Conv-BN-ReLU blocks of growing dilation, then a conv to RGB. Suits structured redaction.

    Args:
        channels: N, channels of the prediction.
        width: channels of the blocks.
        dilations: one block each. With the last conv they see sum(dilations) + 1 cells to each side.
        fold: side in pixels of a cell; cells are folded into channels before the first block and unfolded after
            the last conv. At 640x192 1 takes 3.7 GMAC, a third to a half of the whole step without the branch; 2
            takes 1.1 GMAC and sees twice as far.
        residual: add the redacted image to the output, so that the module has only to find what was removed.
            Ours, not the paper's: with spectral edits it learns several times faster, with dropped pixels slower.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = WIDTH,
        dilations: tuple[int, ...] = DILATIONS,
        fold: int = FOLD,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.fold = fold
        self.residual = residual
        inputs = [(2 * channels + 3) * fold**2] + [width] * (len(dilations) - 1)
        self.blocks = nn.Sequential(*(_conv_bn_relu(i, width, d) for i, d in zip(inputs, dilations, strict=True)))
        self.to_rgb = _conv_to_cells(width, fold)

    def forward(self, redacted: Tensor, prediction: Tensor) -> Tensor:
        """(B,3,H,W), (B,N,H,W) -> (B,3,H,W), unbounded; H and W divisible by `fold`."""
        cells = pixel_unshuffle(_condition(redacted, prediction), self.fold)
        image = pixel_shuffle(self.to_rgb(self.blocks(cells)), self.fold)
        return redacted + image if self.residual else image


class RecursiveCRM(nn.Module):
    """CRM-R: one Conv-BN-ReLU block and a conv to RGB, applied `passes` times. Suits random redaction.

    Each pass sees the last image and the prediction, and shares its weights with the others.

    Args:
        channels: N, channels of the prediction.
        width: hidden channels.
        passes: T.
        fold: as in ForwardCRM; all passes together see 2 T cells to each side.
    """

    def __init__(self, channels: int = 1, width: int = WIDTH, passes: int = PASSES, fold: int = FOLD) -> None:
        super().__init__()
        self.fold = fold
        self.passes = passes
        self.block = _conv_bn_relu((2 * channels + 3) * fold**2, width, 1)
        self.to_rgb = _conv_to_cells(width, fold)

    def forward(self, redacted: Tensor, prediction: Tensor) -> Tensor:
        """(B,3,H,W), (B,N,H,W) -> (B,3,H,W), unbounded; H and W divisible by `fold`."""
        image = redacted
        for _ in range(self.passes):
            cells = pixel_unshuffle(_condition(image, prediction), self.fold)
            image = pixel_shuffle(self.to_rgb(self.block(cells)), self.fold)
        return image


ResidualCRM = partial(ForwardCRM, residual=True)

CRMS: Parts = {
    "additive": "depth.dejavu.crm:AdditiveCRM",
    "forward": "depth.dejavu.crm:ForwardCRM",
    "recursive": "depth.dejavu.crm:RecursiveCRM",
    "residual": "depth.dejavu.crm:ResidualCRM",
}


def build_crm(name: str, channels: int, random: bool) -> nn.Module:
    """A regeneration module for N prediction channels.

    Args:
        name: one of CRMS, or auto, as the paper found: recursive for random redaction, forward for structured one.
        channels: N.
        random: whether the edit is random, see `Edit.random`.

    Raises UserError for an unknown name.
    """
    if name == "auto":
        name = "recursive" if random else "forward"
    return build_part(CRMS, name, "regeneration module", channels=channels)

"""Any network of timm that gives feature maps, as an encoder. Needs the extra `encoders`."""

from __future__ import annotations

import inspect
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth.networks.encoder_weights import PRETRAINED, SCRATCH, fitted, package_of, packaged_file, read_weights
from depth.support.quiet import quiet_loggers
from depth.types import UserError, reason_of

STRIDES = (2, 4, 8, 16, 32)
_STEM_WIDTH = 32

# By timm's module: HRNet's own maps, as DIFFNet reads them, instead of those widened for its classifier; and attention
# in windows, which takes any image size where it is not bound to one.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "hrnet": {"feature_location": ""},
    "swin_transformer": {"strict_img_size": False},
    "swin_transformer_v2": {"strict_img_size": False},
}


class TimmEncoder(nn.Module):
    """Five feature maps of a timm network without its classifier.

    Networks whose first map has stride 4 (ConvNeXt, Swin) get the map at stride 2 from a stem of our own, a strided
    convolution on the image, which starts from scratch: decoders then need no second form, and see fine detail.
    Images are normalised with the mean and deviation that the network's own weights were trained with.

    Args:
        model: timm's name.
        num_images: RGB images stacked in the input, M; see `build_encoder`.
        weights: `scratch`, `pretrained` (from a package of PACKAGES, else from timm's server), or a file with keys of
            timm, of the network's original release where timm reads that, or in timm's order.
        last_only: see `build_encoder`.

    Raises:
        UserError: timm's network gives no maps at these strides, or the weights cannot be had or do not fit.
    """

    strides = STRIDES

    def __init__(self, model: str, num_images: int = 1, weights: str = SCRATCH, last_only: bool = False) -> None:
        super().__init__()
        with quiet_loggers(logging.ERROR):
            self.net = _features(model, num_images, weights)
        config = self.net.pretrained_cfg
        self.net.pretrained_cfg = self.net.default_cfg = {}  # may hold the weights a second time
        for name, values in (("mean", config["mean"]), ("deviation", config["std"])):
            per_channel = torch.tensor(values * num_images).view(-1, 1, 1)
            self.register_buffer(name, per_channel, persistent=False)
        self.rows_last = str(getattr(self.net, "output_fmt", "NCHW")).endswith("NHWC")
        self.picked = _picked(model, self.net.feature_info.reduction())
        widths = [self.net.feature_info.channels()[index] for index in self.picked]
        self.stem = None
        if len(widths) < len(STRIDES):
            widths.insert(0, _STEM_WIDTH)
            self.stem = None if last_only else _stem(3 * num_images)
        self.channels = tuple(widths)
        self.last_only = last_only
        _rest_unused(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B,3M,H,W) in [0,1] -> maps (B,channels[i],H/2^(i+1),W/2^(i+1)), i = 0..4; the last with last_only."""
        images = (images - self.mean) / self.deviation
        found = self.net(images)
        maps = [found[index] for index in self.picked]
        if self.rows_last:
            maps = [each.permute(0, 3, 1, 2) for each in maps]
        if self.last_only:
            return maps[-1:]
        return maps if self.stem is None else [self.stem(images), *maps]


def _stem(inputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, _STEM_WIDTH, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(_STEM_WIDTH), nn.ReLU(inplace=True))


def _features(model: str, num_images: int, weights: str) -> nn.Module:
    """timm's features_only network, with its weights."""
    import timm

    arguments: dict[str, Any] = {"in_chans": 3 * num_images, "features_only": True}
    arguments |= _ARGUMENTS.get(_module_of(model).__name__.rsplit(".", 1)[-1], {})
    package = package_of(f"timm/{model}")
    if weights == SCRATCH:
        arguments["pretrained"] = False
    elif weights == PRETRAINED and package is None:
        arguments["pretrained"] = True
    else:
        path = packaged_file(package) if weights == PRETRAINED else Path(weights)
        overlay = {"state_dict": _state_for(model, path), "custom_load": False}
        arguments |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        return timm.create_model(model, **arguments)
    except Exception as error:  # a server fails with many types, and timm where a network has no maps
        if arguments["pretrained"] and "pretrained_cfg_overlay" not in arguments:
            raise UserError(
                f"ImageNet weights of timm/{model} cannot be fetched ({reason_of(error)}): name a file with "
                "--encoder_weights FILE, or train with --encoder_weights scratch"
            ) from error
        raise UserError(f"timm/{model} cannot serve as an encoder: {reason_of(error)}") from error


def _module_of(model: str) -> Any:
    """The module of timm that a network is defined in."""
    import timm

    return sys.modules[timm.model_entrypoint(model.split(".")[0]).__module__]


def _state_for(model: str, path: Path) -> dict[str, Tensor]:
    """A file's weights under timm's names. Raises UserError where they belong to another network."""
    import timm

    with torch.device("meta"):
        whole = timm.create_model(model, pretrained=False)
    state = read_weights(path)
    module = _module_of(model)
    rename = getattr(module, "checkpoint_filter_fn", None) or getattr(module, "_filter_fn", None)
    if rename is not None:
        try:
            state = rename(state, whole) if len(inspect.signature(rename).parameters) > 1 else rename(state)
        except Exception as error:  # timm's renaming takes for granted that the file is that network's
            raise UserError(
                f"--encoder_weights {path} does not fit timm/{model} ({type(error).__name__}: {reason_of(error)})"
            ) from None
    classifier = whole.pretrained_cfg["classifier"]
    return fitted(state, whole.state_dict(), classifier, path, f"timm/{model}")


def _picked(model: str, strides: list[int]) -> list[int]:
    """For each of STRIDES the last of timm's maps at it; 2 may be missing. Raises UserError where another is."""
    found = {stride: index for index, stride in enumerate(strides)}
    if any(stride not in found for stride in STRIDES[1:]) or strides[-1] != STRIDES[-1]:
        raise UserError(
            f"timm/{model} has maps at strides {', '.join(map(str, strides))}; an encoder needs "
            f"{', '.join(map(str, STRIDES[1:]))}"
        )
    return [found[stride] for stride in STRIDES if stride in found]


def _rest_unused(encoder: nn.Module) -> None:
    """Parameters that no map depends on do not learn: several processes would wait for a gradient that never comes."""
    names, parameters = zip(*encoder.named_parameters(), strict=True)
    if parameters[0].is_meta:
        return
    training = encoder.training
    maps = encoder.eval()(torch.zeros(1, encoder.mean.shape[0], 64, 64))
    total = sum(each.sum() for each in maps)
    for parameter, gradient in zip(parameters, torch.autograd.grad(total, parameters, allow_unused=True), strict=True):
        parameter.requires_grad_(gradient is not None)
    encoder.train(training)

"""Any network of timm that gives feature maps, as an encoder. Needs the extra `encoders`."""

from __future__ import annotations

import inspect
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth.networks.encoder_weights import (
    PRETRAINED,
    SCRATCH,
    fitted,
    package_of,
    packaged_file,
    read_weights,
    repeated,
)
from depth.networks.torchvision_names import RENAMES
from depth.support.quiet import quiet_loggers
from depth.types import UserError, reason_of

STRIDES = (2, 4, 8, 16, 32)
_STEM_WIDTH = 32
_PROBE = (64, 96)  # pixels; two by three at the last stride: an even and an odd number

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
        UserError: timm's network gives no maps at these strides or takes one size of image, or the weights cannot be
            had or do not fit.
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
        _probe(self, model)

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
    package = package_of(f"timm/{model}")
    fetched = weights == PRETRAINED and package is None
    try:
        net = _create(model, pretrained=fetched, features_only=True, in_chans=3 * num_images)
    except Exception as error:  # a server fails with many types, and timm where a network has no maps
        if fetched:
            raise UserError(
                f"ImageNet weights of timm/{model} cannot be fetched ({reason_of(error)}): name a file with "
                "--encoder_weights FILE, or train with --encoder_weights scratch"
            ) from error
        raise UserError(f"timm/{model} cannot serve as an encoder: {reason_of(error)}") from error
    if weights != SCRATCH and not fetched:
        _load(net, model, num_images, packaged_file(package) if weights == PRETRAINED else Path(weights))
    return net


def _create(model: str, **arguments: Any) -> nn.Module:
    import timm

    return timm.create_model(model, **arguments, **_ARGUMENTS.get(_family(model), {}))


def _family(model: str) -> str:
    """The module of timm that a network is defined in."""
    import timm

    return timm.model_entrypoint(model.split(".")[0]).__module__.rsplit(".", 1)[-1]


def _load(net: nn.Module, model: str, num_images: int, path: Path) -> None:
    """A file's weights into timm's features_only network. Raises UserError where they belong to another one."""
    import timm

    with torch.device("meta"):
        whole = timm.create_model(model)
    own = net.state_dict()
    # The wrapper for features renames `stages.0.` to `stages_0.`, or puts `model.` before all.
    flat = {name.removeprefix("model.").replace(".", "_"): name for name in own}
    names = {name: flat[key] for name in whole.state_dict() if (key := name.replace(".", "_")) in flat}
    state = _timm_names(read_weights(path), model, whole, path)
    found = fitted(state, whole.state_dict(), names, path, f"timm/{model}")
    state = {names[name]: value for name, value in found.items()}
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    if missing:
        raise UserError(f"timm/{model} takes no weights from a file: its own {missing[0]} would stay at random")
    for name, value in state.items():
        if num_images > 1 and value.dim() == 4 and own[name].shape[1] == num_images * value.shape[1]:
            state[name] = repeated(value, num_images)
    net.load_state_dict(state, strict=False)  # without the counters of batch norms


def _timm_names(state: dict[str, Tensor], model: str, whole: nn.Module, path: Path) -> dict[str, Tensor]:
    """torchvision's names, and those of original releases that timm reads, as timm's."""
    family = _family(model)
    if family in RENAMES and any(name.startswith("features.") for name in state):
        return RENAMES[family](state)
    module = sys.modules[f"timm.models.{family}"]
    rename = getattr(module, "checkpoint_filter_fn", None) or getattr(module, "_filter_fn", None)
    if rename is None or any(name in state for name in whole.state_dict()):
        return state
    try:
        return rename(*(state, whole)[: len(inspect.signature(rename).parameters)])
    except Exception as error:  # timm's renaming takes for granted that the file is that network's
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise UserError(f"--encoder_weights {path} does not fit timm/{model} ({reason})") from None


def _picked(model: str, strides: list[int]) -> list[int]:
    """For each of STRIDES the last of timm's maps at it; 2 may be missing. Raises UserError where another is."""
    found = {stride: index for index, stride in enumerate(strides)}
    if any(stride not in found for stride in STRIDES[1:]) or strides[-1] != STRIDES[-1]:
        raise UserError(
            f"timm/{model} has maps at strides {', '.join(map(str, strides))}; an encoder needs "
            f"{', '.join(map(str, STRIDES[1:]))}"
        )
    return [found[stride] for stride in STRIDES if stride in found]


def _probe(encoder: TimmEncoder, model: str) -> None:
    """One image through a new encoder: whether its maps are as promised, and which parameters any of them depends on.

    The rest does not learn: several processes would wait for a gradient that never comes. Raises UserError where the
    network is bound to one size of image, or rounds sizes up.
    """
    parameters = list(encoder.parameters())
    if parameters[0].is_meta:
        return
    encoder.eval()
    try:
        maps = encoder(torch.zeros(1, encoder.mean.shape[0], *_PROBE))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UserError(f"timm/{model} does not take every image of a multiple of 32: {reason_of(error)}") from error
    count = len(maps)
    sizes = [(c, _PROBE[0] // s, _PROBE[1] // s) for c, s in zip(encoder.channels, STRIDES, strict=True)][-count:]
    if sizes != [tuple(each.shape[1:]) for each in maps]:
        raise UserError(f"timm/{model} does not take every image of a multiple of 32: it rounds the sizes of its maps")
    total = sum(each.sum() for each in maps)
    for parameter, gradient in zip(parameters, torch.autograd.grad(total, parameters, allow_unused=True), strict=True):
        parameter.requires_grad_(gradient is not None)
    encoder.train()

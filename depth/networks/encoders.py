"""Encoders by name: images -> five maps at strides 2, 4, 8, 16, 32.

What a decoder may count on, whatever the encoder: `channels` and `strides` hold a number for each of the five maps,
finest first, and `forward` takes images (B,3M,H,W) in [0,1], H and W multiples of 32, and returns the list of them,
(B,channels[i],H/strides[i],W/strides[i]). The encoder normalises the images itself.
"""

from __future__ import annotations

import difflib
import importlib.util

from torch import nn

from depth.networks.encoder_weights import SCRATCH
from depth.support.parts import Parts, build_part
from depth.types import UserError

# Family -> constructor. A ResNet is a family of its own; of timm's, `timm/NAME` says which network.
ENCODERS: Parts = {
    "resnet18": "depth.networks.resnet:ResNet18",
    "resnet34": "depth.networks.resnet:ResNet34",
    "resnet50": "depth.networks.resnet:ResNet50",
    "resnet101": "depth.networks.resnet:ResNet101",
    "timm": "depth.networks.timm_encoder:TimmEncoder",
}


def build_encoder(name: str, num_images: int = 1, weights: str = SCRATCH, last_only: bool = False) -> nn.Module:
    """An encoder as this module's docstring describes it.

    Args:
        name: `resnet18` and so on, or `timm/` and one of timm's names.
        num_images: RGB images stacked in the input, M. Weights for one image are repeated M times in the first
            convolution and divided by M, so that M equal images give the features of one.
        weights: `pretrained`, `scratch`, or a file; see depth.networks.encoder_weights.
        last_only: only the last map is used; what the others alone need is left out or does not learn.

    Raises:
        UserError: unknown name, or the weights cannot be had or belong to another network.
    """
    check_encoder(name)
    family, _, model = name.partition("/")
    values = {"model": model, "num_images": num_images, "weights": weights, "last_only": last_only}
    return build_part(ENCODERS, family, "encoder", **values)


def check_encoder(name: str) -> None:
    """Raises UserError, with names that are like it, where there is no such encoder; timm must be installed for its."""
    resnets = {family: family for family in ENCODERS if family != "timm"}
    if name in resnets:
        return
    model = name.removeprefix("timm/")
    timm_names: dict[str, str] = {}
    if importlib.util.find_spec("timm") is not None:
        import timm

        if model != name and timm.is_model(model):
            return
        timm_names = {each: f"timm/{each}" for each in timm.list_models()}
    elif model != name:
        raise UserError(f'the encoder {name} needs the package timm: pip install -e ".[encoders]"')
    known = timm_names | resnets
    near = [known[each] for each in difflib.get_close_matches(model, known, n=3, cutoff=0.5)]
    advice = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(resnets)}, or timm/NAME"
    raise UserError(f"unknown encoder {name!r}; {advice}")

"""What a module may be given for C: the truth, the truth with some of the image in it, and what is no truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.oracle.scenes import Scenes
from depth.dejavu.diagnosis import detail

Truth = Callable[[Scenes], Tensor]


def _disparity(scenes: Scenes) -> Tensor:
    """Over its own mean, as the branch gives it to the module."""
    return scenes.disparity / scenes.disparity.mean((2, 3), keepdim=True)


def _all(scenes: Scenes) -> Tensor:
    return torch.cat((_disparity(scenes), scenes.classes, scenes.normals), 1)


def _textured(truth: Truth, share: float) -> Truth:
    """Details of the grey image on every channel, with a root mean square of `share`: of the mean disparity, of 1."""

    def condition(scenes: Scenes) -> Tensor:
        texture = detail(scenes.images.mean(1, keepdim=True))
        return truth(scenes) + share * texture / texture.square().mean((2, 3), keepdim=True).sqrt()

    return condition


CONDITIONS: Mapping[str, Truth] = {
    "none": lambda scenes: torch.ones_like(scenes.disparity),
    "disparity": _disparity,
    "disparity, 1 % texture": _textured(_disparity, 0.01),
    "disparity, 5 % texture": _textured(_disparity, 0.05),
    "classes": lambda scenes: scenes.classes,
    "classes, 1 % texture": _textured(lambda scenes: scenes.classes, 0.01),
    "classes, 5 % texture": _textured(lambda scenes: scenes.classes, 0.05),
    "normals": lambda scenes: scenes.normals,
    "all": _all,
    "grey": lambda scenes: scenes.images.mean(1, keepdim=True),
}


PREDICTION = "prediction"


def condition_of(name: str, scenes: Scenes, depth_net: nn.Module | None) -> Tensor:
    """C of all frames, (M,N,H,W): one of CONDITIONS, or what a depth network predicts, over its own mean."""
    if name != PREDICTION:
        return CONDITIONS[name](scenes)
    with torch.no_grad():
        parts = [depth_net(images).disparities[0] for images in scenes.images.split(8)]
    prediction = F.interpolate(torch.cat(parts), scenes.images.shape[-2:], mode="bilinear")
    return prediction / prediction.mean((2, 3), keepdim=True)

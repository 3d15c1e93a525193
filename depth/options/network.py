"""Which networks, and how they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from depth.networks import DEPTH_NETS
from depth.options.fields import Number, check


@dataclass(frozen=True)
class NetworkOptions:
    """The networks."""

    depth_net: Literal[tuple(DEPTH_NETS)] = "resnet"
    """Depth network: ResNet U-Net (Monodepth2), PackNet01, or a slim PackNet for small machines."""
    num_layers: Literal[18, 34, 50, 101] = 18
    """Layers of the depth network's ResNet encoder; the pose network's has 18."""
    weights_init: Annotated[Literal["pretrained", "scratch"] | None, tyro.conf.arg(metavar="{pretrained,scratch}")] = (
        None
    )
    """Encoders from ImageNet or at random. Default: pretrained (scratch on the embedded world)."""
    scales: tuple[int, ...] = (0, 1, 2, 3)
    """Decoder scales that take part in the loss."""
    min_depth: Number = None
    """Depth at disparity 1, in metres or the model's unit. Default: 0.1 (0.05 on the embedded world; 0.54 with
    --use_stereo, where 0.1 m would put every pixel outside the other image, without a gradient)."""
    max_depth: Number = None
    """Depth at disparity 0, in metres or the model's unit. Default: 100 (50 on the embedded world; 540 with
    --use_stereo)."""
    initial_disparity: Number = None
    """What the untrained depth network predicts everywhere, in (0,1). Default: the network's own start, about 0.5
    (0.05 on the embedded world, where training from scratch is short)."""
    initial_forward: Number = None
    """How far forward the untrained pose network moves the camera from frame to frame, as a share of the untrained
    depth. With none, a pose network from scratch must first find out that the camera moves, and depth learns nothing
    meanwhile. Default: 0, as in Monodepth2 (0.06 on the embedded world)."""

    def __post_init__(self) -> None:
        check(
            self.initial_forward is None or 0 <= self.initial_forward < 1,
            f"--initial_forward {self.initial_forward} is a share of the depth: from 0 to below 1",
        )
        check(
            self.depth_net == "resnet" or self.num_layers == 18,
            f"--num_layers {self.num_layers} belongs to --depth_net resnet; {self.depth_net} has one size",
        )
        check(
            self.initial_disparity is None or 0 < self.initial_disparity < 1, "--initial_disparity lies between 0 and 1"
        )
        limits = [limit for limit in (0, self.min_depth, self.max_depth) if limit is not None]
        check(sorted(set(limits)) == limits, "0 < --min_depth < --max_depth is needed")
        check(
            len(self.scales) > 0 and self.scales[0] == 0 and sorted(set(self.scales) & {0, 1, 2, 3}) == [*self.scales],
            "--scales are some of 0 1 2 3, in order, with 0",
        )

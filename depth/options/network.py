"""Which networks, and how they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from depth.networks import DEPTH_NETS
from depth.options.fields import Number, Text, check

EncoderWeights = Annotated[
    str | None,
    tyro.conf.arg(metavar="{pretrained,scratch,FILE}", help_behavior_hint="", aliases=("--weights_init",)),
]


@dataclass(frozen=True)
class NetworkOptions:
    """The networks."""

    depth_net: Literal[tuple(DEPTH_NETS)] = "resnet"
    """Depth network: the U-Net of Monodepth2 on the --encoder, PackNet01, or a slim PackNet for small machines."""
    encoder: Text = None
    """Encoder of the depth network resnet: resnet18, resnet34, resnet50, resnet101, or timm/NAME, any network of timm
    that gives feature maps, e.g. timm/convnext_tiny; needs the extra encoders. Default: the ResNet of --num_layers
    (timm/tf_efficientnet_lite0 on the embedded world, whose ImageNet weights come with pip, extra lite)."""
    num_layers: Annotated[Literal[18, 34, 50, 101] | None, tyro.conf.arg(metavar="{18,34,50,101}")] = None
    """Layers of the depth network's ResNet encoder. Default: 18."""
    encoder_weights: EncoderWeights = None
    """How the depth network's encoder begins: pretrained on ImageNet (from torchvision's or timm's server; those of
    timm/tf_efficientnet_lite0 to 2 come with pip, extra lite), from scratch, or from a file, .pth or .safetensors.
    --weights_init, Monodepth2's name, is the same flag. Default: pretrained (scratch on the embedded world, unless they
    come with pip)."""
    pose_encoder: Text = None
    """Encoder of the pose network, by the same names. Default: the depth network's where pip pretrains that, so that
    nothing is fetched; else resnet18 (timm/tf_efficientnet_lite0 on the embedded world, unless --num_layers is
    given)."""
    pose_encoder_weights: Text = None
    """How the pose network's encoder begins: pretrained, scratch, or a file; weights for one image are spread over two.
    Default: as --encoder_weights where that is given, else by the rule above."""
    scales: tuple[int, ...] = (0, 1, 2, 3)
    """Decoder scales that take part in the loss."""
    min_depth: Number = None
    """Depth at disparity 1, in metres or the model's unit. Default: 0.1 (0.05 on the embedded world; 0.54 where
    --use_stereo, --poses, --pose_scale or --depth_supervision gives metres, since 0.1 m would put every pixel outside
    the other image, without a gradient; 0.1 with depth's labels)."""
    max_depth: Number = None
    """Depth at disparity 0, in metres or the model's unit. Default: 100 (50 on the embedded world; 540 and 100
    where --min_depth is 0.54 and 0.1)."""
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
            self.depth_net == "resnet" or self.num_layers in (None, 18),
            f"--num_layers {self.num_layers} belongs to --depth_net resnet; {self.depth_net} has one size",
        )
        check(
            self.depth_net == "resnet" or self.encoder is None,
            f"--encoder {self.encoder} belongs to --depth_net resnet; {self.depth_net} has its own",
        )
        check(
            self.encoder is None or self.num_layers in (None, 18),
            f"--num_layers {self.num_layers} and --encoder {self.encoder} both choose the encoder: give one of them",
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

    @property
    def depth_encoder(self) -> str:
        """The name of the depth network's encoder."""
        return self.encoder or f"resnet{self.num_layers or 18}"

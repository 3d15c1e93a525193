"""The Lite distance: how far two images are apart in the features of an EfficientNet-Lite0 that knows ImageNet.

Ours, and not LPIPS: LPIPS (Zhang et al., CVPR 2018) weighs the channels by what people found similar, and for that
uses a trunk that must be fetched. Here all channels count alike, and pip brings the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depth.losses.perceptual import freeze, unit_distance


class LiteDistance(nn.Module):
    """Mean distance between a regenerated image and its target.

    At each pixel of each map the feature vectors are scaled to length 1; the squared distance between the two images'
    is averaged over pixels and over maps. It lies in [0,2] where features are positive, and is 0 for equal images.

    Args:
        encoder: image (B,3,H,W) in [0,1] -> list of maps; it is frozen here, see `freeze`.

    Always in eval mode, also after `.train()`. The target gets no gradient.
    """

    term = "lite"  # in the names of losses: regeneration_lite

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = freeze(encoder)
        self.to(memory_format=torch.channels_last).eval()

    def train(self, mode: bool = True) -> LiteDistance:
        """Stays in eval mode, whatever is asked."""
        return super().train(False)

    def forward(self, regenerated: Tensor, target: Tensor) -> Tensor:
        """(B,3,H,W) each, H and W multiples of 32, in [0,1], values beyond are taken as they are -> scalar, float32."""
        # In bfloat16 the gradient that reaches the image is off by 38 to 88 %.
        with torch.autocast(target.device.type, enabled=False):
            with torch.no_grad():
                references = self.encoder(target.float())
            distances = [
                unit_distance(feature, reference, feature.new_ones(feature.shape[1]))
                for feature, reference in zip(self.encoder(regenerated.float()), references, strict=True)
            ]
            return torch.stack(distances).mean()

"""Monodepth2's pose network: an encoder on two stacked frames, then four small convolutions.

A head for the camera's intrinsics, after Gordon et al., "Depth from Videos in the Wild", ICCV 2019, is added where
asked for; without it the weights are Monodepth2's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.networks.encoder_weights import SCRATCH
from depth.networks.encoders import build_encoder
from depth.networks.layers import Float32Conv2d, check_image

POSE_SCALE = 0.01  # starts training near the identity; the factor of Godard et al., ICCV 2019
_WIDTH = 256
_START_FOCAL = 0.32  # softplus of it is 0.87: a horizontal field of view of 60 degrees


class PoseNet(nn.Module):
    """Pair of frames -> relative pose (Godard et al., ICCV 2019).

    Args:
        encoder: its name, see `build_encoder`.
        encoder_weights: `pretrained`, `scratch` or a file.
        learn_intrinsics: adds the head that `pose_and_intrinsics` needs.
        unit: what translations are counted in, in the model's own; POSE_SCALE was chosen for a stereo baseline of 0.1.
        forward: how far the untrained network moves the camera forward, in the model's unit.

    Raises:
        UserError: unknown encoder, or its weights cannot be had or belong to another network.
    """

    def __init__(
        self,
        encoder: str = "resnet18",
        encoder_weights: str = SCRATCH,
        learn_intrinsics: bool = False,
        unit: float = 1.0,
        forward: float = 0.0,
    ) -> None:
        super().__init__()
        scale = torch.tensor([POSE_SCALE] * 3 + [POSE_SCALE * unit] * 3)
        self.register_buffer("scale", scale, persistent=False)
        self.encoder = build_encoder(encoder, 2, encoder_weights, last_only=True)
        self.squeeze = nn.Conv2d(self.encoder.channels[-1], _WIDTH, 1)
        self.conv1 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.conv2 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        # Twelve channels, two poses, of which the second is unused: the shape of the published checkpoints.
        self.pose = Float32Conv2d(_WIDTH, 12, 1)
        if forward:
            with torch.no_grad():  # what the camera moves towards comes nearer: z falls
                self.pose.bias[5] = -forward / self.scale[5]
        if learn_intrinsics:
            self.intrinsics = Float32Conv2d(_WIDTH, 4, 1)
            # Every pair starts with the same plausible camera; a random one can lie far off before anything is learnt.
            nn.init.zeros_(self.intrinsics.weight)
            with torch.no_grad():
                self.intrinsics.bias.copy_(torch.tensor([_START_FOCAL, _START_FOCAL, 0.0, 0.0]))

    def forward(self, pair: Tensor) -> Tensor:
        """Pair (B,6,H,W) in [0,1], earlier frame first -> (B,6), float32.

        The first three numbers are an axis-angle rotation in radians, the last three a translation in the
        model's unit; both already carry their scale.

        Raises ValueError where H or W is not a multiple of 32.
        """
        return self._pose(self._squeezed(pair))

    def pose_and_intrinsics(self, pair: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, and fx, fy, cx, cy (B,4) of both frames, float32, in pixels of the pair.

        Focal lengths are softplus(.) W, principal points W/2 and H/2 moved by a share of the side (Gordon et al.,
        section 3.3; fy in widths as well, since pixels are nearly square and the image is wide).

        Raises ValueError where H or W is not a multiple of 32; AttributeError without the head.
        """
        features = self._squeezed(pair)
        raw = self.intrinsics(features.mean(dim=(2, 3), keepdim=True))[:, :, 0, 0]
        height, width = pair.shape[-2:]
        focal, x, y = raw.split([2, 1, 1], 1)
        camera = [F.softplus(focal) * width, (width - 1) / 2 + x * width, (height - 1) / 2 + y * height]
        return self._pose(features), torch.cat(camera, 1)

    def _pose(self, features: Tensor) -> Tensor:
        features = F.relu(self.conv1(features), inplace=True)
        features = F.relu(self.conv2(features), inplace=True)
        return self.scale * self.pose(features).mean(dim=(2, 3))[:, :6]

    def _squeezed(self, pair: Tensor) -> Tensor:
        """Pair (B,6,H,W) -> (B,256,H/32,W/32)."""
        check_image(pair, channels=6, least=32)
        return F.relu(self.squeeze(self.encoder(pair)[-1]), inplace=True)

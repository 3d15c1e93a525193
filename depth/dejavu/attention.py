"""DejaVu-SA: attention shared between the redacted image and the prediction, inside the depth network.

Source: DejaVu (Borse et al., CVPR 2023), the shared attention module; its sizes and both decoders are ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.dejavu.dct import stop_band
from depth.dejavu.edits.spectral import DEFAULT_BAND
from depth.networks.layers import Float32Conv2d
from depth.types import DepthOutput

HIDDEN = 32  # channels of the decoders
LIMIT = 2.0  # of the correction in logits: a factor of 7 in a small disparity; the sum stays short of 0 and 1
STEP = 4  # side in pixels of the cells that the decoders' last conv fills


class SharedAttention(nn.Module):
    """Wraps a depth network: image -> DepthOutput, whose finest disparity has been enhanced.

    The image is redacted by a band-stop; patches of it and of the network's finest disparity become tokens, which
    attend to one another in one multi-head attention. Two decoders read all of its output: D_e corrects the
    disparity, in logits, so that it stays in (0,1), and starts as no correction; D_r adds to the redacted image what
    the band-stop took, and is run for training only.

    Args:
        base: image (B,3,H,W) -> DepthOutput; kept as `base`.
        channels: N, channels of the base's prediction.
        band: DCT radii that are removed, [low, high).
        patch: side of a token in pixels, a multiple of 4 that divides H and W. 640x192 has 2 x 480 tokens of 16.
        width: channels of a token, a multiple of 4 and of `heads`.
        heads: of the attention.
    """

    def __init__(
        self,
        base: nn.Module,
        channels: int = 1,
        band: tuple[float, float] = DEFAULT_BAND,
        patch: int = 16,
        width: int = 64,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if patch % STEP or width % STEP or width % heads:
            raise ValueError(f"patch {patch} and width {width} are multiples of {STEP}, width also of heads ({heads})")
        self.base = base
        self.band = band
        self.heads = heads
        self.patch = patch
        self.embed_image = nn.Conv2d(3, width, patch, patch)
        self.embed_prediction = nn.Conv2d(channels, width, patch, patch)
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.enhance = _decoder(2 * width, channels, patch)
        self.reconstruct = _decoder(2 * width, 3, patch)
        for decoder in (self.enhance, self.reconstruct):
            nn.init.zeros_(decoder[-2].weight)
            nn.init.zeros_(decoder[-2].bias)

    def forward(self, image: Tensor, reconstruct: bool | None = None) -> DepthOutput:
        """image: (B,3,H,W) in [0,1], H and W divisible by 32.

        Returns the base's DepthOutput with the finest disparity replaced. Where `reconstruct` (default: in training
        mode only), its extras hold `reconstruction` and `redacted`, float32 (B,3,H,W); the first is to be compared
        with `image`, the one that was given.
        """
        output = self.base(image)
        prediction = output.disparities[0].float()
        redacted = stop_band(image, *self.band)
        shared = self._attend(redacted, prediction)
        correction = LIMIT * torch.tanh(self.enhance(shared) / LIMIT)
        enhanced = torch.sigmoid(torch.logit(prediction, eps=1e-6) + correction)
        extras = dict(output.extras or {})
        if self.training if reconstruct is None else reconstruct:
            extras |= {"reconstruction": redacted + self.reconstruct(shared), "redacted": redacted}
        return DepthOutput((enhanced, *output.disparities[1:]), extras or None)

    def _attend(self, redacted: Tensor, prediction: Tensor) -> Tensor:
        """(B,3,H,W), (B,N,H,W) -> (B,2*width,H/patch,W/patch): both halves of the attention's output."""
        # Divided by its mean, as in the branch: the reconstruction shall not push the scale of the disparity.
        relative = prediction / prediction.mean((2, 3), keepdim=True)
        maps = self.embed_image(redacted), self.embed_prediction(relative)
        size = maps[0].shape[-2:]
        positions = position_encoding(*size, maps[0].shape[1], maps[0].device)
        tokens = torch.cat([m.flatten(2).transpose(1, 2) + positions for m in maps], 1)  # (B,2L,width)
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(self.norm(tokens)).chunk(3, 2)
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.merge(attended)
        return torch.cat([half.transpose(1, 2).unflatten(2, size) for half in tokens.chunk(2, 1)], 1)


def position_encoding(rows: int, columns: int, width: int, device: torch.device) -> Tensor:
    """Fixed sines and cosines of the row and the column, float32 (rows * columns, width); width a multiple of 4.

    Source: Vaswani et al., NeurIPS 2017, half of the channels for each axis.
    """
    frequencies = torch.exp(torch.arange(0, width // 4, device=device) * (-math.log(1e4) / (width // 4)))

    def axis(length: int) -> Tensor:
        angles = torch.arange(length, device=device)[:, None] * frequencies
        return torch.cat((angles.sin(), angles.cos()), 1)

    vertical = axis(rows)[:, None].expand(-1, columns, -1)
    horizontal = axis(columns)[None].expand(rows, -1, -1)
    return torch.cat((vertical, horizontal), 2).flatten(0, 1)


def _decoder(inputs: int, outputs: int, patch: int) -> nn.Sequential:
    """(B,inputs,H/patch,W/patch) -> (B,outputs,H,W), float32.

    The conv at a quarter of the size hides the patches' borders.
    """
    cells = patch // STEP
    return nn.Sequential(
        nn.Conv2d(inputs, HIDDEN * cells**2, 1),
        nn.PixelShuffle(cells),
        nn.ELU(inplace=True),
        nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1),
        nn.ELU(inplace=True),
        Float32Conv2d(HIDDEN, outputs * STEP**2, 3, padding=1),
        nn.PixelShuffle(STEP),
    )

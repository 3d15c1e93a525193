"""The edits that redact an image before it is regenerated, as kornia augmentations.

Each works alone and in kornia's AugmentationSequential, is differentiable with respect to the image, leaves masks,
boxes and keypoints as they are (no pixel moves) and replays from its params: what is random is drawn from torch's
global generator in `generate_parameters` and nowhere else.

Spatial edits set dropped pixels to 0 in all channels. Spectral edits work in float32 on each channel; they are
linear, so their images may leave [0,1], and they are not clamped, because a clamp would bring back what was removed.
Defaults are ours: the DejaVu paper's settings were not available.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor

from depth.dejavu.dct import keep_band, stop_band
from depth.types import UserError

# Bands of DCT radius for the ablation; half-open, so that no component lies in two of them.
BANDS: dict[str, tuple[float, float]] = {"low": (0.02, 0.08), "middle": (0.08, 0.35), "high": (0.35, 1.0)}
DEFAULT_KEEP = 0.5
DEFAULT_DROP = 0.5
DEFAULT_CUTOFF = 0.25
DEFAULT_BAND = BANDS["middle"]


def default_block(width: int) -> int:
    """Side of a block in pixels for images of this width: 32 at 640, in proportion, at least 2."""
    return max(2, round(32 * width / 640))


class Edit(IntensityAugmentationBase2D):
    """Base of the edits, applied to every sample (p = 1) unless told otherwise.

    Input and output (B,C,H,W), or (C,H,W) with `keepdim`. `same_on_batch` gives all samples one draw.
    """

    def __init__(self, same_on_batch: bool = False, p: float = 1.0, keepdim: bool = False) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)

    def _bernoulli(self, probability: float, shape: tuple[int, int, int]) -> Tensor:
        """bool (B,1,h,w), True with the given probability; shape is (B,h,w)."""
        batch, height, width = shape
        draws = 1 if self.same_on_batch else batch
        mask = torch.rand(draws, 1, height, width, device=self.device) < probability
        return mask.expand(batch, 1, height, width)


class NoEdit(Edit):
    """Leaves the image as it is: the control in which the CRM can copy."""

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict, transform: Tensor | None = None
    ) -> Tensor:
        return input


class DropPixels(Edit):
    """Keeps each pixel with probability `keep` in [0,1]; params carry `kept`, bool (B,1,H,W)."""

    def __init__(
        self, keep: float = DEFAULT_KEEP, same_on_batch: bool = False, p: float = 1.0, keepdim: bool = False
    ) -> None:
        super().__init__(same_on_batch, p, keepdim)
        _check_fraction("keep", keep)
        self.flags = {"keep": keep}

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        batch, _, height, width = batch_shape
        return {"kept": self._bernoulli(self.flags["keep"], (batch, height, width))}

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict, transform: Tensor | None = None
    ) -> Tensor:
        return input * params["kept"].to(input.device, non_blocking=True)


class Checkerboard(Edit):
    """Drops every other block of a checkerboard, starting at the top left with blocks of `block` pixels.

    Which of the two colours is dropped is drawn per sample, so that over the training every pixel is regenerated;
    params carry `phase`, bool (B,1,1,1), True: the top left block is dropped.
    """

    def __init__(self, block: int = 32, same_on_batch: bool = False, p: float = 1.0, keepdim: bool = False) -> None:
        super().__init__(same_on_batch, p, keepdim)
        _check_block(block)
        self.flags = {"block": block}

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        return {"phase": self._bernoulli(0.5, (batch_shape[0], 1, 1))}

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict, transform: Tensor | None = None
    ) -> Tensor:
        height, width = input.shape[-2:]
        rows = torch.arange(height, device=input.device)[:, None] // flags["block"]
        columns = torch.arange(width, device=input.device)[None, :] // flags["block"]
        odd = (rows + columns) % 2 == 1
        return input * (odd == params["phase"].to(input.device, non_blocking=True))


class DropBlocks(Edit):
    """Drops each block of a grid, `block` pixels a side from the top left, with probability `drop` in [0,1].

    Params carry `kept`, bool (B,1,ceil(H/block),ceil(W/block)).
    """

    def __init__(
        self,
        block: int = 32,
        drop: float = DEFAULT_DROP,
        same_on_batch: bool = False,
        p: float = 1.0,
        keepdim: bool = False,
    ) -> None:
        super().__init__(same_on_batch, p, keepdim)
        _check_block(block)
        _check_fraction("drop", drop)
        self.flags = {"block": block, "drop": drop}

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        batch, _, height, width = batch_shape
        block = self.flags["block"]
        return {"kept": self._bernoulli(1.0 - self.flags["drop"], (batch, -(-height // block), -(-width // block)))}

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict, transform: Tensor | None = None
    ) -> Tensor:
        height, width = input.shape[-2:]
        kept = params["kept"].to(input.device, non_blocking=True)
        # A block may be larger than the image, but need not be drawn beyond it.
        kept = kept.repeat_interleave(min(flags["block"], height), -2)
        kept = kept.repeat_interleave(min(flags["block"], width), -1)
        return input * kept[..., :height, :width]


class LowPass(Edit):
    """Keeps the DCT components with radius < `cutoff`, or with `invert` the others (high-pass, the mean goes too)."""

    def __init__(
        self,
        cutoff: float = DEFAULT_CUTOFF,
        invert: bool = False,
        same_on_batch: bool = False,
        p: float = 1.0,
        keepdim: bool = False,
    ) -> None:
        super().__init__(same_on_batch, p, keepdim)
        if not 0.0 < cutoff <= 1.0:
            raise UserError(f"the low-pass cutoff is {cutoff}; it must lie in (0, 1]")
        self.flags = {"cutoff": cutoff, "invert": invert}

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict, transform: Tensor | None = None
    ) -> Tensor:
        change = stop_band if flags["invert"] else keep_band
        return change(input, 0.0, flags["cutoff"]).to(input.dtype)


class BandStop(Edit):
    """Removes the DCT components whose radius lies in [low, high)."""

    def __init__(
        self,
        band: tuple[float, float] = DEFAULT_BAND,
        same_on_batch: bool = False,
        p: float = 1.0,
        keepdim: bool = False,
    ) -> None:
        super().__init__(same_on_batch, p, keepdim)
        low, high = band
        if not 0.0 <= low < high <= 1.0:
            raise UserError(f"the band to be removed is {low} to {high}; it needs 0 <= low < high <= 1")
        self.flags = {"low": low, "high": high}

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict, transform: Tensor | None = None
    ) -> Tensor:
        return stop_band(input, flags["low"], flags["high"]).to(input.dtype)


@dataclass(frozen=True)
class EditSettings:
    """What the edits may be told; each takes what concerns it."""

    keep: float = DEFAULT_KEEP  # pixels: probability of keeping a pixel
    block: int = 32  # checkerboard, blocks: side of a block, pixels
    drop: float = DEFAULT_DROP  # blocks: probability of dropping a block
    cutoff: float = DEFAULT_CUTOFF  # lowpass, highpass: DCT radius
    band: tuple[float, float] = DEFAULT_BAND  # bandstop: DCT radii, low and high


EDITS: Mapping[str, Callable[[EditSettings], Edit]] = {
    "pixels": lambda s: DropPixels(s.keep),
    "checkerboard": lambda s: Checkerboard(s.block),
    "blocks": lambda s: DropBlocks(s.block, s.drop),
    "lowpass": lambda s: LowPass(s.cutoff),
    "highpass": lambda s: LowPass(s.cutoff, invert=True),
    "bandstop": lambda s: BandStop(s.band),
    "low": lambda s: BandStop(BANDS["low"]),
    "middle": lambda s: BandStop(BANDS["middle"]),
    "high": lambda s: BandStop(BANDS["high"]),
    "spatial": lambda s: DropBlocks(s.block, s.drop),
    "spectral": lambda s: BandStop(s.band),
    "none": lambda s: NoEdit(),
}

# What these redact is not known beforehand; `crm_for` chooses by it.
RANDOM_EDITS = frozenset({"pixels", "blocks", "spatial"})


def build_edit(name: str, settings: EditSettings = EditSettings()) -> Edit:
    """The edit of this name in EDITS. Raises UserError for an unknown name or a value out of range."""
    check_edit(name)
    return EDITS[name](settings)


def check_edit(name: str) -> None:
    """Raises UserError, listing the names, unless EDITS has this one."""
    if name not in EDITS:
        raise UserError(f"unknown edit {name!r}; choose one of: {', '.join(EDITS)}")


def _check_fraction(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise UserError(f"the edit's {name} is {value}; it must lie in [0, 1]")


def _check_block(block: int) -> None:
    if block < 1:
        raise UserError(f"the edit's block is {block} px; it must be at least 1")

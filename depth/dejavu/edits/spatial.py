"""Edits that drop pixels: they are set to 0 in all channels."""

from __future__ import annotations

import torch
from torch import Tensor

from depth.dejavu.edits.base import Edit, check_fraction
from depth.types import UserError

DEFAULT_KEEP = 0.5
DEFAULT_DROP = 0.5


class NoEdit(Edit):
    """Leaves the image as it is: the control in which the CRM can copy."""

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict, transform: Tensor | None = None
    ) -> Tensor:
        return input


class DropPixels(Edit):
    """Keeps each pixel with probability `keep` in [0,1]; params carry `kept`, bool (B,1,H,W)."""

    random = True

    def __init__(
        self, keep: float = DEFAULT_KEEP, same_on_batch: bool = False, p: float = 1.0, keepdim: bool = False
    ) -> None:
        super().__init__(same_on_batch, p, keepdim)
        check_fraction("keep", keep)
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
        """(B,C,H,W) with every other cell of a chessboard at 0; kornia calls it."""
        height, width = input.shape[-2:]
        rows = torch.arange(height, device=input.device)[:, None] // flags["block"]
        columns = torch.arange(width, device=input.device)[None, :] // flags["block"]
        odd = (rows + columns) % 2 == 1
        return input * (odd == params["phase"].to(input.device, non_blocking=True))


class DropBlocks(Edit):
    """Drops each block of a grid, `block` pixels a side from the top left, with probability `drop` in [0,1].

    Params carry `kept`, bool (B,1,ceil(H/block),ceil(W/block)).
    """

    random = True

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
        check_fraction("drop", drop)
        self.flags = {"block": block, "drop": drop}

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        batch, _, height, width = batch_shape
        block = self.flags["block"]
        return {"kept": self._bernoulli(1.0 - self.flags["drop"], (batch, -(-height // block), -(-width // block)))}

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict, transform: Tensor | None = None
    ) -> Tensor:
        """(B,C,H,W) with its dropped blocks at 0; kornia calls it."""
        height, width = input.shape[-2:]
        kept = params["kept"].to(input.device, non_blocking=True)
        # A block may be larger than the image, but need not be drawn beyond it.
        kept = kept.repeat_interleave(min(flags["block"], height), -2)
        kept = kept.repeat_interleave(min(flags["block"], width), -1)
        return input * kept[..., :height, :width]


def _check_block(block: int) -> None:
    if block < 1:
        raise UserError(f"the edit's block is {block} px; it must be at least 1")

"""Edits that remove components of the orthonormal DCT of each channel, in float32.

They are linear, so their images may leave [0,1], and they are not clamped: a clamp would bring back what was removed.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from depth.dejavu.dct import keep_band, stop_band
from depth.dejavu.edits.base import Edit
from depth.types import UserError

# Bands of DCT radius for the ablation; half-open, so that no component lies in two of them.
BANDS: dict[str, tuple[float, float]] = {"low": (0.02, 0.08), "middle": (0.08, 0.35), "high": (0.35, 1.0)}
DEFAULT_CUTOFF = 0.25
DEFAULT_BAND = BANDS["middle"]


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


HighPass = partial(LowPass, invert=True)
LowStop, MiddleStop, HighStop = (partial(BandStop, band=band) for band in BANDS.values())

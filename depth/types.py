"""The values that pass between the rooms: frozen dataclasses, shapes and units per field.

B samples, N sources, F = 1 + N frames, S scales, C prediction channels, H x W pixels.
"""

from __future__ import annotations

import pickle
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

IGNORE = 255  # class id of a pixel without a label
WHOLE = 0.999  # of a resampled mask: but for rounding, all four pixels around the place count


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong, where, and what to do.

    Every parser, reader and option check raises it, and no other, for bad input; the scripts print it and exit with 2.
    """


def reason_of(error: Exception) -> str:
    """What a library's reader stumbled over, in one short line for a UserError: its first sentence, cut between words.

    What NumPy and PyTorch say of files that are not theirs is advice to read them unsafely, which is left out.
    """
    text = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "")
    if isinstance(error, pickle.UnpicklingError | LookupError) or re.search("pickle|weights_only|Weights only", text):
        return "it is in another format, or holds more than plain numbers"
    sentence = re.split(r"\.\s+(?=[A-Z])", text)[0].rstrip(". ")
    return textwrap.shorten(sentence, 200, placeholder=" ...") or type(error).__name__


class _TensorRecord:
    """Moves every tensor field of a frozen dataclass, also those of records inside it; other fields are left alone."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        return self._map(lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        return self._map(lambda t: t.pin_memory())

    def _map(self, function) -> Self:
        changes = {f.name: function(v) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)}
        inner = {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), _TensorRecord)}
        return replace(self, **changes, **{name: value._map(function) for name, value in inner.items()})


@dataclass(frozen=True)
class Classes:
    """The classes of a data set; K names, in the order of their ids."""

    names: tuple[str, ...]
    things: tuple[bool, ...]  # True: its objects are told apart
    colours: tuple[tuple[int, int, int], ...]  # R, G, B in 0..255, for pictures


@dataclass(frozen=True)
class Labels:
    """Labels of one image at one size, on the host; None where they were not asked for."""

    semantics: np.ndarray | None = None  # uint8 (H,W): class ids, IGNORE where there is none
    instances: np.ndarray | None = None  # int32 (H,W): tell the image's things apart; 0 elsewhere, and on crowds
    depth: np.ndarray | None = None  # float32 (H,W), metres; 0 where there is none
    normals: np.ndarray | None = None  # float32 (H,W,3), unit vectors in camera axes; 0 where there is none

    def given(self) -> dict[str, np.ndarray]:
        """The maps that are there, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


@dataclass(frozen=True)
class LabelMaps(_TensorRecord):
    """Labels of a batch at the size of its images; None where they were not asked for."""

    semantics: Tensor | None = None  # uint8 (B,H,W): class ids, IGNORE where there is none
    instances: Tensor | None = None  # uint8 (B,H,W): 1, 2, ... tell an image's things apart; 0 elsewhere
    depth: Tensor | None = None  # float32 (B,1,H,W), metres; 0 where there is none
    normals: Tensor | None = None  # float32 (B,3,H,W), unit vectors in camera axes; 0 where there is none

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The record with every map as the function makes it."""
        return self._map(function)


@dataclass(frozen=True)
class Known(_TensorRecord):
    """What is known of a batch's samples beside their images; None where it is not asked for, or of none of them."""

    counted: Tensor | None = None  # bool (B,1,H,W), True: the target's pixel takes part in the photometric loss
    sources_counted: Tensor | None = None  # bool (B,N,H,W): the same of the sources' pixels
    source_from_target: Tensor | None = None  # float32 (B,N,4,4), metres; from a file, in place of the pose network's
    travelled: Tensor | None = None  # float32 (B,N), metres from target to source; NaN where it is not known
    depth: Tensor | None = None  # float32 (B,1,H,W), metres, of some of the target's pixels; 0 elsewhere


@dataclass(frozen=True)
class RawBatch(_TensorRecord):
    """What the loader hands over: 8-bit frames at training size and the draws to be applied on the device."""

    frames: Tensor  # uint8 (B,F,3,H,W); the target first, then the sources in the order of `offsets`
    intrinsics: Tensor  # float32 (B,3,3), pixels at H x W, before the flip
    stereo_from_target: Tensor  # float32 (B,4,4), metres, before the flip; identity where no source is stereo
    flip: Tensor  # bool (B,), True: mirror the sample left-right
    jitter: Tensor  # float32 (B,4): brightness, contrast, saturation factors and hue shift; (1,1,1,0) leaves alone
    offsets: tuple[int, ...]  # N time offsets of the sources in frames; 0 is the other camera at the same time
    names: tuple[str, ...]  # B names for messages, "<folder> <frame> <side>"
    labels: LabelMaps | None = None  # of the target, before the flip
    known: Known = Known()  # before the flip
    pitch: Tensor | None = None  # float32 (B,), radians downwards: turn the cameras, after the flip; None: leave them


@dataclass(frozen=True)
class FrameBatch(_TensorRecord):
    """One training batch on the device. Networks see the `_aug` images, losses see the clean ones."""

    target: Tensor  # float32 (B,3,H,W) in [0,1]
    sources: Tensor  # float32 (B,N,3,H,W) in [0,1]
    target_aug: Tensor  # as target, colour-jittered
    sources_aug: Tensor  # as sources, with the same jitter as their target
    intrinsics: Tensor  # float32 (B,3,3), pixels at H x W
    stereo_from_target: Tensor  # float32 (B,4,4), metres; used for the sources whose offset is 0
    offsets: tuple[int, ...]  # N time offsets of the sources in frames; 0 is the other camera
    names: tuple[str, ...]  # B names
    labels: LabelMaps | None = None  # of the target
    known: Known = Known()

    def parts(self, count: int) -> list[Self]:
        """The batch as at most `count` smaller ones, in order; the last one takes what is left."""
        size = -(-len(self.names) // count)
        return [
            replace(self._map(lambda t, s=start: t[s : s + size]), names=self.names[start : start + size])
            for start in range(0, len(self.names), size)
        ]


@dataclass(frozen=True)
class DepthPixels:
    """Ground truth as the pixels that have one, in row-major order: a scan covers about one in twenty."""

    shape: tuple[int, int]  # (Hg,Wg)
    rows: np.ndarray  # int32 (P,)
    columns: np.ndarray  # int32 (P,)
    depth: np.ndarray  # float32 (P,), metres, positive

    @classmethod
    def of(cls, depth: np.ndarray) -> Self:
        """The positive pixels of a map, floats (Hg,Wg) in metres; NaN counts as nothing."""
        rows, columns = np.nonzero(depth > 0)
        values = depth[rows, columns].astype(np.float32, copy=False)
        return cls(depth.shape, rows.astype(np.int32), columns.astype(np.int32), values)

    def where(self, counted: np.ndarray) -> Self:
        """Those at which a map, bool (Hg,Wg), is True."""
        inside = counted[self.rows, self.columns]
        return type(self)(self.shape, self.rows[inside], self.columns[inside], self.depth[inside])

    def rows_between(self, first: int, last: int) -> Self:
        """The rows from `first` to before `last` as a map of their own."""
        inside = (self.rows >= first) & (self.rows < last)
        shape = (last - first, self.shape[1])
        return type(self)(shape, self.rows[inside] - np.int32(first), self.columns[inside], self.depth[inside])

    def dense(self) -> np.ndarray:
        """float32 (Hg,Wg) metres, 0 where there is no ground truth."""
        depth = np.zeros(self.shape, np.float32)
        depth[self.rows, self.columns] = self.depth
        return depth


@dataclass(frozen=True)
class EvalSample:
    """One image to be evaluated, on the host."""

    image: Tensor  # uint8 (3,H,W) at the network's input size
    truth: DepthPixels
    name: str  # "<folder> <frame> <side>"


@dataclass(frozen=True)
class LabelledSample:
    """One labelled image to be evaluated, on the host."""

    image: Tensor  # uint8 (3,H,W) at the network's input size
    labels: Labels  # at the labels' own size
    name: str


@dataclass(frozen=True)
class DepthOutput:
    """What a depth network returns, in training and in evaluation alike."""

    disparities: tuple[Tensor, ...]  # S x (B,C,H/2^s,W/2^s) in (0,1), finest first
    extras: Mapping[str, Tensor] | None = None  # what an attached branch adds, e.g. DejaVu-SA's reconstruction


@dataclass(frozen=True)
class DenseOutput:
    """What a network of several tasks returns."""

    maps: Mapping[str, Tensor]  # task -> its head's output (B,c,H,W), float32
    depth: DepthOutput | None = None  # where depth is one of the tasks

    def outputs(self) -> dict[str, Tensor]:
        """All tasks' maps at the image's size; depth's is the finest disparity."""
        return dict(self.maps) | ({} if self.depth is None else {"depth": self.depth.disparities[0]})


@dataclass(frozen=True)
class Regeneration:
    """What the DejaVu branch made of a target image."""

    redacted: Tensor  # (B,3,H,W), the edited image
    regenerated: Tensor  # (B,3,H,W), the CRM's image


@dataclass(frozen=True)
class LossTerms:
    """Named scalar losses, unweighted; `total` adds them up."""

    values: Mapping[str, Tensor]

    def total(self, weights: Mapping[str, float]) -> Tensor:
        """Weighted sum over the terms (scalar). Raises KeyError for a term without a weight."""
        return torch.stack([weights[name] * value for name, value in self.values.items()]).sum()


@dataclass(frozen=True)
class StepOutput:
    """What one pass of the objective leaves: the loss to be minimised and what is worth looking at."""

    loss: Tensor  # scalar
    terms: LossTerms
    # Of depth from video; None without.
    disparity: Tensor | None = None  # (B,1,H,W) in (0,1), finest scale
    synthesized: Tensor | None = None  # (B,N,3,H,W), the sources warped into the target at the finest scale
    active: Tensor | None = None  # bool (B,1,H,W), True: the pixel moves and takes part in the photometric loss
    source_from_target: Tensor | None = None  # (B,N,4,4)
    regeneration: Regeneration | None = None
    intrinsics: Tensor | None = None  # (B,3,3), pixels at H x W, where the pose network predicts them
    attention: Regeneration | None = None  # what DejaVu-SA redacted and reconstructed, of the image the network saw
    predictions: Mapping[str, Tensor] | None = None  # of the tasks with labels, see DenseOutput.outputs

"""Frames that follow each other, for what is said of a camera's way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datasets.core.frames import load_view
from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from depth.types import UserError


@dataclass(frozen=True)
class PoseSequence:
    """Consecutive frames of one camera and where it truly was."""

    name: str  # "09", the drive's folder without the date, or a manifest's sequence; fit for a file's name
    refs: tuple[FrameRef, ...]
    truth: np.ndarray | None  # float64 (N,4,4), first_from_frame of these frames, metres; None where nobody knows it


def sequences_of(source: FrameSource, refs: Sequence[FrameRef]) -> list[PoseSequence]:
    """A source's frames as sequences in a row, each as far as its frames follow each other, two frames at least.

    The truth is the source's poses, where it has that of every frame. Raises UserError where no two frames follow each
    other.
    """
    sequences: list[PoseSequence] = []
    names: set[str] = set()
    for run in _runs(refs):
        if len(run) > 1:
            plain = re.sub(r"[^\w.-]+", "_", run[0].folder).strip("._") or "sequence"
            name = plain if plain not in names else f"{plain}_from_{run[0].frame}"
            name = name if name not in names else f"{name}_{len(names)}"
            names.add(name)
            sequences.append(PoseSequence(name, tuple(run), _truth(source, run)))
    if not sequences:
        raise UserError(f"{source.root}: poses need two frames in a row, and among these {len(refs):,} are none")
    return sequences


def _runs(refs: Sequence[FrameRef]) -> Iterator[list[FrameRef]]:
    """The frames cut where one does not follow the other."""
    run: list[FrameRef] = []
    for ref in refs:
        if run and ref != run[-1].neighbour(1):
            yield run
            run = []
        run.append(ref)
    if run:
        yield run


def _truth(source: FrameSource, refs: Sequence[FrameRef]) -> np.ndarray | None:
    poses = [source.world_from_camera(ref) for ref in refs]
    known = [pose for pose in poses if pose is not None]
    return np.linalg.inv(known[0]) @ np.stack(known) if len(known) == len(refs) else None


class SequenceImages(torch.utils.data.Dataset):
    """A sequence's frames at the network's size, uint8 (3,H,W).

    Raises UserError for frames that are missing, damaged, or do not fit their calibration.
    """

    def __init__(self, source: FrameSource, refs: tuple[FrameRef, ...], height: int, width: int) -> None:
        self.source, self.refs = source, refs
        self.height, self.width = height, width

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Tensor:
        return load_view(self.source, self.refs[index], self.height, self.width)[0]

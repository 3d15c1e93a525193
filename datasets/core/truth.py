"""What ground truth is to the rest: pixels with a depth, per frame."""

from __future__ import annotations

from typing import Protocol

from datasets.core.splits import FrameRef
from depth.types import DepthPixels


class GroundTruth(Protocol):
    """Depth per frame. A source of frames has one of its own; see datasets.core.sources.FrameSource.ground_truth."""

    def has(self, ref: FrameRef) -> bool:
        """Whether there is ground truth for the frame."""
        ...

    def check(self, ref: FrameRef) -> None:
        """Looks for faults that need no pixel read, before hours of training. Raises UserError for the first."""
        ...

    def __call__(self, ref: FrameRef) -> DepthPixels:
        """The pixels that have one. Raises UserError where it is missing or malformed."""
        ...

"""What is known of a sample beside its images: read with it, brought to the network's size, batched, mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from depth.types import Known


@dataclass(frozen=True)
class SampleKnown:
    """One sample of a Known; see its fields there."""

    counted: np.ndarray | None  # bool (H,W)


def read_known(source: FrameSource, ref: FrameRef, height: int, width: int) -> SampleKnown:
    """What a source knows of a target, at (height, width). Raises UserError for files that cannot be used.

    A pixel counts where all pixels do that it is made of.
    """
    counted = source.counted(ref)
    if counted is not None:
        counted = cv2.resize(counted.view(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA) == 255
    return SampleKnown(counted)


def stack_known(samples: Sequence[SampleKnown]) -> Known:
    """Samples as a batch. Where one has a mask and another has none, all pixels of that one count."""
    masks = [sample.counted for sample in samples]
    size = next((mask.shape for mask in masks if mask is not None), None)
    if size is None:
        return Known()
    filled = [np.ones(size, bool) if mask is None else mask for mask in masks]
    return Known(counted=torch.from_numpy(np.stack(filled))[:, None])


def mirror_known(known: Known, flip: Tensor) -> Known:
    """Mirrors what is known of the samples where `flip`, bool (B,), is True."""
    chosen = flip[:, None, None, None]
    return Known(counted=None if known.counted is None else torch.where(chosen, known.counted.flip(-1), known.counted))

"""Images at the network's size with ground truth at its own, for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from datasets.core.frames import read_view
from datasets.core.images import resize_image
from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from depth.types import DepthPixels, EvalSample


class EvalDataset(torch.utils.data.Dataset):
    """Images at the network's size with ground truth at its own.

    Args:
        source: reads the frames.
        refs: the images.
        height, width: the network's input in pixels.
        ground_truth: frame -> the pixels that have one.
        aspect: width / height of the part around the centre that image and ground truth are cut to; None takes all.

    Raises UserError for items that are missing or damaged.
    """

    def __init__(
        self,
        source: FrameSource,
        refs: Sequence[FrameRef],
        height: int,
        width: int,
        ground_truth: Callable[[FrameRef], DepthPixels],
        aspect: float | None = None,
    ) -> None:
        self.source, self.refs, self.ground_truth = source, list(refs), ground_truth
        self.height, self.width, self.aspect = height, width, aspect

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> EvalSample:
        ref = self.refs[index]
        image, truth = read_view(self.source, ref)[0], self.ground_truth(ref)
        if self.aspect is not None:
            share = min(1.0, image.shape[2] / self.aspect / image.shape[1])
            top, bottom = _middle(image.shape[1], share)
            image, truth = image[:, top:bottom], truth.rows_between(*_middle(truth.shape[0], share))
        return EvalSample(image=resize_image(image, self.height, self.width), truth=truth, name=ref.name)


def _middle(rows: int, share: float) -> tuple[int, int]:
    """First and last + 1 of so many rows around the middle one."""
    kept = max(1, round(rows * share))
    return (rows - kept) // 2, (rows - kept) // 2 + kept

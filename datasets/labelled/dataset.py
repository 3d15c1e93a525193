"""Labelled images as training samples and for evaluation."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from datasets.core.frames import NO_JITTER, FrameSample, draw_augmentation, draw_crop
from datasets.core.images import resize_image
from datasets.core.known import SampleKnown
from datasets.core.labelled import LabelledFolder
from datasets.core.labels import crop_labels, resize_labels, scale_depth
from depth.types import LabelledSample, Labels, UserError

# Of a set whose camera is not asked for: what is computed with it cannot be mistaken for a result.
_NO_CAMERA = torch.full((3, 3), float("nan"))
_NO_MOTION = torch.eye(4)
_PADDING = 114  # grey of what lies beyond the image; nothing there has a label


class LabelledDataset(torch.utils.data.Dataset):
    """Images with labels, as FrameSamples without sources.

    Args:
        source: reads them.
        names: the images.
        kinds: the labels.
        height, width: to which a whole image is resized.
        crop: rows and columns of a random window; None takes the whole.
        scale_range: the resized image is enlarged by a factor drawn evenly from this range, and what is then too
            small is padded.
        augment: draws scale, window, flip and colour jitter; without, the image is resized to (height, width).
        seed: of the draws.

    An item's key is (epoch, index), or an index, which means epoch 0. Raises UserError for items that are missing,
    damaged, or whose labels have another size.
    """

    def __init__(
        self,
        source: LabelledFolder,
        names: Sequence[str],
        kinds: Collection[str],
        height: int,
        width: int,
        crop: tuple[int, int] | None = None,
        scale_range: tuple[float, float] = (1.0, 1.0),
        augment: bool = True,
        seed: int = 0,
    ) -> None:
        self.source, self.names, self.kinds = source, list(names), tuple(kinds)
        self.height, self.width, self.crop, self.scale_range = height, width, crop, scale_range
        self.augment, self.seed = augment, seed

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: tuple[int, int] | int) -> FrameSample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        name = self.names[index]
        image, labels = load_labelled(self.source, name, self.kinds)
        flip, jitter = False, NO_JITTER
        if self.augment:
            flip, jitter = draw_augmentation(self.seed, epoch, index)
            image, labels = self._window(image, labels, draw_crop(self.seed, epoch, index))
        else:
            image, labels = _resized(image, labels, self.height, self.width)
        return FrameSample((image,), _NO_CAMERA, _NO_MOTION, flip, jitter, (), name, SampleKnown(None), labels)

    def _window(self, image: Tensor, labels: Labels, draws: tuple[float, float, float]) -> tuple[Tensor, Labels]:
        """A window of the scaled image, as the draws in [0,1) say: factor, row, column."""
        low, high = self.scale_range
        factor = low + (high - low) * draws[0]
        size = tuple(max(1, round(factor * side)) for side in (self.height, self.width))
        image, labels = _resized(image, labels, *size)
        height, width = self.crop or (self.height, self.width)
        if (height, width) == size:
            return image, scale_depth(labels, factor)
        room = [max(0, have - want) for have, want in zip(size, (height, width), strict=True)]
        top, left = (int(draw * (space + 1)) for draw, space in zip(draws[1:], room, strict=True))
        window = image.new_full((3, height, width), _PADDING)
        part = image[:, top : top + height, left : left + width]
        window[:, : part.shape[1], : part.shape[2]] = part
        return window, scale_depth(crop_labels(labels, top, left, height, width), factor)


class LabelledImages(torch.utils.data.Dataset):
    """Images at the network's size with their labels at their own, as LabelledSamples; see LabelledDataset."""

    def __init__(
        self, source: LabelledFolder, names: Sequence[str], kinds: Collection[str], height: int, width: int
    ) -> None:
        self.source, self.names, self.kinds = source, list(names), tuple(kinds)
        self.height, self.width = height, width

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> LabelledSample:
        image, labels = load_labelled(self.source, self.names[index], self.kinds)
        return LabelledSample(resize_image(image, self.height, self.width), labels, self.names[index])


def load_labelled(source: LabelledFolder, name: str, kinds: Collection[str]) -> tuple[Tensor, Labels]:
    """An image, uint8 (3,H,W), and its labels at that size. Raises UserError where a label has another size."""
    image, labels = source.image(name), source.labels(name, kinds)
    check_sizes(source, name, labels, image.shape[2], image.shape[1])
    return image, labels


def check_sizes(source: LabelledFolder, name: str, labels: Labels, width: int, height: int) -> None:
    """Raises UserError where a label has another size than its image, which has these."""
    for kind, value in labels.given().items():
        rows, columns = value.shape[:2]
        if (columns, rows) != (width, height):
            path = source.label_path(name, kind)
            raise UserError(f"{path} has {columns}x{rows} pixels, its image {width}x{height}")


def _resized(image: Tensor, labels: Labels, height: int, width: int) -> tuple[Tensor, Labels]:
    return resize_image(image, height, width), resize_labels(labels, height, width)

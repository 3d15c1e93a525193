"""Training samples and evaluation images: frames at the network's size with their intrinsics, and how they are batched.

The host only decodes and resizes, in 8 bits. What is random is drawn here, from nothing but (seed, epoch, index),
and applied on the device by datasets.core.augment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from datasets.core.images import read_image, resize_image
from datasets.core.intrinsics import resize_intrinsics
from datasets.core.known import SampleKnown, Wanted, read_known, stack_known
from datasets.core.labels import resize_labels, stack_labels
from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from depth.types import Labels, RawBatch, UserError

NO_JITTER = (1.0, 1.0, 1.0, 0.0)
_IDENTITY = torch.eye(4)


@dataclass(frozen=True)
class FrameSample:
    """One sample of a RawBatch; see its fields there."""

    frames: tuple[Tensor, ...]  # F times uint8 (3,H,W); one copy, into the batch, is all that cached ones need
    intrinsics: Tensor  # float32 (3,3), pixels at H x W
    stereo_from_target: Tensor  # float32 (4,4), metres; identity where no source is stereo
    flip: bool
    jitter: tuple[float, float, float, float]
    offsets: tuple[int, ...]
    name: str
    known: SampleKnown
    labels: Labels | None = None  # of the target, at H x W
    pitch: float | None = None  # radians


def resize_view(image: Tensor, intrinsics: np.ndarray, height: int, width: int) -> tuple[Tensor, np.ndarray]:
    """Resizes an image and edits its intrinsics with it.

    Pixel centres are at integers, before and after, and the image's outer edges stay on each other. So pixel u goes
    to (u + 0.5) W / W0 - 0.5, which is the resize of `resize_image`, and fits warps with align_corners=True.

    Args:
        image: uint8 (3,H0,W0).
        intrinsics: float64 (3,3), pixels of that image.

    Returns:
        uint8 (3,height,width) and float64 (3,3) in its pixels.
    """
    edited = resize_intrinsics(intrinsics, (image.shape[2], image.shape[1]), height, width)
    return resize_image(image, height, width), edited


def load_view(source: FrameSource, ref: FrameRef, height: int, width: int) -> tuple[Tensor, np.ndarray]:
    """A frame at (height, width), uint8 (3,H,W), and its intrinsics, float64 (3,3), in its pixels.

    Raises UserError where the image or its calibration is missing, damaged, or of different sizes.
    """
    return resize_view(*read_view(source, ref), height, width)


def read_view(source: FrameSource, ref: FrameRef) -> tuple[Tensor, np.ndarray]:
    """A frame at its own size, uint8 (3,H0,W0), and its intrinsics. Raises UserError as `load_view`."""
    path = source.image_path(ref)
    image = read_image(path)
    intrinsics, size = source.intrinsics(ref)
    if (image.shape[2], image.shape[1]) != size:
        raise UserError(
            f"{path} has {image.shape[2]}x{image.shape[1]} pixels, its calibration is for {size[0]}x{size[1]}: "
            "use the original images"
        )
    lens = source.lens(ref)
    return image if lens is None else lens.straighten(image), intrinsics


class FrameLookup(Protocol):
    """Frames that are at hand, at training size."""

    def __getitem__(self, ref: FrameRef) -> Tensor: ...


class FrameDataset(torch.utils.data.Dataset):
    """Target frames with their sources.

    Args:
        source: reads the frames.
        refs: the targets.
        height, width: the network's input in pixels.
        offsets: the sources as offsets in time, none of them 0.
        use_stereo: adds the other camera as the last source, with offset 0.
        augment: draws flip and colour jitter, each for half of the samples.
        seed: of the draws.
        cache: the frames at (height, width), see datasets.core.cache.FrameCache; None reads the files.
        wanted: what is known beside the images and asked for.
        labels: a target's labels at their own size; None has none.
        pitch_jitter: largest turn of a sample's cameras in degrees, where `augment` is set; 0 turns none.

    An item's key is (epoch, index), or an index, which means epoch 0. Raises UserError for frames that are missing,
    damaged, or do not fit their calibration.
    """

    def __init__(
        self,
        source: FrameSource,
        refs: Sequence[FrameRef],
        height: int,
        width: int,
        offsets: tuple[int, ...] = (-1, 1),
        use_stereo: bool = False,
        augment: bool = True,
        seed: int = 0,
        cache: FrameLookup | None = None,
        wanted: Wanted = Wanted(),
        labels: Callable[[FrameRef], Labels] | None = None,
        pitch_jitter: float = 0.0,
    ) -> None:
        if 0 in offsets:
            raise ValueError("offset 0 is the target; the other camera is asked for with use_stereo")
        self.source, self.refs = source, list(refs)
        self.height, self.width = height, width
        self.offsets, self.wanted = offsets + ((0,) if use_stereo else ()), wanted
        self.augment, self.seed, self.cache, self.labels = augment, seed, cache, labels
        self.pitch_jitter = pitch_jitter if augment else 0.0

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, key: tuple[int, int] | int) -> FrameSample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        ref = self.refs[index]
        frames = [self._frame(ref), *(self._frame(ref.neighbour(offset)) for offset in self.offsets)]
        stereo = _float32(self.source.stereo_from(ref)) if 0 in self.offsets else _IDENTITY
        flip, jitter = draw_augmentation(self.seed, epoch, index) if self.augment else (False, NO_JITTER)
        return FrameSample(
            frames=tuple(frames),
            intrinsics=self._intrinsics(ref),
            stereo_from_target=stereo,
            flip=flip,
            jitter=jitter,
            offsets=self.offsets,
            name=ref.name,
            labels=None if self.labels is None else resize_labels(self.labels(ref), self.height, self.width),
            known=read_known(self.source, ref, self.offsets, self.height, self.width, self.wanted),
            pitch=draw_pitch(self.seed, epoch, index, self.pitch_jitter) if self.pitch_jitter else None,
        )

    def _frame(self, ref: FrameRef) -> Tensor:
        if self.cache is None:
            return load_view(self.source, ref, self.height, self.width)[0]
        return self.cache[ref]

    def _intrinsics(self, ref: FrameRef) -> Tensor:
        intrinsics, size = self.source.intrinsics(ref)
        return _resized_once(intrinsics.tobytes(), size, self.height, self.width)


def _float32(matrix: np.ndarray) -> Tensor:
    return torch.from_numpy(matrix.astype(np.float32))


@lru_cache(maxsize=1024)  # a split has few cameras, and to resize their intrinsics costs a tenth of a cached sample
def _resized_once(intrinsics: bytes, size: tuple[int, int], height: int, width: int) -> Tensor:
    return _float32(resize_intrinsics(np.frombuffer(intrinsics).reshape(3, 3), size, height, width))


def draw_augmentation(seed: int, epoch: int, index: int) -> tuple[bool, tuple[float, float, float, float]]:
    """Flip and jitter of a sample: a pure function, the same in any worker, process or resumed run.

    Each is drawn with probability 1/2. Brightness, contrast and saturation factors lie in [0.8,1.2], the hue shift
    in [-0.1,0.1] turns; without jitter they are NO_JITTER. (Monodepth2's ranges.)
    """
    draws = _STREAM.at(seed, epoch, index).random(6)
    flip = bool(draws[0] < 0.5)
    if draws[1] >= 0.5:
        return flip, NO_JITTER
    brightness, contrast, saturation = (0.8 + 0.4 * draws[2:5]).tolist()
    return flip, (brightness, contrast, saturation, float(-0.1 + 0.2 * draws[5]))


def draw_crop(seed: int, epoch: int, index: int) -> tuple[float, float, float]:
    """Scale, row and column of a sample's window, each from [0,1): a pure function as `draw_augmentation`."""
    return tuple(_STREAM.at(seed, epoch, index).random(9)[6:].tolist())  # the first six are flip and jitter


def draw_pitch(seed: int, epoch: int, index: int, most: float) -> float:
    """A sample's turn in radians, from [-most, most) degrees: a pure function as `draw_augmentation`."""
    return float(np.radians(most * (2 * _STREAM.at(seed, epoch, index).random(10)[9] - 1)))  # after the window's


class _Stream(threading.local):
    """Philox takes the place in its stream as a number, so a sample's draws need no draws before them.

    One generator is moved from place to place: a new one per sample would take a third of a cached sample's time.
    """

    def __init__(self) -> None:
        self._bits = np.random.Philox()
        self._generator = np.random.Generator(self._bits)

    def at(self, seed: int, epoch: int, index: int) -> np.random.Generator:
        """As Generator(Philox(key=[seed, epoch], counter=[0, 0, 0, index]))."""
        place = {"key": np.array([seed, epoch], np.uint64), "counter": np.array([0, 0, 0, index], np.uint64)}
        unused = {"buffer": np.zeros(4, np.uint64), "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}
        self._bits.state = {"bit_generator": "Philox", "state": place} | unused
        return self._generator


_STREAM = _Stream()


def collate(samples: Sequence[FrameSample]) -> RawBatch:
    """Stacks samples of one dataset (at least one) into a RawBatch."""
    # default_collate, in a worker, stacks right into memory that the main process shares.
    frames = default_collate([frame for s in samples for frame in s.frames])
    return RawBatch(
        frames=frames.unflatten(0, (len(samples), -1)),
        intrinsics=torch.stack([s.intrinsics for s in samples]),
        stereo_from_target=torch.stack([s.stereo_from_target for s in samples]),
        flip=torch.from_numpy(np.array([s.flip for s in samples])),
        jitter=torch.from_numpy(np.array([s.jitter for s in samples], np.float32)),
        offsets=samples[0].offsets,
        names=tuple(s.name for s in samples),
        labels=None if samples[0].labels is None else stack_labels([s.labels for s in samples]),
        known=stack_known([s.known for s in samples]),
        pitch=None if samples[0].pitch is None else torch.tensor([s.pitch for s in samples], dtype=torch.float32),
    )

"""What can be found out about a folder of frames without reading all of it; datasets.check prints it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from datasets.core.images import image_size, read_image
from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from depth.types import UserError

Pair = tuple[np.ndarray, np.ndarray]  # uint8 (H,W,3) RGB, in the order of time

_SAMPLED_FILES = 200  # whose size is looked at


@dataclass(frozen=True)
class KnownCamera:
    """A camera of some of the frames."""

    matrix: np.ndarray  # K, float64 (3,3), pixels
    width: int  # pixels
    height: int
    pixel_aspect: float = 1.0  # width of a pixel by its height


@dataclass
class Facts:
    """Plain values for the report, and functions that look further."""

    kind: str
    clips: dict[str, int]  # clip, drive or sequence -> frames
    sizes: Counter[str] = field(default_factory=Counter)  # "1242x375" -> frames
    fps: list[float] = field(default_factory=list)  # different ones
    stored_bytes: int = 0  # of the frames
    cache_bytes: int = 0  # that the frames will take in the cache, about
    shown: dict[str, tuple[int, int]] = field(default_factory=dict)  # size -> (width, height) with square pixels
    cameras: dict[str, KnownCamera] = field(default_factory=dict)
    samples: int = 0  # targets for training, before the frame picker
    evaluated: int = 0  # images with ground truth, of a split that has no train part
    split: str = ""  # that the frames were counted by; a manifest has its own
    counts: list[str] = field(default_factory=list)  # frames of each part of the split
    missing: list[str] = field(default_factory=list)  # a line per drive: what is to be downloaded
    notes: list[str] = field(default_factory=list)  # what is worth knowing and keeps nothing from starting
    problems: list[str] = field(default_factory=list)  # what keeps a training or an evaluation from starting
    pairs: Callable[[int], list[Pair]] = lambda count: []  # so many pairs, spread over all clips
    image: Callable[[], Tensor] | None = None  # reads a frame, uint8 (3,H,W), as the loader does, to take the time
    missing_frames: int = 0  # both cameras' images of a moment count once


def look_at_files(facts: Facts, files: Sequence[Path]) -> Counter[str]:
    """Adds sizes, in pixels and bytes, of a sample of the files; returns the former."""
    sizes: Counter[str] = Counter()
    looked_at = [files[i * len(files) // _SAMPLED_FILES] for i in range(_SAMPLED_FILES)] if files else []
    for file in dict.fromkeys(looked_at):
        try:
            sizes["x".join(map(str, image_size(file)))] += 1
        except UserError as error:
            facts.problems.append(str(error))
    chosen = list(dict.fromkeys(looked_at))
    facts.stored_bytes += sum(file.stat().st_size for file in chosen) * len(files) // max(1, len(chosen))
    facts.sizes.update(sizes)
    return sizes


def note_camera(facts: Facts, source: FrameSource, ref: FrameRef) -> None:
    """Adds a frame's camera where it is another one than those before; what is wrong with it is a problem."""
    try:
        matrix, (width, height) = source.intrinsics(ref)
    except UserError as error:
        if str(error) not in facts.problems:
            facts.problems.append(str(error))
        return
    if not any(np.array_equal(matrix, known.matrix) for known in facts.cameras.values()):
        facts.cameras[ref.folder] = KnownCamera(matrix, width, height)


def spread(runs: Sequence[Sequence[Path]], count: int) -> list[tuple[Sequence[Path], int]]:
    """`count` places (run, index) at even distances over all runs; each index has a successor in its run."""
    places = [(run, i) for run in runs for i in range(len(run) - 1)]
    chosen = range(len(places)) if count >= len(places) else [i * len(places) // count for i in range(count)]
    return [places[i] for i in chosen]


def read_pair(first: Path, second: Path) -> Pair:
    """Two images. Raises UserError where one cannot be read."""
    images = [read_image(path).permute(1, 2, 0).numpy() for path in (first, second)]
    return images[0], images[1]

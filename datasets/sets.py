"""A part of a split as frames, as a reader and, for evaluation, as a loader."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from datasets.core.evaluated import EvalDataset
from datasets.core.sampler import Loading, make_loader
from datasets.core.sources import FrameSource, select_available
from datasets.core.splits import EvaluatedPart, FrameRef, find_split, load_split, split_name, split_names
from datasets.core.truth_files import TruthFiles
from datasets.locate import DataPlace
from depth.types import EvalSample, UserError


def split_frames(place: DataPlace, split: str, part: EvaluatedPart) -> list[FrameRef]:
    """The frames of a part of a split; the embedded world has its own for those that come with the software.

    A source that divides its frames itself has no splits, but its parts, and "all" for a manifest's frames of any part.

    Raises UserError for an unknown split, there too, or a malformed file.
    """
    if place.own is not None:
        return place.own.frames(part)
    find_split(split)  # a misspelt name is told from one that is not used
    return load_split(place.root / "splits" if stands_in(place, split) else split, part)


def name_of_split(place: DataPlace, split: str) -> str:
    """What a split is called in results: "synthetic" where the embedded world's own stands in for one of KITTI's.

    Raises UserError for an unknown split.
    """
    named = split_name(split)
    return "synthetic" if stands_in(place, split) else named


def stands_in(place: DataPlace, split: str) -> bool:
    """Whether the embedded world's own split is meant by a name that comes with the software."""
    return place.kind == "synthetic" and split in split_names()


# Readers in the order in which they are asked whether a folder is theirs.
SOURCES: tuple[str, ...] = (
    "datasets.kitti.layout:KittiOdometry",
    "datasets.kitti.layout:KittiRaw",
)


def open_source(place: DataPlace, refs: list[FrameRef]) -> FrameSource:
    """The first of SOURCES that recognises a folder and the frames that are wanted of it. Raises UserError."""
    if place.own is not None:
        return place.own
    kinds = map(pkgutil.resolve_name, SOURCES)
    return next(kind for kind in kinds if kind.recognises(place.root, refs))(place.root)


@dataclass(frozen=True)
class Samples:
    """What a sample is."""

    height: int  # rows of the network's input, pixels
    width: int
    offsets: tuple[int, ...] = ()  # of the sources in time
    use_stereo: bool = False  # adds the other camera
    poses: bool = False  # those of a file, see datasets.core.known
    travelled: bool = False
    sparse_depth: bool = False
    pitch_jitter: float = 0.0  # of training, degrees
    aspect: float | None = None  # in evaluation, width / height of the part around the centre that is looked at

    @property
    def needed(self) -> tuple[int, ...]:
        """Offsets of all frames beside the target; 0 is the other camera."""
        return self.offsets + ((0,) if self.use_stereo else ())


def evaluation_loader(
    place: DataPlace,
    split: str,
    samples: Samples,
    loading: Loading,
    *,
    kind: str | None,
    cache_dir: Path,
    files: TruthFiles | None = None,
    collate: Callable[[Sequence[EvalSample]], Any],
    skip_missing: bool = False,
    part: EvaluatedPart = "test",
) -> tuple[DataLoader, int, int, str]:
    """A part of a split in its order, in batches as `collate` makes them.

    Args:
        samples, loading: the images' size, and how they are batched; the loader has this process's share.
        kind: ground truth, see `FrameSource.ground_truth`.
        cache_dir: for ground truth made from scans.
        files: ground truth of one's own instead.
        collate: runs in the loader's processes, so that what it drops never travels.
        skip_missing: go on with the frames that are there.

    Returns:
        The loader, how many frames can be evaluated, how many the split has, and a line that says so; the counts are
        of all processes.

    Raises:
        UserError: an unknown split, or frames or ground truth that are missing without `skip_missing`.
    """
    refs = split_frames(place, split, part)
    source = open_source(place, refs)
    truth = files.open(source, refs) if files else source.ground_truth(kind, cache_dir / "ground_truth")
    if truth is None:
        raise UserError(f"--eval_split {split}: {source.root} has no ground-truth depth; --gt_path has your own")
    # A manifest need not have depth for every frame.
    kept, note = select_available(source, refs, (), skip_missing or place.own is not None, also=truth.has)
    images = EvalDataset(source, kept, samples.height, samples.width, truth, samples.aspect)
    return make_loader(images, loading, collate), len(kept), len(refs), note

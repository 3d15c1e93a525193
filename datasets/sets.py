"""A split of a dataset as loaders: training, validation, the fixed frames that are shown, ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from datasets.cache import open_cache
from datasets.frames import EvalDataset, FrameDataset, collate
from datasets.ground_truth import GroundTruth, GroundTruthKind, ground_truth_reader
from datasets.kitti import KittiOdometry, KittiRaw
from datasets.locate import DataPlace
from datasets.sampler import OnBadSample, make_loader, make_train_loader
from datasets.sources import FrameSource, is_complete, select_available
from datasets.splits import FrameRef, Part, find_split, has_part, load_split
from depth.types import EvalSample, RawBatch, UserError

_SHOWN = 4  # validation frames whose pictures are written


@dataclass(frozen=True)
class TrainingSets:
    """What train.py feeds to the trainer."""

    train: DataLoader  # RawBatch; batch_sampler.set_epoch(epoch, start_step)
    validation: DataLoader | None  # RawBatch, in fixed order, without augmentation; None without validation frames
    shown: RawBatch | None  # the fixed frames
    evaluation: DataLoader | None  # validation frames, as `eval_collate` makes them; None without ground truth
    notes: tuple[str, ...]  # lines for the top of the output
    record: dict[str, Any]  # plain values for the run's record


def split_frames(place: DataPlace, split: str, part: Part) -> list[FrameRef]:
    """The frames of a part of a split; the embedded world brings splits of its own and takes no other.

    Raises UserError for an unknown split, there too, or a malformed file.
    """
    if place.footage is not None:
        return place.footage.frames(part)
    find_split(split)  # a misspelt name is told from one that is not used
    return load_split(place.root / "splits" if place.kind == "synthetic" else split, part)


def open_source(root: Path, refs: list[FrameRef]) -> FrameSource:
    """The reader for these frames: odometry where the folders are sequence numbers, else raw. Raises UserError."""
    return KittiOdometry(root) if all(ref.folder.isdecimal() for ref in refs) else KittiRaw(root)


def training_sets(
    place: DataPlace,
    split: str,
    *,
    height: int,
    width: int,
    offsets: tuple[int, ...],
    use_stereo: bool,
    batch_size: int,
    seed: int,
    num_workers: int | None,
    skip_missing: bool,
    val_samples: int,
    cache_dir: Path,
    eval_collate: Callable[[Sequence[EvalSample]], Any],
    pin: bool = False,
    on_bad_sample: OnBadSample = "stop",
    frame_cache: Path | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> TrainingSets:
    """Loaders for a training.

    Args:
        place: where the frames are.
        split: a name, a folder or a file.
        height, width: the network's input in pixels.
        offsets: time offsets of the sources; `use_stereo` adds the other camera.
        val_samples: validation frames, spread evenly over the split; 0 takes all.
        cache_dir: for ground truth made from scans.
        eval_collate: makes a batch of validation images with ground truth, in the loader's processes.
        pin: pinned memory, for a GPU.
        on_bad_sample: "stop" or "skip".
        frame_cache: folder for frames at training size, see datasets.cache; None decodes them each time.

    Raises:
        UserError: an unknown split, frames that are missing without `skip_missing`, or ground truth of the validation
            frames that cannot be right.
    """
    needed = offsets + ((0,) if use_stereo else ())
    source, train, note = _training_frames(place, split, needed, skip_missing)
    notes = [*(place.footage.notes() if place.footage else ()), f"training: {note}"]
    kept, note = _validation_frames(place, split, source, needed, skip_missing)
    notes.append(f"validation: {note}")
    spread = _spread(kept, val_samples)
    truth, known = _ground_truth(source, place, cache_dir, spread)

    def frames(refs: list[FrameRef], augment: bool) -> FrameDataset:
        cache = None
        if frame_cache is not None:
            wanted = {ref.neighbour(offset) for ref in refs for offset in needed} | set(refs)
            cache = open_cache(frame_cache, source, wanted, height, width, workers=num_workers, progress=rank == 0)
        return FrameDataset(source, refs, height, width, offsets, use_stereo, augment=augment, seed=seed, cache=cache)

    loader = make_train_loader(
        frames(train, augment=True),
        batch_size,
        seed,
        rank=rank,
        world_size=world_size,
        workers=num_workers,
        pin=pin,
        on_bad_sample=on_bad_sample,
    )
    record = {"train_frames": len(train), "image_format": source.image_path(train[0]).suffix}
    if not spread:
        return TrainingSets(loader, None, None, None, tuple(notes), record)
    plain = frames(spread, augment=False)
    evaluation = None
    if truth is not None and known:
        samples = EvalDataset(source, known, height, width, truth)
        evaluation = make_loader(samples, batch_size, eval_collate, num_workers)
    notes.append(f"validation uses {len(spread)} of them, {len(known)} with ground truth")
    return TrainingSets(
        train=loader,
        validation=make_loader(plain, batch_size, collate, num_workers),
        shown=collate([plain[i] for i in range(0, len(plain), -(-len(plain) // _SHOWN))]),
        evaluation=evaluation,
        notes=tuple(notes),
        record=record | {"validation_frames": len(spread)},
    )


def _training_frames(
    place: DataPlace, split: str, needed: tuple[int, ...], skip_missing: bool
) -> tuple[FrameSource, list[FrameRef], str]:
    if place.footage is not None:
        refs = place.footage.frames("train", needed)
        if not refs:
            raise UserError(f"{place.root}: no frame for training has neighbours at {needed}; give longer clips")
        return place.footage, refs, f"{len(refs):,} frames with their neighbours"
    refs = split_frames(place, split, "train")
    source = open_source(place.root, refs)
    return source, *select_available(source, refs, needed, skip_missing)


def _validation_frames(
    place: DataPlace, split: str, source: FrameSource, needed: tuple[int, ...], skip_missing: bool
) -> tuple[list[FrameRef], str]:
    if place.footage is not None:
        refs = place.footage.frames("val", needed)
        return refs, f"{len(refs):,} frames from the end of each clip" if refs else "the clips are too short for any"
    if place.kind != "synthetic" and not has_part(split, "val"):
        return [], "the split has none"
    refs = split_frames(place, split, "val")
    if skip_missing and not any(is_complete(source, ref, needed) for ref in refs):
        there = sum(map(source.has, refs))
        return [], f"{there:,} of {len(refs):,} frames are there" + (", none with its neighbours" if there else "")
    try:
        return select_available(source, refs, needed, skip_missing)
    except UserError as error:
        raise UserError(f"the split's val part: {error}") from None


def _ground_truth(
    source: FrameSource, place: DataPlace, cache_dir: Path, refs: list[FrameRef]
) -> tuple[GroundTruth | None, list[FrameRef]]:
    """Exact depth in the embedded world, lidar in KITTI raw, none in the odometry layout; the frames that have it.

    Raises UserError where what is there cannot be right: it would end the training at the first validation.
    """
    if not isinstance(source, KittiRaw):
        return None, []
    kind = "dense" if place.kind == "synthetic" else "velodyne"
    truth = ground_truth_reader(source, kind, cache_dir / "ground_truth")
    known = [ref for ref in refs if truth.has(ref)]
    for ref in known:
        truth.check(ref)
    return truth, known


def _spread(refs: list[FrameRef], count: int) -> list[FrameRef]:
    """`count` of the frames at even distances; all where count is 0 or not smaller."""
    if count == 0 or count >= len(refs):
        return refs
    return [refs[i * len(refs) // count] for i in range(count)]


def evaluation_loader(
    place: DataPlace,
    split: str,
    kind: GroundTruthKind,
    *,
    height: int,
    width: int,
    batch_size: int,
    num_workers: int | None,
    skip_missing: bool,
    cache_dir: Path,
    collate: Callable[[Sequence[EvalSample]], Any],
    part: Part = "test",
    rank: int = 0,
    world_size: int = 1,
) -> tuple[DataLoader, int, int, str]:
    """A part of a split in its order, in batches as `collate` makes them.

    Args:
        kind: ground truth, see `ground_truth_reader`.
        collate: runs in the loader's processes, so that what it drops never travels.
        rank, world_size: the loader has this process's share, see `make_loader`; the counts are of all.

    Returns:
        The loader, how many frames can be evaluated, how many the split has, and a line that says so.

    Raises:
        UserError: an unknown split, or frames or ground truth that are missing without `skip_missing`.
    """
    refs = split_frames(place, split, part)
    source = open_source(place.root, refs)
    if not isinstance(source, KittiRaw):
        raise UserError(f"--eval_split {split}: the odometry layout has no ground-truth depth")
    truth = ground_truth_reader(source, kind, cache_dir / "ground_truth")
    kept, note = select_available(source, refs, (), skip_missing, also=truth.has)
    samples = EvalDataset(source, kept, height, width, truth)
    loader = make_loader(samples, batch_size, collate, num_workers, rank, world_size)
    return loader, len(kept), len(refs), note

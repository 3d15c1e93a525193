"""What a training is fed with: its frames, validation, the fixed frames that are shown, ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from datasets.core.cache import open_cache
from datasets.core.evaluated import EvalDataset
from datasets.core.frames import FrameDataset, collate
from datasets.core.known import Wanted, check_known
from datasets.core.sampler import Loading, make_loader, make_train_loader
from datasets.core.sources import FrameSource, is_complete, select_available
from datasets.core.splits import FrameRef, has_part
from datasets.core.truth import GroundTruth
from datasets.locate import DataPlace
from datasets.sets import Samples, open_source, split_frames, stands_in
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


def training_sets(
    place: DataPlace,
    split: str,
    samples: Samples,
    loading: Loading,
    *,
    cache_dir: Path,
    eval_collate: Callable[[Sequence[EvalSample]], Any],
    frame_cache: Path | None = None,
    skip_missing: bool = False,
    val_samples: int = 0,
) -> TrainingSets:
    """Loaders for a training, from a place and a split's name, folder or file: `samples`, loaded as `loading` says.

    Args:
        cache_dir: for ground truth made from scans.
        eval_collate: makes a batch of validation images with ground truth, in the loader's processes.
        frame_cache: folder for frames at training size, see datasets.core.cache; None decodes them each time.
        skip_missing: go on with the frames that are there.
        val_samples: validation frames, spread evenly over the split; 0 takes all.

    Raises UserError for an unknown split, frames that are missing without `skip_missing`, or ground truth of the
    validation frames that cannot be right.
    """
    source, train, note = _training_frames(place, split, samples.needed, skip_missing)
    kept, val_note = _validation_frames(place, split, source, samples.needed, skip_missing)
    spread = _spread(kept, val_samples)
    truth, known = _ground_truth(source, cache_dir, spread)
    frames = partial(_frames, source, samples, loading, frame_cache, _wanted(source, train, samples, cache_dir))
    notes = (*(place.own.notes() if place.own else ()), f"training: {note}", f"validation: {val_note}")
    record = {"train_frames": len(train), "image_format": source.image_path(train[0]).suffix}
    loader = make_train_loader(frames(train, augment=True), loading)
    if not spread:
        return TrainingSets(loader, None, None, None, notes, record)
    return TrainingSets(
        loader,
        *_validation_loaders(frames(spread, augment=False), known, truth, loading, eval_collate),
        notes=(*notes, f"validation uses {len(spread)} of them, {len(known)} with ground truth"),
        record=record | {"validation_frames": len(spread)},
    )


def _validation_loaders(
    frames: FrameDataset,
    known: list[FrameRef],
    truth: GroundTruth | None,
    loading: Loading,
    eval_collate: Callable[[Sequence[EvalSample]], Any],
) -> tuple[DataLoader, RawBatch, DataLoader | None]:
    """Loader of the frames, those of them that are shown, and loader of those whose ground truth is known."""
    alone = replace(loading, rank=0, world_size=1)  # the main process validates
    shown = collate([frames[i] for i in range(0, len(frames), -(-len(frames) // _SHOWN))])
    evaluation = EvalDataset(frames.source, known, frames.height, frames.width, truth) if known else None
    return (
        make_loader(frames, alone, collate),
        shown,
        make_loader(evaluation, alone, eval_collate) if evaluation else None,
    )


def _frames(
    source: FrameSource,
    samples: Samples,
    loading: Loading,
    frame_cache: Path | None,
    wanted: Wanted,
    refs: list[FrameRef],
    augment: bool,
) -> FrameDataset:
    """Samples of these frames, out of the cache where there is to be one."""
    height, width, cache = samples.height, samples.width, None
    if frame_cache is not None:
        every = {ref.neighbour(offset) for ref in refs for offset in samples.needed} | set(refs)
        progress = loading.rank == 0
        cache = open_cache(frame_cache, source, every, height, width, workers=loading.num_workers, progress=progress)
    return FrameDataset(
        source,
        refs,
        height,
        width,
        samples.offsets,
        samples.use_stereo,
        augment=augment,
        seed=loading.seed,
        cache=cache,
        wanted=wanted,
        pitch_jitter=samples.pitch_jitter,
    )


def _wanted(source: FrameSource, train: list[FrameRef], samples: Samples, cache_dir: Path) -> Wanted:
    """What is asked for beside the images. Raises UserError where the source has not what is asked for."""
    truth = source.ground_truth("camera", cache_dir / "ground_truth") if samples.sparse_depth else None
    if samples.sparse_depth and truth is None:
        raise UserError(f"--depth_supervision: {source.root} has no depth of its frames")
    wanted = Wanted(samples.poses, samples.travelled, truth)
    check_known(source, train, samples.needed, wanted)
    return wanted


def _training_frames(
    place: DataPlace, split: str, needed: tuple[int, ...], skip_missing: bool
) -> tuple[FrameSource, list[FrameRef], str]:
    if place.own is not None:
        refs = place.own.frames("train", needed)
        if not refs:
            raise UserError(f"{place.root}: no frame for training has neighbours at {needed}; give longer clips")
        return place.own, refs, f"{len(refs):,} frames with their neighbours"
    refs = split_frames(place, split, "train")
    source = open_source(place, refs)
    return source, *select_available(source, refs, needed, skip_missing)


def _validation_frames(
    place: DataPlace, split: str, source: FrameSource, needed: tuple[int, ...], skip_missing: bool
) -> tuple[list[FrameRef], str]:
    if place.own is not None:
        refs = place.own.frames("val", needed)
        return refs, f"{len(refs):,} frames from the end of each clip" if refs else "the clips are too short for any"
    if not stands_in(place, split) and not has_part(split, "val"):
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
    source: FrameSource, cache_dir: Path, refs: list[FrameRef]
) -> tuple[GroundTruth | None, list[FrameRef]]:
    """The source's own, None where it has none, and the frames that have it.

    Raises UserError where what is there cannot be right: it would end the training at the first validation.
    """
    truth = source.ground_truth(None, cache_dir / "ground_truth")
    if truth is None:
        return None, []
    known = [ref for ref in refs if truth.has(ref)]
    for ref in known:
        truth.check(ref)
    return truth, known


def _spread(refs: list[FrameRef], count: int) -> list[FrameRef]:
    """`count` of the frames at even distances; all where count is 0 or not smaller."""
    if count == 0 or count >= len(refs):
        return refs
    return [refs[i * len(refs) // count] for i in range(count)]

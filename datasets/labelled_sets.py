"""What a training of labelled tasks is fed with, and an evaluation of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset

from datasets.core.frames import FrameDataset, collate
from datasets.core.images import image_size
from datasets.core.known import Wanted, check_known
from datasets.core.labelled import LabelledFolder, frame_of
from datasets.core.sampler import make_loader, make_train_loader
from datasets.core.sources import is_complete
from datasets.core.splits import FrameRef, Part
from datasets.labelled import LABELLED, open_labelled
from datasets.labelled.dataset import LabelledDataset, LabelledImages, check_sizes
from datasets.locate import DataPlace
from datasets.manifest.labels import ManifestLabels
from datasets.manifest.source import Manifest
from datasets.sets import Loading, Samples, open_source
from depth.types import Classes, Labels, RawBatch, UserError

_SHOWN = 4  # validation images whose pictures are written


@dataclass(frozen=True)
class LabelledSets:
    """What train.py feeds to the trainer."""

    train: DataLoader  # RawBatch with labels; batch_sampler.set_epoch(epoch, start_step)
    validation: DataLoader | None  # lists of LabelledSample, in fixed order; None without a validation part
    shown: RawBatch | None  # fixed validation images
    classes: Classes | None
    notes: tuple[str, ...]  # lines for the top of the output
    record: dict[str, Any]  # plain values for the run's record


@dataclass(frozen=True)
class Windows:
    """What augmentation makes of a labelled image, see LabelledDataset."""

    crop: tuple[int, int] | None = None
    scale_range: tuple[float, float] = (1.0, 1.0)


def open_place(place: DataPlace) -> LabelledFolder:
    """The reader of a place's labels. Raises UserError where it has none."""
    if isinstance(place.own, Manifest):
        return ManifestLabels(place.own)
    if place.kind not in LABELLED:
        choices = ", ".join((*LABELLED, "frames"))
        raise UserError(f"{place.root} ({place.kind}) has no labels: --dataset names a set that has, {choices}")
    return open_labelled(place.root, place.kind)


def labelled_sets(
    place: DataPlace,
    kinds: Collection[str],
    samples: Samples,
    loading: Loading,
    windows: Windows = Windows(),
    skip_missing: bool = False,
    val_samples: int = 0,
) -> LabelledSets:
    """Loaders for a training on labels of these kinds.

    Args:
        place: where the images are.
        kinds: fields of depth.types.Labels.
        samples: the images' size; with offsets or stereo, each labelled frame brings its sources, for depth from video.
        loading: how they are loaded.
        windows: of the training images, without sources.
        skip_missing: go on with the images whose labels are there.
        val_samples: validation images, spread evenly over the part; 0 takes all.

    Raises:
        UserError: labels that the set does not have, or that are missing without `skip_missing`.
    """
    source = open_place(place)
    names, note = source.select("train", kinds, skip_missing)
    images = partial(_images, source, place, kinds, samples, windows, loading.seed)
    train = images(names, "train")
    notes = [f"training: {note}"] + ([f"of these, {len(train):,} have their neighbours"] if samples.needed else [])
    loader = make_train_loader(train, loading)
    record = {"train_frames": len(train), "classes": _plain(source.classes)}
    held_out, note = source.select("val", kinds, skip_missing) if source.images("val") else ([], "the set has none")
    notes.append(f"validation: {note}")
    if not held_out:
        return LabelledSets(loader, None, None, source.classes, tuple(notes), record)
    spread = held_out[:: max(1, -(-len(held_out) // val_samples))] if val_samples else held_out
    plain = images(spread, "val")
    shown = collate([plain[i] for i in range(0, len(plain), -(-len(plain) // _SHOWN))])
    validation = image_loader(source, spread, kinds, samples, loading.batch_size, loading.num_workers)
    record |= {"validation_frames": len(spread)}
    return LabelledSets(loader, validation, shown, source.classes, tuple(notes), record)


def image_loader(
    source: LabelledFolder,
    names: Sequence[str],
    kinds: Collection[str],
    samples: Samples,
    batch_size: int,
    num_workers: int | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader:
    """Lists of LabelledSamples in order; of several processes, one takes the images rank, rank + world_size, ..."""
    images = LabelledImages(source, names, kinds, samples.height, samples.width)
    return make_loader(images, Loading(batch_size, num_workers, rank=rank, world_size=world_size), list)


def evaluation_images(
    place: DataPlace, part: Part, kinds: Collection[str], skip_missing: bool = False
) -> tuple[LabelledFolder, list[str], str]:
    """The reader, the names of a part's images, and a line that says how many. Raises UserError as `select`."""
    source = open_place(place)
    return source, *source.select(part, kinds, skip_missing)


def _images(
    source: LabelledFolder,
    place: DataPlace,
    kinds: Collection[str],
    samples: Samples,
    windows: Windows,
    seed: int,
    names: list[str],
    part: Part,
) -> Dataset:
    """Labelled images; with sources, those frames of a video that have theirs."""
    size, augment = (samples.height, samples.width), part == "train"
    if not samples.needed:
        return LabelledDataset(source, names, kinds, *size, windows.crop, windows.scale_range, augment, seed)
    if not source.video:
        raise UserError(f"{place.root} has labels but no video: --depth_from labels")
    refs = [frame_of(name) for name in names]
    frames = open_source(place, refs)
    whole = set(place.own.frames(part, samples.needed)) if place.own else None
    refs = [ref for ref in refs if (is_complete(frames, ref, samples.needed) if whole is None else ref in whole)]
    if not refs:
        where = f"{place.root}: no labelled frame of the {part} part has neighbours at {samples.needed}"
        raise UserError(f"{where}: --depth_from labels")
    labels, wanted = partial(_labels_of, source, kinds), Wanted(samples.poses, samples.travelled)
    check_known(frames, refs, samples.needed, wanted)
    given = {"augment": augment, "seed": seed, "labels": labels, "wanted": wanted}
    return FrameDataset(frames, refs, *size, samples.offsets, samples.use_stereo, **given)


def _labels_of(source: LabelledFolder, kinds: Collection[str], ref: FrameRef) -> Labels:
    labels = source.labels(ref.name, kinds)
    if not isinstance(source, ManifestLabels):  # which looks at the sizes itself: what a lens shows is of another one
        check_sizes(source, ref.name, labels, *image_size(source.image_path(ref.name)))
    return labels


def _plain(classes: Classes | None) -> dict[str, list] | None:
    """Plain values for a record."""
    if classes is None:
        return None
    return {
        "names": list(classes.names),
        "things": list(classes.things),
        "colours": [list(colour) for colour in classes.colours],
    }

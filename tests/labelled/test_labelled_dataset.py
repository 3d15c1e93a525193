"""Training samples of labelled images: windows, scales, draws that repeat; and the embedded world's labels."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.core.frames import FrameDataset, collate
from datasets.core.sampler import Loading
from datasets.core.splits import load_split
from datasets.kitti.layout import KittiRaw
from datasets.labelled import open_labelled
from datasets.labelled.dataset import LabelledDataset
from datasets.labelled_sets import labelled_sets
from datasets.locate import DataPlace
from datasets.sets import Samples
from datasets.world.making import WorldSpec, ensure_world
from depth.types import IGNORE, UserError
from tests.labelled_layouts import write_camvid

WORLD = WorldSpec(height=64, width=192, train_drives=3, val_drives=1, test_drives=1, frames_per_drive=3, labels=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return ensure_world(tmp_path_factory.mktemp("world"), WORLD)


def dataset(root: Path, **settings) -> LabelledDataset:
    source = open_labelled(write_camvid(root), "camvid")
    return LabelledDataset(source, source.images("train"), ("semantics",), 12, 16, **settings)


def test_whole_image_as_it_is(tmp_path):
    sample = dataset(tmp_path)[0]
    assert sample.frames[0].shape == (3, 12, 16) and sample.offsets == ()
    assert (sample.labels.semantics[:, :8] == 8).all() and (sample.labels.semantics[:, 8:] == IGNORE).all()
    assert sample.intrinsics.isnan().all()


def test_windows_follow_the_draws(tmp_path):
    data = dataset(tmp_path, crop=(6, 8), scale_range=(0.4, 2.0))
    samples = [data[(epoch, 0)] for epoch in range(12)]
    assert all(s.frames[0].shape == (3, 6, 8) and s.labels.semantics.shape == (6, 8) for s in samples)
    assert len({s.frames[0].numpy().tobytes() for s in samples}) > 8
    again = data[(3, 0)]
    assert again.frames[0].equal(samples[3].frames[0]) and (again.labels.semantics == samples[3].labels.semantics).all()
    # What lies beyond a small image is grey and has no label.
    beyond = [s for s in samples if (s.frames[0] == 114).all(0).any()]
    assert beyond and all((s.labels.semantics[(s.frames[0] == 114).all(0).numpy()] == IGNORE).all() for s in beyond)


@pytest.mark.parametrize("crop", [(96, 256), (128, 384)])
def test_an_enlarged_image_is_nearer_however_much_of_it_is_cut(world, crop):
    source = open_labelled(world, "synthetic")
    names, _ = source.select("train", source.kinds)
    whole = LabelledDataset(source, names, ("depth",), 64, 192, augment=False)[0].labels.depth
    nearer = LabelledDataset(source, names, ("depth",), 64, 192, crop=crop, scale_range=(2, 2))[0].labels.depth
    assert nearer.shape == crop and nearer.max() <= whole.max() / 2 * 1.001


def test_batches_carry_labels(world):
    source = open_labelled(world, "synthetic")
    names, note = source.select("train", source.kinds)
    assert len(names) == 3 and "3 of 3" in note  # one frame a drive has both neighbours
    data = LabelledDataset(source, names, source.kinds, 64, 192)
    batch = collate([data[0], data[1]])
    labels = batch.labels
    assert labels.semantics.shape == labels.instances.shape == (2, 64, 192)
    assert labels.depth.shape == (2, 1, 64, 192) and labels.normals.shape == (2, 3, 64, 192)
    length = labels.normals.norm(dim=1)
    sky = source.classes.names.index("sky")
    assert ((length - 1).abs() < 1e-3)[labels.semantics != sky].all() and (length[labels.semantics == sky] == 0).all()
    things = np.isin(labels.semantics, [k for k, thing in enumerate(source.classes.things) if thing])
    assert ((labels.instances > 0).numpy() == things).all()


def test_labels_travel_with_video(world):
    """The frames of a video sample, with the labels of its target."""
    source, raw = open_labelled(world, "synthetic"), KittiRaw(world)
    refs = [ref for ref in load_split(world / "splits", "train") if ref.side == "l"]
    data = FrameDataset(raw, refs, 32, 96, labels=lambda ref: source.labels(ref.name, ("semantics",)))
    sample = data[0]
    assert len(sample.frames) == 3 and sample.labels.semantics.shape == (32, 96)
    native = source.labels(refs[0].name, ("semantics",)).semantics
    assert (sample.labels.semantics == native[1::2, 1::2]).all()


def test_labels_beside_video_have_the_images_size(world, tmp_path):
    root = Path(shutil.copytree(world, tmp_path / "world"))
    source = open_labelled(root, "synthetic")
    for name in source.images("train"):
        for kind in ("semantics", "normals"):
            path = source.label_path(name, kind)
            Image.open(path).crop((0, 0, 96, 64)).save(path)
    place, samples = DataPlace(root, "synthetic", ""), Samples(32, 96, offsets=(-1, 1))
    for kind, message in (("normals", "has 96x64 pixels, its image 192x64"), ("semantics", "different sizes")):
        sets = labelled_sets(place, (kind,), samples, Loading(batch_size=1, num_workers=0))
        with pytest.raises(UserError, match=message):
            next(iter(sets.train))

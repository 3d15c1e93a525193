"""Labels through resize, crop, scale and flip: they stay on their pixels, and ignored ones stay ignored."""

import numpy as np
import pytest
import torch

from datasets.core.augment import prepare
from datasets.core.labels import crop_labels, mirror_labels, resize_labels, scale_depth, stack_labels
from depth.types import IGNORE, LabelMaps, Labels, RawBatch


def random_labels(height: int = 12, width: int = 16, seed: int = 0) -> Labels:
    rng = np.random.default_rng(seed)
    normals = rng.standard_normal((height, width, 3)).astype(np.float32)
    return Labels(
        semantics=rng.choice(np.array([0, 1, 2, IGNORE], np.uint8), (height, width)),
        instances=rng.integers(0, 4, (height, width)).astype(np.int32),
        depth=rng.uniform(1, 50, (height, width)).astype(np.float32),
        normals=normals / np.linalg.norm(normals, axis=-1, keepdims=True),
    )


def test_ids_are_the_nearest_pixels():
    """Halved, the centre of new pixel 0 lies between the old 0 and 1; tripled, each old pixel is three new ones."""
    ids = np.array([[0, 1, 2, 3]], np.uint8)
    assert resize_labels(Labels(semantics=ids), 1, 2).semantics.tolist() == [[1, 3]]
    assert resize_labels(Labels(instances=ids.astype(np.int32)), 1, 12).instances.tolist() == [[*np.repeat(ids, 3)]]


def test_depth_and_normals_are_means_of_what_has_a_label():
    depth = np.array([[2.0, 4.0, 0.0, 6.0, 0.0, 0.0]], np.float32)
    assert resize_labels(Labels(depth=depth), 1, 3).depth.tolist() == [[3.0, 6.0, 0.0]]
    normals = np.array([[[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0]]], np.float32)
    found = resize_labels(Labels(normals=normals), 1, 2).normals
    assert found[0, 0] == pytest.approx([np.sqrt(0.5), 0, np.sqrt(0.5)])
    assert found[0, 1] == pytest.approx([0, 1, 0])


def test_a_window_beyond_the_end_has_no_labels_there():
    labels = random_labels()
    cut = crop_labels(labels, 10, 14, 4, 4)
    assert (cut.semantics[:2, :2] == labels.semantics[10:, 14:]).all()
    assert (cut.normals[:2, :2] == labels.normals[10:, 14:]).all()
    beyond = np.ones((4, 4), bool)
    beyond[:2, :2] = False
    assert (cut.semantics[beyond] == IGNORE).all()
    assert not cut.depth[beyond].any() and not cut.normals[beyond].any() and not cut.instances[beyond].any()


def test_enlarged_twice_is_half_as_far():
    assert scale_depth(Labels(depth=np.full((1, 1), 8.0, np.float32)), 2.0).depth == 4
    assert scale_depth(Labels(semantics=np.zeros((1, 1), np.uint8)), 2.0).depth is None


def test_things_are_counted_in_each_image():
    first = Labels(instances=np.array([[0, 26001, 26001, 13]], np.int32))
    second = Labels(instances=np.array([[7, 0, 0, 0]], np.int32))
    assert stack_labels([first, second]).instances.tolist() == [[[0, 2, 2, 1]], [[1, 0, 0, 0]]]


def test_more_things_than_numbers_drop_the_smallest():
    ids = np.repeat(np.arange(1, 301), 2)[None].astype(np.int32)
    ids[0, 0] = 0  # thing 1 has one pixel left
    counted = stack_labels([Labels(instances=ids)]).instances[0, 0]
    assert counted.max() == 255 and counted[1] == 0
    assert len(counted.unique()) == 256


def test_flip_mirrors_columns_and_turns_x():
    maps = stack_labels([random_labels(seed=0), random_labels(seed=1)])
    turned = mirror_labels(maps, torch.tensor([True, False]))
    for name in ("semantics", "instances", "depth"):
        value, mirrored = getattr(maps, name), getattr(turned, name)
        assert mirrored[0].equal(value[0].flip(-1)) and mirrored[1].equal(value[1])
    assert turned.normals[0, 0].equal(-maps.normals[0, 0].flip(-1))
    assert turned.normals[0, 1:].equal(maps.normals[0, 1:].flip(-1))
    assert turned.normals[1].equal(maps.normals[1])


def test_prepare_flips_labels_with_their_frame():
    """A frame whose red channel is the class id stays equal to it."""
    labels = random_labels()
    frame = torch.from_numpy(labels.semantics.copy())[None].expand(3, -1, -1)
    raw = RawBatch(
        frames=torch.stack([frame, frame])[:, None],
        intrinsics=torch.eye(3).repeat(2, 1, 1),
        stereo_from_target=torch.eye(4).repeat(2, 1, 1),
        flip=torch.tensor([True, False]),
        jitter=torch.tensor([[1.0, 1, 1, 0]] * 2),
        offsets=(),
        names=("a", "b"),
        labels=stack_labels([labels, labels]),
    )
    batch = prepare(raw, "cpu")
    assert (batch.target[:, 0] * 255).round().byte().equal(batch.labels.semantics)
    assert batch.sources.shape == (2, 0, 3, 12, 16)
    first = batch.parts(2)[0]
    assert isinstance(first.labels, LabelMaps) and first.labels.depth.shape == (1, 1, 12, 16)

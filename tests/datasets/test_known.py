"""Poses, distances and sparse depth that travel with a sample, from KITTI's files and a manifest, mirrored too."""

import numpy as np
import pytest
import torch

from datasets.core.frames import FrameDataset, collate
from datasets.core.known import Wanted, at_size, check_known, mirror_known
from datasets.core.splits import FrameRef
from datasets.kitti.layout import KittiOdometry, KittiRaw
from datasets.manifest.source import Manifest
from datasets.sets import Samples
from datasets.training_sets import _wanted
from depth.geometry import warp
from depth.types import DepthPixels, Known, UserError
from tests.kitti_layout import DRIVE, write_odometry, write_raw, write_scan
from tests.manifest_maker import HEIGHT, WIDTH, frames, write

OXTS = "49.0 8.4 115 0 0 0 0 0 3.0 0.0 4.0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 4 10 5 5 0\n"  # forward 3, up 4: 5 m/s


def oxts(root, count=3, times=True):
    folder = root / DRIVE / "oxts" / "data"
    folder.mkdir(parents=True)
    for frame in range(count):
        (folder / f"{frame:010d}.txt").write_text(OXTS if frame != 1 else OXTS.replace("3.0 0.0 4.0", "0 9.0 0"))
    if times:
        stamps = [f"2011-09-26 13:02:{25 + 0.2 * n:012.9f}\n" for n in range(count)]
        (folder.parent / "timestamps.txt").write_text("".join(stamps))


def test_oxts_tell_how_far_the_car_went(tmp_path):
    root = write_raw(tmp_path, range(3))
    oxts(root)
    source = KittiRaw(root)
    assert source.travelled(FrameRef(DRIVE, 0, "l"), 1) == pytest.approx(0.2 * (5 + 9) / 2)
    assert source.travelled(FrameRef(DRIVE, 2, "l"), -2) == pytest.approx(0.4 * 5)
    assert source.travelled(FrameRef(DRIVE, 2, "l"), 1) is None
    assert source.world_from_camera(FrameRef(DRIVE, 0, "l")) is None
    stamps = root / DRIVE / "oxts/timestamps.txt"
    stamps.write_text("\ufeff" + stamps.read_text() + "\n")  # as Windows' editor leaves it
    assert KittiRaw(root).travelled(FrameRef(DRIVE, 0, "l"), 1) == pytest.approx(0.2 * (5 + 9) / 2)


def test_without_times_frames_are_a_tenth_of_a_second_apart(tmp_path):
    root = write_raw(tmp_path, range(3))
    oxts(root, times=False)
    assert KittiRaw(root).travelled(FrameRef(DRIVE, 0, "l"), 2) == pytest.approx(0.2 * 5)


@pytest.mark.parametrize(
    "text", ["1 2 3", OXTS.replace("3.0", "x"), OXTS.replace("3.0", "nan"), OXTS.replace("3.0", "1e9")]
)
def test_damaged_oxts_are_named(tmp_path, text):
    root = write_raw(tmp_path, range(2))
    oxts(root, 2)
    (root / DRIVE / "oxts/data/0000000000.txt").write_text(text)
    with pytest.raises(UserError, match="0000000000.txt: expected a line of 30 numbers"):
        KittiRaw(root).travelled(FrameRef(DRIVE, 0, "l"), 1)


def test_poses_of_both_cameras(tmp_path):
    """The right camera, half a metre to the right, was half a metre to the right."""
    root = write_odometry(tmp_path, "09")
    (root / "poses").mkdir()
    rows = ["1 0 0 0 0 1 0 0 0 0 1 0", "1 0 0 0.25 0 1 0 0 0 0 1 1.5", "1 0 0 0 0 1 0 0 0 0 1 3"]
    (root / "poses/09.txt").write_text("\n".join(rows))
    source = KittiOdometry(root)
    assert source.world_from_camera(FrameRef("9", 1, "l"))[:3, 3].tolist() == [0.25, 0, 1.5]
    left, right = (source.world_from_camera(FrameRef("9", 0, side))[:3, 3] for side in "lr")
    assert (right - left).tolist() == pytest.approx([0.45, 0, 0])  # calib.txt: P3 - P2 is -9 with fx 20
    assert source.world_from_camera(FrameRef("9", 3, "l")) is None
    assert source.travelled(FrameRef("9", 1, "l"), 1) == pytest.approx(np.hypot(0.25, 1.5))


@pytest.fixture
def sample(tmp_path):
    source = Manifest(write(tmp_path / "m.jsonl", frames(tmp_path, 4)))
    wanted = Wanted(True, True, source.ground_truth(None, None))
    refs = source.frames("all", (-1, 1))
    check_known(source, refs, (-1, 1), wanted)
    data = FrameDataset(source, refs, HEIGHT, WIDTH, (-1, 1), augment=False, wanted=wanted)
    return collate([data[0], data[1]])


def test_a_manifests_poses_and_depth_are_in_the_batch(sample):
    """The camera goes half a metre ahead a frame: a point that the target has at z lies at z - 0.5 in the next one."""
    known = sample.known
    assert known.source_from_target.shape == (2, 2, 4, 4)
    assert known.source_from_target[0, :, 2, 3].tolist() == [0.5, -0.5]
    assert known.travelled.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert known.depth.shape == (2, 1, HEIGHT, WIDTH) and set(known.depth.unique().tolist()) == {0.0, 10.0}


def test_what_is_known_is_mirrored_with_the_frames():
    """The warp of a mirrored scene is the mirrored warp."""
    generator = torch.Generator().manual_seed(0)
    motion = torch.eye(4)[None, None].clone()
    angle = 0.05
    motion[0, 0, :3, :3] = torch.tensor(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    motion[0, 0, :3, 3] = torch.tensor([0.3, 0.1, -0.4])
    image = torch.rand(1, 1, 3, 12, 20, generator=generator)
    depth = 3 + torch.rand(1, 1, 12, 20, generator=generator)
    camera = torch.tensor([[[15.0, 0, 9.5], [0, 15, 5.5], [0, 0, 1]]])
    known = Known(depth > 3.5, depth > 3.2, motion, torch.ones(1, 1), depth)
    turned = mirror_known(known, torch.tensor([True]))
    straight = warp(image, depth, motion, camera)
    again = warp(image.flip(-1), turned.depth, turned.source_from_target, camera).flip(-1)
    assert torch.allclose(straight, again, atol=1e-4)
    assert torch.equal(turned.counted.flip(-1), known.counted) and torch.equal(turned.travelled, known.travelled)
    assert torch.equal(turned.sources_counted.flip(-1), known.sources_counted)
    same = mirror_known(known, torch.tensor([False]))
    assert torch.equal(same.source_from_target, motion) and torch.equal(same.depth, depth)


def test_depth_to_learn_from_is_the_cameras_and_has_to_be_there(tmp_path):
    root = write_raw(tmp_path, range(2))
    refs, samples = [FrameRef(DRIVE, 0, "l"), FrameRef(DRIVE, 1, "l")], Samples(24, 40, sparse_depth=True)
    with pytest.raises(UserError, match="^--depth_supervision: .* has no depth of any training frame .*velodyne"):
        _wanted(KittiRaw(root), refs, samples, tmp_path)
    write_scan(root, 1, [(5.3, 0, 0)])
    truth = _wanted(KittiRaw(root), refs, samples, tmp_path).depth
    assert truth(refs[1]).depth.tolist() == [5.0]  # the camera is 0.3 m in front of the scanner


def test_sparse_depth_keeps_the_nearest_of_a_cell():
    depth = np.zeros((4, 6), np.float32)
    depth[0, 0], depth[1, 2], depth[3, 5] = 9, 4, 7
    found = at_size(DepthPixels.of(depth), 2, 2)
    assert found.tolist() == [[4, 0], [0, 7]]


def test_what_is_wanted_and_not_there_is_said_before_training(tmp_path):
    lines = frames(tmp_path, 4)
    for line in lines:
        del line["pose"]
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    refs = source.frames("all", (-1, 1))
    with pytest.raises(UserError, match="--poses from_file: .* has no pose of frame street 1 l"):
        check_known(source, refs, (-1, 1), Wanted(poses=True))
    with pytest.raises(UserError, match="--pose_scale speed: .* has neither poses nor speeds"):
        check_known(source, refs, (-1, 1), Wanted(travelled=True))
    for line in lines:
        line |= {"speed": 20.0, "time": line["order"] / 10}
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    assert source.travelled(refs[0], 1) == pytest.approx(2.0)
    check_known(source, refs, (-1, 1), Wanted(travelled=True))

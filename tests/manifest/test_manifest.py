"""The manifest as a source: frames, neighbours, parts, depth, masks, the other camera."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.core.evaluated import EvalDataset
from datasets.core.frames import FrameDataset, collate
from datasets.core.splits import FrameRef
from datasets.manifest.source import Manifest
from depth.types import UserError
from tests.manifest_maker import CAMERA, HEIGHT, WIDTH, frames, picture, write


def names(refs):
    return [ref.name for ref in refs]


def test_frames_are_found_by_sequence_and_order(tmp_path):
    lines = frames(tmp_path)
    source = Manifest(write(tmp_path / "m.jsonl", lines[::-1]))  # lines in any order
    assert source.size == (WIDTH, HEIGHT)
    assert names(source.frames("all")) == [f"street {n} l" for n in range(6)]
    ref = FrameRef("street", 4, "l")
    assert source.image_path(ref) == tmp_path / "street/004.png"
    matrix, size = source.intrinsics(ref)
    assert size == (WIDTH, HEIGHT) and matrix.tolist() == [[20, 0, 19.5], [0, 20, 11.5], [0, 0, 1]]
    assert source.has(ref) and not source.has(FrameRef("street", 6, "l")) and not source.has(FrameRef("x", 0, "l"))
    with pytest.raises(UserError, match="no frame street 9 l"):
        source.image_path(FrameRef("street", 9, "l"))


def test_neighbours_reach_over_no_gap(tmp_path):
    lines = [line for line in frames(tmp_path, 8) if line["order"] != 3]
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    assert [ref.frame for ref in source.frames("all", (-1, 1))] == [1, 5, 6]
    assert [ref.frame for ref in source.frames("all", (2,))] == [0, 2, 4, 5]


def test_times_make_an_order_with_gaps(tmp_path):
    """Steps of 0.1 s follow each other; the one of 0.3 s is a gap, and one of 0.14 s is not."""
    times = [10.0, 10.1, 10.2, 10.5, 10.6, 10.74]
    lines = [line | {"time": time} for line, time in zip(frames(tmp_path), times, strict=True)]
    for line in lines:
        del line["order"]
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    assert [source.image_path(ref).name for ref in source.frames("all", (-1, 1))] == ["001.png", "004.png"]


def test_parts_are_the_lines_or_the_last_tenth(tmp_path):
    lines = frames(tmp_path, 40)
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    assert [ref.frame for ref in source.frames("train")] == list(range(36))
    assert [ref.frame for ref in source.frames("train", (-1, 1))] == list(range(1, 35))  # 36 is of another part
    assert source.frames("val") == source.frames("test") == source.frames("all")[36:]
    assert "no line names a part" in source.notes()[0]
    named = [line | {"split": "test" if line["order"] < 3 else "train"} for line in lines]
    source = Manifest(write(tmp_path / "m.jsonl", named))
    assert [ref.frame for ref in source.frames("test")] == [0, 1, 2]
    assert source.frames("val") == [] and len(source.frames("train")) == 37


def test_depth_is_ground_truth_and_masks_take_from_it(tmp_path):
    lines = frames(tmp_path, 3)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:] = 255  # the bonnet
    Image.fromarray(mask).save(tmp_path / "bonnet.png")
    np.save(tmp_path / "metres.npy", np.where(np.arange(WIDTH) < 5, 3.0, np.nan) * np.ones((HEIGHT, 1)))
    np.savez(tmp_path / "two.npz", near=np.full((HEIGHT, WIDTH), 150), far=np.full((HEIGHT, WIDTH), 900.0))
    lines[0]["mask"] = "bonnet.png"
    lines[1]["depth"] = "metres.npy"
    lines[2]["depth"] = {"path": "two.npz", "key": "far", "scale": 100}
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    truth = source.ground_truth(None, None)
    first, second, third = (truth(ref) for ref in source.frames("all"))
    assert first.depth.tolist() == [10.0] * (20 * WIDTH // 2) and first.rows.max() == 19
    assert second.depth.tolist() == [3.0] * (5 * HEIGHT)
    assert third.depth.tolist() == [9.0] * (WIDTH * HEIGHT)
    sample = EvalDataset(source, source.frames("all"), 64, 96, truth)[0]
    assert sample.image.shape == (3, 64, 96) and sample.truth.depth.size == first.depth.size


def test_masks_reach_the_batch_at_the_networks_size(tmp_path):
    """At a quarter of the size a pixel counts where all sixteen do; a frame without a mask counts as a whole."""
    lines = frames(tmp_path, 4)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[19:] = 1  # a row into the fifth cell
    Image.fromarray(mask).save(tmp_path / "bonnet.png")
    lines[1]["mask"] = "bonnet.png"
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    data = FrameDataset(source, source.frames("all", (-1, 1)), HEIGHT // 4, WIDTH // 4, augment=False)
    known = collate([data[0], data[1]]).known
    assert known.counted.dtype == torch.bool and known.counted.shape == (2, 1, 6, 10)
    assert known.counted[0, 0, :, 0].tolist() == [True] * 4 + [False] * 2 and known.counted[1].all()
    # Frame 1 is the second target's source before it.
    assert known.sources_counted.shape == (2, 2, 6, 10) and known.sources_counted[0].all()
    assert known.sources_counted[1, :, :, 0].tolist() == [[True] * 4 + [False] * 2, [True] * 6]
    data = FrameDataset(source, source.frames("all", (1,))[2:], HEIGHT // 4, WIDTH // 4, (1,), augment=False)
    assert collate([data[0]]).known.counted is None


def test_other_camera_is_a_source(tmp_path):
    lines = frames(tmp_path, 3)
    shift = np.eye(4)
    shift[0, 3] = -0.5
    for line in lines[:2]:
        line["other_camera"] = {"image": "street/002.png", "other_from_this": shift.tolist()}
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    assert [ref.frame for ref in source.frames("all", (1, 0))] == [0, 1]
    sample = FrameDataset(source, source.frames("all", (0,)), HEIGHT, WIDTH, (), use_stereo=True, augment=False)[0]
    assert torch.equal(sample.frames[1].permute(1, 2, 0), torch.from_numpy(picture(2)))
    assert sample.stereo_from_target[0, 3] == -0.5
    assert source.stereo_from(FrameRef("street", 0, "r"))[0, 3] == 0.5


def test_cameras_may_stand_in_a_file_beside_it(tmp_path):
    lines = frames(tmp_path, 1)
    (tmp_path / "cameras.json").write_text('{"front": {"fx": 1')
    header = {"manifest": 1, "cameras": "cameras.json"}
    with pytest.raises(UserError, match="line 1: cameras.json: not JSON"):
        Manifest(write(tmp_path / "m.jsonl", lines, header))
    import json

    (tmp_path / "cameras.json").write_text(json.dumps({"front": CAMERA}))
    assert Manifest(write(tmp_path / "m.jsonl", lines, header)).size == (WIDTH, HEIGHT)


def test_missing_files_may_be_left_out(tmp_path):
    lines = frames(tmp_path)
    (tmp_path / "street/002.png").unlink()
    (tmp_path / "street/004_depth.png").unlink()
    path = write(tmp_path / "m.jsonl", lines)
    with pytest.raises(UserError, match=r"m.jsonl, line 4: street/002.png does not exist"):
        Manifest(path)
    source = Manifest(path, skip_missing=True)
    assert [ref.frame for ref in source.frames("all")] == [0, 1, 3, 5]
    assert source.notes()[1] == "left out, since files are missing: 2 lines, the first line 4: street/002.png"


def test_travels_to_other_processes_and_notices_a_change(tmp_path):
    path = write(tmp_path / "m.jsonl", frames(tmp_path))
    source = pickle.loads(pickle.dumps(Manifest(path)))
    ref = FrameRef("street", 3, "l")
    assert source.image_path(ref).name == "003.png"
    path.write_text(path.read_text()[:-200])
    with pytest.raises(UserError, match="line 7: .*changed meanwhile"):
        source.image_path(FrameRef("street", 5, "l"))


def test_what_was_travelled_by_speed_and_time(tmp_path):
    """Between 10.0 s at 5 m/s and 10.1 s at 7 m/s, back or forth: 0.6 m."""
    lines = frames(tmp_path, 2)
    for line, time, speed in zip(lines, (10.0, 10.1), (5.0, 7.0), strict=True):
        del line["pose"]
        line |= {"time": time, "speed": speed}
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    assert source.travelled(FrameRef("street", 0, "l"), 1) == pytest.approx(0.6)
    assert source.travelled(FrameRef("street", 1, "l"), -1) == pytest.approx(0.6)


def test_depth_beside_a_mask_has_the_images_size(tmp_path):
    lines = frames(tmp_path, 3)
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "whole.png")
    Image.fromarray(np.full((HEIGHT, WIDTH // 2), 256, np.uint16)).save(tmp_path / "half_depth.png")
    lines[1] |= {"mask": "whole.png", "depth": {"path": "half_depth.png", "scale": 256}}
    lines[2]["depth"] = {"path": "half_depth.png", "scale": 256}
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    with pytest.raises(UserError, match=f"line 3: half_depth.png has {WIDTH // 2}x{HEIGHT} pixels, its camera {WIDTH}"):
        source.depth(FrameRef("street", 1, "l"))
    assert source.depth(FrameRef("street", 2, "l")).shape == (HEIGHT, WIDTH // 2)  # alone it may be coarser


def test_masks_of_16_bits_count_as_they_are_stored(tmp_path):
    lines = frames(tmp_path, 3)
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    mask[20:] = 1
    Image.fromarray(mask).save(tmp_path / "bonnet.png")
    lines[1]["mask"] = "bonnet.png"
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    data = FrameDataset(source, source.frames("all", (-1, 1)), HEIGHT, WIDTH, augment=False)
    assert collate([data[0]]).known.counted[0, 0, :, 0].tolist() == [True] * 20 + [False] * (HEIGHT - 20)

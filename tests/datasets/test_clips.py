"""Which clips are found at a path for training, and what becomes of those that are too short."""

import json

import numpy as np
import pytest
from PIL import Image

from datasets.check import main as check
from datasets.core.intrinsics import read_intrinsics
from datasets.footage.camera import CameraChoice
from datasets.footage.decoding import find_clips
from datasets.footage.video import open_footage
from depth.types import UserError
from tests.clip_maker import drive, stand, write_images, write_video


def footage(path, tmp_path):
    return open_footage(path, tmp_path / "cache", CameraChoice(fov=60), progress=False)


def test_clips_lie_as_deep_as_they_like_and_are_named_after_their_folders(tmp_path, monkeypatch):
    root = tmp_path / "tour"
    for name in ("", "10/cam", "2/cam"):
        write_images(root / name / "images" if name else root, drive(3))
    write_video(root / "2" / "b.mp4", drive(3))
    clips, notes = find_clips(root)
    assert [clip.name for clip in clips] == ["tour", "2/b.mp4", "2/cam/images", "10/cam/images"] and notes == []
    assert clips[0].images == ("frame1.png", "frame2.png", "frame3.png") and clips[2].path == root / "2/cam/images"
    monkeypatch.chdir(root)
    assert find_clips(root.relative_to(root))[0][0].name == "tour", "the current folder has a name"
    found = footage(root, tmp_path)
    assert [ref.folder for ref in found.frames("train")] == [f"{clip.name}#1" for clip in clips]


def test_frames_named_by_seconds_follow_each_other_in_time(tmp_path):
    folder = write_images(tmp_path / "images", drive(6))
    times = ["1305031102.05", "1305031102.1", "1305031102.15", "1305031102.2", "1305031102.25", "1305031102.3"]
    for number, time in enumerate(times, start=1):
        (folder / f"frame{number}.png").rename(folder / f"{time}.png")
    found = footage(folder, tmp_path)
    names = [found.image_path(ref).stem for ref in found.frames("train", ())]
    assert names == times


def test_depth_maps_are_not_trained_on(tmp_path, capsys):
    root = tmp_path / "tum"
    write_images(root / "rgb", drive(12))
    (root / "depth").mkdir()
    for number in range(12):
        Image.fromarray(np.full((24, 40), 1000 + number, np.uint16)).save(root / "depth" / f"{number}.png")
    found = footage(root, tmp_path)
    assert [clip.name for clip in found.clips] == ["rgb"]
    note = f"left out: 12 files that are maps by name or by their 16 bits, not pictures ({root / 'depth'}"
    assert any(line.startswith(note) for line in found.notes())
    assert check([str(root), "--fov", "60"]) == 0
    text = capsys.readouterr().out
    assert "frames   12 in 1: rgb 12" in text and f"note     {note}" in text


def test_one_short_clip_among_many_is_left_out_and_said(tmp_path, capsys):
    root = tmp_path / "clips"
    root.mkdir()
    write_video(root / "long.mp4", drive(12))
    write_video(root / "short.mp4", drive(2))
    write_video(root / "still.mp4", stand(12))
    write_images(root / "one", drive(1))
    found = footage(root, tmp_path)
    assert {ref.folder for ref in found.frames("train")} == {"long.mp4#1"}
    lines = [line for line in found.notes() if line.startswith("left out")]
    assert [line.split(":")[1].strip() for line in lines] == [
        "short.mp4 has 2 frames", "still.mp4", "one has 1 frames"
    ]  # fmt: skip
    assert "no 3 frames in a row show parallax" in lines[1]
    assert check([str(root), "--fov", "60"]) == 0
    text = capsys.readouterr().out
    assert "note     left out: short.mp4 has 2 frames: 3 in a row" in text and "problem" not in text
    (root / "long.mp4").unlink()
    with pytest.raises(UserError, match=r"clips: short.mp4 has 2 frames: 3 in a row.*; still.mp4: .*; one has 1 fr"):
        footage(root, tmp_path)


def test_a_short_clip_alone_is_a_problem(tmp_path, capsys):
    assert check([str(write_video(tmp_path / "short.mp4", drive(2))), "--fov", "60"]) == 2
    assert "problem  short.mp4 has 2 frames: 3 in a row" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".3gp", ".m2ts", ".MP4"])
def test_what_is_a_video_alone_is_one_in_a_folder(tmp_path, suffix):
    video = write_video(tmp_path / "clip.mp4", drive(4)).rename(tmp_path / f"clip{suffix}")
    assert footage(video, tmp_path).clips[0].frames == 4
    clips, notes = find_clips(tmp_path)
    assert [clip.path for clip in clips] == [video]
    (note,) = notes
    assert note.startswith(f"left out: 1 folders of runs, caches or the embedded world ({tmp_path}/cache/footage/clip")


def test_what_is_no_video_by_its_name_is_none_alone_either(tmp_path):
    video = write_video(tmp_path / "clip.mp4", drive(4)).rename(tmp_path / "clip.dat")
    with pytest.raises(UserError, match=r"clip\.dat is no video by its name .*\.3gp .*\.mp4"):
        find_clips(video)
    with pytest.raises(UserError, match="holds no video"):
        find_clips(tmp_path)
    with pytest.raises(UserError, match="/dev/video2 is a camera: record a video with it"):
        find_clips(tmp_path / "dev" / ".." / "/dev/video2")


def test_a_video_named_by_the_time_in_the_current_folder(tmp_path, monkeypatch):
    video = write_video(tmp_path / "clip.mp4", drive(4)).rename(tmp_path / "2024-01-01T10:00:00.mp4")
    monkeypatch.chdir(tmp_path)
    assert footage(video.relative_to(tmp_path), tmp_path).clips[0].frames == 4


CAMERA = {"width": 416, "height": 128, "fx": 240.0, "fy": 241.0, "cx": 207.5, "cy": 63.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fx": 0.58, "fy": 1.92, "cx": 0.5, "cy": 0.5}, "a centre of 0.5, 0.5 lies within the first pixel"),
        ({"cx": 0.5, "cy": 0.5}, "not shares of them; a centre of 0.5, 0.5"),
        ({"cx": 0.5}, "a centre of 0.5, 63.5"),
        ({"cy": 0.49}, "a centre of 207.5, 0.49"),
        ({"cx": 0.0, "cy": 0.0}, "a centre of 0, 0"),
        ({"fx": 0.58, "fy": 1.92}, "fx 0.58 means a horizontal field of view of 179.7 degrees"),
        ({"fx": 4.2, "fy": 4.2}, "fx 4.2 means a horizontal field of view of 17[78].* 5 to 170 are taken"),
        ({"fx": 18.0, "fy": 18.0}, "fx 18 means a horizontal field of view of 17"),
        ({"fx": 4800.0, "fy": 4800.0}, "fx 4800 means a horizontal field of view of 5.0 degrees"),
        ({"fy": 1.92}, "fx 240 and fy 1.92 are too different"),
        ({"fy": 961.0}, "too different for one lens"),
    ],
)
def test_shares_and_millimetres_are_no_pixels(tmp_path, changes, message):
    (tmp_path / "k.json").write_text(json.dumps(CAMERA | changes))
    with pytest.raises(UserError, match=message) as caught:
        read_intrinsics(tmp_path / "k.json")
    assert "in pixels of 416x128 images, not shares of them" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fx": 18.5, "fy": 18.5},
        {"fx": 4700.0, "fy": 4700.0},
        {"fy": 960.0},
        {"fy": 60.0},
        {"cx": 0.0},
        {"cx": -100.0, "cy": 200.0},
        {"width": 4, "height": 3, "fx": 4.0, "fy": 4.0, "cx": 0.9, "cy": 0.9},
    ],
)
def test_odd_cameras_that_can_be_are_taken(tmp_path, changes):
    (tmp_path / "k.json").write_text(json.dumps(CAMERA | changes))
    assert read_intrinsics(tmp_path / "k.json").matrix[0, 0] == (CAMERA | changes)["fx"]

"""Folders, globs and odd videos: which clips they are, where their outputs lie, and what the sidecar says of them."""

import json
from pathlib import Path

import cv2
import pytest

from datasets.footage.media import find_pictures
from depth.prediction.files import SideBySide
from depth.types import UserError
from tests.clip_maker import drive, with_pixel_aspect, write_video
from tests.prediction.noise import names_in, noise_folder, noise_picture, noise_video, read_video, run_predict


def tree(folder):
    """Files below a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def sidecar(path):
    return json.loads(path.read_text())


@pytest.fixture
def nested(tmp_path, monkeypatch):
    """Folders 1, 2 and 10 with left.png and right.png, and the current folder is theirs."""
    (tmp_path / "seq").mkdir()
    for name in ("1", "2", "10"):
        folder = noise_folder(tmp_path / "seq" / name, ((8, 8),) * 2)
        (folder / "0.png").rename(folder / "left.png")
        (folder / "1.png").rename(folder / "right.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_glob_over_folders_is_one_clip_whose_outputs_mirror_them(nested, run_folder):
    run_predict(run_folder, nested, "seq/*/left.png", write=("npy",), video="yes")
    out = nested / "out" / "seq"
    assert tree(out) == [
        "1/left_depth.npy", "10/left_depth.npy", "2/left_depth.npy", "clip.json", "seq_side_by_side.mp4"
    ]  # fmt: skip
    facts = sidecar(out / "clip.json")
    assert [frame["name"] for frame in facts["frames"]] == ["1/left", "2/left", "10/left"]
    assert [frame["source"] for frame in facts["frames"]] == [f"seq/{name}/left.png" for name in ("1", "2", "10")]
    assert facts["source"] == "seq/*/left.png"


def test_a_folder_of_folders_is_a_clip_each(nested, run_folder):
    noise_video(nested / "seq" / "2" / "clip.mp4", 2)
    run_predict(run_folder, nested, "seq", write=("npy",))
    out = nested / "out" / "seq"
    images = [f"{name}/{side}_depth.npy" for name in ("1", "10", "2") for side in ("left", "right")]
    video = ["2/clip/000000_depth.npy", "2/clip/000001_depth.npy", "2/clip/clip.json", "2/clip/clip_side_by_side.mp4"]
    assert tree(out) == sorted(images + [f"{name}/clip.json" for name in ("1", "10", "2")] + video)
    assert sidecar(out / "10" / "clip.json")["frames"][1]["source"] == "seq/10/right.png"
    assert sidecar(out / "10" / "clip.json")["source"] == "seq/10"
    assert "source" not in sidecar(out / "2" / "clip" / "clip.json")["frames"][0], "a video's frames have no file"


def test_clips_and_frames_have_names_of_their_own(nested):
    names = [clip.name for clip in find_pictures(["seq", "seq", "seq/1/left.png", "seq/2/left.png"])]
    assert names == ["seq/1", "seq/2", "seq/10", "seq_2/1", "seq_2/2", "seq_2/10", "left", "left_2"]
    cv2.imwrite("seq/1/left.jpg", noise_picture(0))
    (clip,) = find_pictures(["seq/1"])
    assert [frame.name for frame in clip.frames()] == ["left", "left_2", "right"]
    (clip,) = find_pictures(["seq/**/*.png"])
    assert [frame.name for frame in clip.frames()][:3] == ["1/left", "1/right", "2/left"]
    (clip,) = find_pictures(["seq/*/../1/right.png"])
    assert [frame.name for frame in clip.frames()] == ["1/right"], "each file once"


def test_a_glob_that_leads_out_of_its_folder_writes_into_its_own(nested):
    (clip,) = find_pictures(["seq/[1]/../../seq/2/left.png"])
    assert [frame.name for frame in clip.frames()] == ["2/left"]
    (nested / "seq" / "1" / "deep").mkdir()
    (clip,) = find_pictures(["seq/1/*/../../../seq/2/left.png"])
    assert [frame.name for frame in clip.frames()] == ["left"]


def test_videos_of_a_folder_and_of_a_glob(nested):
    for name in ("b.mp4", "a.3gp", "c.m2ts"):
        noise_video(nested / "seq" / "clip.mp4", 2).rename(nested / "seq" / name)
    cv2.imwrite("seq/0.png", noise_picture(0))
    folder = [clip.name for clip in find_pictures(["seq"])]
    assert folder == ["seq", "seq/a", "seq/b", "seq/c", "seq/1", "seq/2", "seq/10"], "beside images, too"
    assert [clip.name for clip in find_pictures(["seq/*.mp4", "seq/[0-9].png"])] == ["seq/b", "seq_2"]
    assert [clip.name for clip in find_pictures(["seq/a.3gp", "seq/c.m2ts"])] == ["a", "c"]


def test_a_video_named_by_the_time_in_the_current_folder(tmp_path, run_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise_video(tmp_path / "clip.mp4", 2).rename("2024-01-01T10:00:00.mp4")
    (clip,) = find_pictures(["2024-01-01T10:00:00.mp4"])
    assert len(list(clip.frames())) == 2
    assert run_predict(run_folder, tmp_path, "2024-01-01T10:00:00.mp4", out=".").frames == 2
    assert "2024-01-01T10:00:00_side_by_side.mp4" in names_in(tmp_path / "2024-01-01T10:00:00")
    video = SideBySide(Path("10:00.mp4"), 10)
    video.add(noise_picture(0), noise_picture(0))
    video.finish()
    assert len(read_video(tmp_path / "10:00.mp4")[0]) == 1


def test_a_device_is_a_camera(monkeypatch, tmp_path):
    for name, number in (("/dev/video2", 2), ("7", 7)):
        with pytest.raises(UserError, match=f"camera {number} cannot be opened"):
            find_pictures([name])
    (tmp_path / "by-id").symlink_to("/dev/video3")
    with pytest.raises(UserError, match="camera 3 cannot be opened"):
        find_pictures([str(tmp_path / "by-id")])
    with pytest.raises(UserError, match="/dev/videos does not exist"):
        find_pictures(["/dev/videos"])


def test_oblong_pixels_are_in_k_and_square_in_the_video(run_folder, tmp_path):
    video = with_pixel_aspect(write_video(tmp_path / "a.mp4", drive(3)), 4, 3)
    run_predict(run_folder, tmp_path, video, fov=90.0, write=("npy",))
    facts = sidecar(tmp_path / "out" / "a" / "clip.json")
    assert (facts["frames"][0]["fx"], facts["frames"][0]["fy"]) == (160, 213.3333)
    frames, _ = read_video(tmp_path / "out" / "a" / "a_side_by_side.mp4")
    assert frames[0].shape == (192, 2 * 426, 3), "427 wide, but the codec wants even sides"


def test_a_camera_of_the_images_as_they_are_shown(run_folder, tmp_path, capsys):
    video = with_pixel_aspect(write_video(tmp_path / "a.mp4", drive(3)), 8, 5)  # 320x192 shown as 512x192
    camera = {"width": 1024, "height": 384, "fx": 480, "fy": 480, "cx": 511.5, "cy": 191.5}
    (tmp_path / "k.json").write_text(json.dumps(camera))
    run_predict(run_folder, tmp_path, video, intrinsics=str(tmp_path / "k.json"), write=("npy",))
    frame = sidecar(tmp_path / "out" / "a" / "clip.json")["frames"][0]
    assert (frame["fx"], frame["fy"], frame["cx"], frame["cy"]) == (150, 240, 159.5, 95.5)
    assert "320x192 pictures are squeezed" in capsys.readouterr().out, "512x192 is 2.7, the network's 96x64 1.5"


def test_a_camera_that_does_not_fit_leaves_nothing_behind(run_folder, tmp_path):
    camera = {"width": 400, "height": 384, "fx": 480, "fy": 480, "cx": 199.5, "cy": 191.5}
    (tmp_path / "k.json").write_text(json.dumps(camera))
    folder = noise_folder(tmp_path / "frames")
    with pytest.raises(UserError, match="400x384, these have 60x40"):
        run_predict(run_folder, tmp_path, folder, intrinsics=str(tmp_path / "k.json"), ply=True)
    assert tree(tmp_path / "out") == []

"""predict.py: what cannot be predicted is said in one line."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from depth.options.predict import PredictOptions, ScaleChoice, parse_scale
from depth.prediction.files import SideBySide
from depth.support.cli import parse
from depth.types import UserError
from tests.prediction.noise import names_in, noise_folder, noise_picture, noise_video, run_predict


def test_a_video_that_is_cut_short_is_noted(run_folder, tmp_path, capsys):
    clip = noise_video(tmp_path / "clip.avi", 40)
    content = clip.read_bytes()
    notes = []
    for length, options in ((1.0, {}), (0.5, {"max_frames": 3}), (0.5, {})):
        clip.write_bytes(content[: int(length * len(content))])
        frames = run_predict(run_folder, tmp_path, clip, write=("npy",), video="no", **options).frames
        notes.append(json.loads((tmp_path / "out/clip/clip.json").read_text())["notes"])
    assert notes[:2] == [[], []] and 3 < frames < 30
    assert notes[2] == [f"clip.avi ends after {frames} of 40 frames: it is damaged from there on"]
    assert capsys.readouterr().out.count("note: clip.avi ends") == 1


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        (None, ScaleChoice("auto")),
        ("none", ScaleChoice("none")),
        ("stereo", ScaleChoice("stereo")),
        ("factor=5.4", ScaleChoice("factor", 5.4)),
        ("camera_height=1.65", ScaleChoice("camera_height", 1.65)),
    ],
)
def test_scale_choices(text, choice):
    assert parse_scale(text) == choice


@pytest.mark.parametrize(
    "text", ["factor", "factor=0", "factor=nan", "factor=inf", "height=2", "none=1", "stereo=1", ""]
)
def test_bad_scale_choices(text):
    with pytest.raises(UserError, match="is not one of none, stereo, factor=5.4, camera_height=1.65"):
        parse_scale(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to predict"),
        (["x.png", "--ply"], "--ply needs --intrinsics"),
        (["x.png", "--scale_from", "camera_height=2"], "camera_height needs --intrinsics"),
        (["x.png", "--fov", "180"], "--fov 180"),
        (["x.png", "--fov", "60", "--intrinsics", "k.json"], "exclude each other"),
        (["x.png", "--colour_range", "5", "2"], "near < far"),
        (["x.png", "--batch_size", "0"], "--batch_size 0"),
        (["x.png", "--write", "exr"], "exr"),
        (["x.png", "--nonsense"], "--nonsense"),
    ],
)
def test_flags_that_do_not_fit(arguments, message):
    with pytest.raises(UserError, match=message):
        parse(PredictOptions, "", arguments)


def test_bad_input_is_one_line(run_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "notes.txt").write_text("")
    for name, message in [
        ("empty", "no images or videos in"),
        ("broken.mp4", "cannot be opened as a video"),
        ("text.png", "is no image"),
        ("notes.txt", "neither an image nor a video"),
        ("absent.png", "does not exist"),
        ("empty/*.png", "no images or videos in"),
    ]:
        with pytest.raises(UserError, match=message):
            run_predict(run_folder, tmp_path, tmp_path / name)
    good = noise_folder(tmp_path / "good")
    with pytest.raises(UserError, match="trained without anything in metres"):
        run_predict(run_folder, tmp_path, good, scale_from="stereo")
    with pytest.raises(UserError, match="--checkpoint"):
        run_predict(run_folder, tmp_path, good, checkpoint=None, log_dir=str(tmp_path / "empty"))
    with pytest.raises(UserError, match="is not JSON"):
        run_predict(run_folder, tmp_path, good, intrinsics=str(tmp_path / "text.png"))


def test_broken_image_in_a_folder_is_named(run_folder, tmp_path):
    folder = noise_folder(tmp_path / "frames")
    (folder / "3.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(UserError, match="3.png"):
        run_predict(run_folder, tmp_path, folder)


def test_floating_point_tiff_is_named(run_folder, tmp_path):
    Image.fromarray(np.ones((8, 9), np.float32)).save(tmp_path / "heights.tif")
    with pytest.raises(UserError, match=r"heights.tif holds floating-point pixels: save it with 8 or 16 bits"):
        run_predict(run_folder, tmp_path, tmp_path / "heights.tif")


def test_picture_beyond_jpegs_limit(run_folder, tmp_path):
    cv2.imwrite(str(tmp_path / "line.png"), np.zeros((2, 65_501, 3), np.uint8))
    with pytest.raises(UserError, match=r"line: a colour picture of 65501x2 .* 65,500 .*--write png npy"):
        run_predict(run_folder, tmp_path, tmp_path / "line.png")
    assert names_in(tmp_path / "out") == ["line.json"]
    run_predict(run_folder, tmp_path, tmp_path / "line.png", write=("png", "npy"))
    assert np.load(tmp_path / "out" / "line_depth.npy").shape == (2, 65_501)


def _side_by_side(path):
    video = SideBySide(path, 10)
    for index in range(2):
        video.add(noise_picture(index), noise_picture(index))
    return video


def test_a_video_that_is_not_whole_does_not_get_its_name(tmp_path, capfd):
    damaged, short = _side_by_side(tmp_path / "damaged.mp4"), _side_by_side(tmp_path / "short.mp4")
    damaged.writer.release()
    damaged.aside.write_bytes(damaged.aside.read_bytes()[:-200])
    short.frames = 3
    for video, count in ((damaged, "0 of 2"), (short, "2 of 3")):
        with pytest.raises(UserError, match=f"{video.path.name} cannot be written: {count} frames can be read back"):
            video.finish()
        video.close()
    taken = _side_by_side(tmp_path / "taken.mp4")
    (tmp_path / "taken.mp4" / "inside").mkdir(parents=True)
    with pytest.raises(UserError, match="taken.mp4 cannot be written: "):
        taken.finish()
    taken.close()
    assert names_in(tmp_path) == ["taken.mp4"] and capfd.readouterr() == ("", "")

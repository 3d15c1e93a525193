import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import depth
from datasets.core.intrinsics import intrinsics_from_fov
from datasets.footage.media import find_pictures
from depth.options.predict import PredictOptions, ScaleChoice, parse_scale
from depth.prediction.api import DepthModel
from depth.prediction.files import SideBySide
from depth.support.cli import parse
from depth.support.stop_signal import StopSignal
from depth.types import UserError
from predict import predict
from tests.tiny_run import save_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "run")


def _picture(seed, height=40, width=60):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _folder(path, sizes=((40, 60),) * 5):
    path.mkdir()
    for index, (height, width) in enumerate(sizes):
        cv2.imwrite(str(path / f"{index}.png"), _picture(index, height, width))
    return path


def _video(path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12.5, (64, 48))
    for index in range(frames):
        writer.write(_picture(index, 48, 64))
    writer.release()
    return path


def _predict(run_folder, tmp_path, *inputs, **options):
    given = {"checkpoint": str(run_folder), "out": str(tmp_path / "out"), "device": "cpu", "batch_size": 2}
    return predict(PredictOptions(inputs=tuple(map(str, inputs)), **given | options))


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _read(video):
    capture, frames = cv2.VideoCapture(str(video)), []
    while (frame := capture.read())[0]:
        frames.append(frame[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def test_one_image_and_its_sidecar(run_folder, tmp_path):
    """Stored numbers mean what the sidecar says, and are the API's."""
    path = tmp_path / "ein Bild é.png"
    cv2.imwrite(str(path), _picture(0))
    summary = _predict(run_folder, tmp_path, path, scale_from="factor=5.4")
    out, stem = tmp_path / "out", path.stem
    assert _names(out) == sorted(f"{stem}{end}" for end in (".json", "_colour.jpg", "_depth.npy", "_depth.png"))
    assert summary.frames == 1 and "1 frames" in str(summary)
    expected = depth.load_model(run_folder, device="cpu", scale=5.4).predict(path)
    stored = np.load(out / f"{stem}_depth.npy", allow_pickle=False)
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, expected.depth)
    values = cv2.imread(str(out / f"{stem}_depth.png"), cv2.IMREAD_UNCHANGED)
    assert values.dtype == np.uint16 and values.shape == (40, 60)
    np.testing.assert_allclose(values / 256, expected.depth, atol=0.5 / 256 + 1e-6)
    facts = json.loads((out / f"{stem}.json").read_text(encoding="utf-8"))
    assert facts["unit"] == "metres" and facts["trained_on"] == "synthetic"
    assert facts["scale"]["factor"] == 5.4 and "given by the user" in facts["scale"]["from"]
    assert facts["frames"] == [{"name": stem, "width": 60, "height": 40}]
    assert "value / 256;" in facts["files"]["*_depth.png"] and "65535 is 255.996" in facts["files"]["*_depth.png"]


def test_depth_without_a_unit_has_finer_steps(run_folder, tmp_path):
    """Depths near 0.1 in steps of 1/256 would be off by 2 %."""
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), _picture(0))
    _predict(run_folder, tmp_path, path)
    out = tmp_path / "out"
    values = cv2.imread(str(out / "photo_depth.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(values / 4096, np.load(out / "photo_depth.npy"), atol=0.5 / 4096 + 1e-6)
    assert "value / 4096;" in json.loads((out / "photo.json").read_text())["files"]["*_depth.png"]


def test_a_folder_has_one_colour_range_and_keeps_sizes(run_folder, tmp_path):
    folder = _folder(tmp_path / "frames", ((40, 60), (50, 50), (33, 71)))
    _predict(run_folder, tmp_path, folder, write=("npy", "colour"), video="yes")
    out = tmp_path / "out" / "frames"
    ends = ("_colour.jpg", "_depth.npy")
    assert _names(out) == sorted(
        [f"{i}{end}" for i in range(3) for end in ends] + ["clip.json", "frames_side_by_side.mp4"]
    )
    shapes = [np.load(out / f"{i}_depth.npy").shape for i in range(3)]
    assert shapes == [(40, 60), (50, 50), (33, 71)]
    facts = json.loads((out / "clip.json").read_text())
    assert facts["unit"] == "up to scale" and [frame["name"] for frame in facts["frames"]] == ["0", "1", "2"]
    frames, fps = _read(out / "frames_side_by_side.mp4")
    assert len(frames) == 3 and frames[0].shape == (40, 120, 3) and fps == 10


def test_video_becomes_a_side_by_side_video(run_folder, tmp_path):
    clip = _video(tmp_path / "clip.mp4", 3)
    _predict(run_folder, tmp_path, clip, write=("colour",), colour_range=(0.15, 0.4))
    out = tmp_path / "out" / "clip"
    assert _names(out) == [f"00000{i}_colour.jpg" for i in range(3)] + ["clip.json", "clip_side_by_side.mp4"]
    frames, fps = _read(out / "clip_side_by_side.mp4")
    assert len(frames) == 3 and frames[0].shape == (48, 128, 3) and fps == 12.5
    originals, _ = _read(clip)
    for original, frame in zip(originals, frames, strict=True):  # in order; noise survives the codec only roughly
        differences = [np.abs(frame[:, :64].astype(int) - each).mean() for each in originals]
        assert np.argmin(differences) == next(i for i, each in enumerate(originals) if each is original)
    assert "0.15" in json.loads((out / "clip.json").read_text())["files"]["*_colour.jpg"]


def test_a_video_that_is_cut_short_is_noted(run_folder, tmp_path, capsys):
    clip = _video(tmp_path / "clip.avi", 40)
    content = clip.read_bytes()
    notes = []
    for length, options in ((1.0, {}), (0.5, {"max_frames": 3}), (0.5, {})):
        clip.write_bytes(content[: int(length * len(content))])
        frames = _predict(run_folder, tmp_path, clip, write=("npy",), video="no", **options).frames
        notes.append(json.loads((tmp_path / "out/clip/clip.json").read_text())["notes"])
    assert notes[:2] == [[], []] and 3 < frames < 30
    assert notes[2] == [f"clip.avi ends after {frames} of 40 frames: it is damaged from there on"]
    assert capsys.readouterr().out.count("note: clip.avi ends") == 1


def test_existing_files_are_replaced_and_nothing_else_is_left(run_folder, tmp_path):
    clip = _video(tmp_path / "clip.mp4", 3)
    for _ in range(2):
        _predict(run_folder, tmp_path, clip)
    assert not [name for name in _names(tmp_path / "out" / "clip") if name.startswith(".")]
    out = tmp_path / "out" / "clip"
    (out / "000000_depth.png").write_text("old")
    _predict(run_folder, tmp_path, clip, max_frames=1)
    assert cv2.imread(str(out / "000000_depth.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    assert len(json.loads((out / "clip.json").read_text())["frames"]) == 1


def test_point_cloud(run_folder, tmp_path):
    folder = _folder(tmp_path / "frames", ((40, 60),))
    _predict(run_folder, tmp_path, folder, ply=True, fov=60.0, write=("npy",))
    out = tmp_path / "out" / "frames"
    header, _, body = (out / "0.ply").read_bytes().partition(b"end_header\n")
    assert b"element vertex 2400\n" in header
    vertices = np.frombuffer(body, dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)]).reshape(40, 60)
    depths, k = np.load(out / "0_depth.npy"), intrinsics_from_fov(60.0, 60, 40)
    np.testing.assert_array_equal(vertices["xyz"][..., 2], depths)
    pixels = vertices["xyz"].astype(float) @ k.T / depths[..., None]
    np.testing.assert_allclose(pixels[17, 23], (23, 17, 1), atol=1e-4)
    np.testing.assert_array_equal(vertices["rgb"], _picture(0)[..., ::-1])
    assert json.loads((out / "clip.json").read_text())["frames"][0]["cx"] == 29.5


def test_intrinsics_of_another_size(run_folder, tmp_path):
    folder = _folder(tmp_path / "frames", ((40, 60),))
    camera = {"fx": 100.0, "fy": 110.0, "cx": 59.5, "cy": 39.5, "width": 120, "height": 80}
    (tmp_path / "k.json").write_text(json.dumps(camera))
    options = {"ply": True, "write": (), "intrinsics": str(tmp_path / "k.json")}
    _predict(run_folder, tmp_path, folder, **options)
    frame = json.loads((tmp_path / "out" / "frames" / "clip.json").read_text())["frames"][0]
    assert (frame["fx"], frame["fy"], frame["cx"], frame["cy"]) == (50, 55, 29.5, 19.5)
    (tmp_path / "k.json").write_text(json.dumps(camera | {"height": 100}))
    with pytest.raises(UserError, match="120x100, these have 60x40"):
        _predict(run_folder, tmp_path, folder, **options)


def test_camera_height_without_a_road(run_folder, tmp_path):
    folder = _folder(tmp_path / "frames")
    try:
        _predict(run_folder, tmp_path, folder, scale_from="camera_height=1.65", fov=60.0)
    except UserError as error:
        assert "no road found" in str(error)
    else:
        facts = json.loads((tmp_path / "out" / "frames" / "clip.json").read_text())
        assert facts["unit"] == "metres" and "of 5 frames" in facts["scale"]["from"]


def test_a_signal_ends_the_run_with_complete_files(run_folder, tmp_path, monkeypatch):
    stop = StopSignal()
    original = DepthModel.inverse_depth

    def interrupted(self, images):
        stop.number = 2
        return original(self, images)

    monkeypatch.setattr(DepthModel, "inverse_depth", interrupted)
    out = tmp_path / "out"
    options = PredictOptions(
        inputs=(str(_folder(tmp_path / "f")),), checkpoint=str(run_folder), out=str(out), batch_size=2, video="yes"
    )
    assert predict(options, stop).frames == 2
    assert len(json.loads((out / "f" / "clip.json").read_text())["frames"]) == 2
    assert len(_read(out / "f" / "f_side_by_side.mp4")[0]) == 2


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
            _predict(run_folder, tmp_path, tmp_path / name)
    good = _folder(tmp_path / "good")
    with pytest.raises(UserError, match="trained without stereo"):
        _predict(run_folder, tmp_path, good, scale_from="stereo")
    with pytest.raises(UserError, match="--checkpoint"):
        _predict(run_folder, tmp_path, good, checkpoint=None, log_dir=str(tmp_path / "empty"))
    with pytest.raises(UserError, match="is not JSON"):
        _predict(run_folder, tmp_path, good, intrinsics=str(tmp_path / "text.png"))


def test_broken_image_in_a_folder_is_named(run_folder, tmp_path):
    folder = _folder(tmp_path / "frames")
    (folder / "3.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(UserError, match="3.png"):
        _predict(run_folder, tmp_path, folder)


def test_floating_point_tiff_is_named(run_folder, tmp_path):
    Image.fromarray(np.ones((8, 9), np.float32)).save(tmp_path / "heights.tif")
    with pytest.raises(UserError, match=r"heights.tif holds floating-point pixels: save it with 8 or 16 bits"):
        _predict(run_folder, tmp_path, tmp_path / "heights.tif")


def test_picture_beyond_jpegs_limit(run_folder, tmp_path):
    cv2.imwrite(str(tmp_path / "line.png"), np.zeros((2, 65_501, 3), np.uint8))
    with pytest.raises(UserError, match=r"line: a colour picture of 65501x2 .* 65,500 .*--write png npy"):
        _predict(run_folder, tmp_path, tmp_path / "line.png")
    assert _names(tmp_path / "out") == ["line.json"]
    _predict(run_folder, tmp_path, tmp_path / "line.png", write=("png", "npy"))
    assert np.load(tmp_path / "out" / "line_depth.npy").shape == (2, 65_501)


def _side_by_side(path):
    video = SideBySide(path, 10)
    for index in range(2):
        video.add(_picture(index), _picture(index))
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
    assert _names(tmp_path) == ["taken.mp4"] and capfd.readouterr() == ("", "")


def test_clips_of_folders_and_globs(tmp_path):
    folder = _folder(tmp_path / "frames")
    for index in range(5, 11):
        cv2.imwrite(str(folder / f"{index}.png"), _picture(index, 4, 4))
    (folder / "._3.png").write_text("another program's")
    (folder / "notes.txt").write_text("")
    (clip,) = find_pictures([str(folder)])
    assert (clip.name, clip.count) == ("frames", 11)
    assert [frame.name for frame in clip.frames()] == [str(index) for index in range(11)]
    (clip,) = find_pictures([str(folder / "1*.png")])
    assert [frame.name for frame in clip.frames()] == ["1", "10"] and clip.name == "frames"
    names = [clip.name for clip in find_pictures([str(folder / "1.png"), str(folder), str(folder / "1.png")])]
    assert names == ["1", "frames", "1_2"]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["left/*.png", "right/*.png"], ["left", "right"]),
        (["right", "right/*.png"], ["right", "right_2"]),
        (["../clips/*/0.png"], ["clips"]),
        (["left/../right/[0].png"], ["right"]),
        (["**/0.png"], ["clips"]),
    ],
)
def test_a_glob_is_called_after_its_folder(tmp_path, monkeypatch, patterns, names):
    (tmp_path / "clips").mkdir()
    for name in ("left", "right"):
        _folder(tmp_path / "clips" / name, ((4, 4),))
    monkeypatch.chdir(tmp_path / "clips")
    assert [clip.name for clip in find_pictures(patterns)] == names


def test_command_line(run_folder, tmp_path):
    """As a user calls it: what was done, or one line and exit code 2; OpenCV and FFmpeg keep quiet."""
    video = _video(tmp_path / "my clip é.mp4", 3)
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    base = [sys.executable, str(ROOT / "predict.py")]
    options = ["--checkpoint", str(run_folder), "--out", str(tmp_path / "out"), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*base, str(video), *options], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert f"model: {run_folder / 'checkpoints' / 'best.pt'}, 96x64, trained on the embedded world, on" in done.stdout
    assert "3 frames" in done.stdout and "ms per frame" in done.stdout and "clip.json" in done.stdout
    failed = subprocess.run(
        [*base, str(tmp_path / "broken.mp4"), *options], capture_output=True, text=True, env=environment
    )
    assert failed.returncode == 2 and failed.stdout == ""
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1

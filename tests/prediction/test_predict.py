"""predict.py: what it writes for images, folders, videos, and what the numbers in the files mean."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import depth
from datasets.core.intrinsics import intrinsics_from_fov
from depth.options.predict import PredictOptions
from depth.prediction.api import DepthModel
from depth.support.stop_signal import StopSignal
from depth.types import UserError
from predict import load, predict
from tests.prediction.noise import names_in, noise_folder, noise_picture, noise_video, read_video, run_predict
from tests.tiny_run import add_best, save_run

ROOT = Path(__file__).parents[2]


def test_one_image_and_its_sidecar(run_folder, tmp_path):
    """Stored numbers mean what the sidecar says, and are the API's."""
    path = tmp_path / "ein Bild é.png"
    cv2.imwrite(str(path), noise_picture(0))
    summary = run_predict(run_folder, tmp_path, path, scale_from="factor=5.4")
    out, stem = tmp_path / "out", path.stem
    assert names_in(out) == sorted(f"{stem}{end}" for end in (".json", "_colour.jpg", "_depth.npy", "_depth.png"))
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
    assert facts["frames"] == [{"name": stem, "source": str(path), "width": 60, "height": 40}]
    assert "value / 256;" in facts["files"]["*_depth.png"] and "65535 is 255.996" in facts["files"]["*_depth.png"]


def test_depth_without_a_unit_has_finer_steps(run_folder, tmp_path):
    """Depths near 0.1 in steps of 1/256 would be off by 2 %."""
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), noise_picture(0))
    run_predict(run_folder, tmp_path, path)
    out = tmp_path / "out"
    values = cv2.imread(str(out / "photo_depth.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(values / 4096, np.load(out / "photo_depth.npy"), atol=0.5 / 4096 + 1e-6)
    assert "value / 4096;" in json.loads((out / "photo.json").read_text())["files"]["*_depth.png"]


def test_a_folder_has_one_colour_range_and_keeps_sizes(run_folder, tmp_path):
    folder = noise_folder(tmp_path / "frames", ((40, 60), (50, 50), (33, 71)))
    run_predict(run_folder, tmp_path, folder, write=("npy", "colour"), video="yes")
    out = tmp_path / "out" / "frames"
    ends = ("_colour.jpg", "_depth.npy")
    assert names_in(out) == sorted(
        [f"{i}{end}" for i in range(3) for end in ends] + ["clip.json", "frames_side_by_side.mp4"]
    )
    shapes = [np.load(out / f"{i}_depth.npy").shape for i in range(3)]
    assert shapes == [(40, 60), (50, 50), (33, 71)]
    facts = json.loads((out / "clip.json").read_text())
    assert facts["unit"] == "up to scale" and [frame["name"] for frame in facts["frames"]] == ["0", "1", "2"]
    frames, fps = read_video(out / "frames_side_by_side.mp4")
    assert len(frames) == 3 and frames[0].shape == (40, 120, 3) and fps == 10


def test_video_becomes_a_side_by_side_video(run_folder, tmp_path):
    clip = noise_video(tmp_path / "clip.mp4", 3)
    run_predict(run_folder, tmp_path, clip, write=("colour",), colour_range=(0.15, 0.4))
    out = tmp_path / "out" / "clip"
    assert names_in(out) == [f"00000{i}_colour.jpg" for i in range(3)] + ["clip.json", "clip_side_by_side.mp4"]
    frames, fps = read_video(out / "clip_side_by_side.mp4")
    assert len(frames) == 3 and frames[0].shape == (48, 128, 3) and fps == 12.5
    originals, _ = read_video(clip)
    for original, frame in zip(originals, frames, strict=True):  # in order; noise survives the codec only roughly
        differences = [np.abs(frame[:, :64].astype(int) - each).mean() for each in originals]
        assert np.argmin(differences) == next(i for i, each in enumerate(originals) if each is original)
    assert "0.15" in json.loads((out / "clip.json").read_text())["files"]["*_colour.jpg"]


def test_existing_files_are_replaced_and_nothing_else_is_left(run_folder, tmp_path):
    clip = noise_video(tmp_path / "clip.mp4", 3)
    for _ in range(2):
        run_predict(run_folder, tmp_path, clip)
    assert not [name for name in names_in(tmp_path / "out" / "clip") if name.startswith(".")]
    out = tmp_path / "out" / "clip"
    (out / "000000_depth.png").write_text("old")
    run_predict(run_folder, tmp_path, clip, max_frames=1)
    assert cv2.imread(str(out / "000000_depth.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    assert len(json.loads((out / "clip.json").read_text())["frames"]) == 1


def test_the_best_checkpoint_where_asked(tmp_path):
    run, path = save_run(tmp_path / "run"), tmp_path / "photo.png"
    add_best(run)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    depths = []
    for choice in ("last", "best"):
        run_predict(run, tmp_path, path, write=("npy",), checkpoint_choice=choice)
        depths.append(np.load(tmp_path / "out" / "photo_depth.npy"))
        facts = json.loads((tmp_path / "out" / "photo.json").read_text())
        assert facts["model"].endswith(f"{choice}.pt") and facts["checkpoint"].startswith(f"{choice} checkpoint after")
    assert np.abs(depths[0] - depths[1]).max() > 1e-3


def test_point_cloud(run_folder, tmp_path):
    folder = noise_folder(tmp_path / "frames", ((40, 60),))
    run_predict(run_folder, tmp_path, folder, ply=True, fov=60.0, write=("npy",))
    out = tmp_path / "out" / "frames"
    header, _, body = (out / "0.ply").read_bytes().partition(b"end_header\n")
    assert b"element vertex 2400\n" in header
    vertices = np.frombuffer(body, dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)]).reshape(40, 60)
    depths, k = np.load(out / "0_depth.npy"), intrinsics_from_fov(60.0, 60, 40)
    np.testing.assert_array_equal(vertices["xyz"][..., 2], depths)
    pixels = vertices["xyz"].astype(float) @ k.T / depths[..., None]
    np.testing.assert_allclose(pixels[17, 23], (23, 17, 1), atol=1e-4)
    np.testing.assert_array_equal(vertices["rgb"], noise_picture(0)[..., ::-1])
    assert json.loads((out / "clip.json").read_text())["frames"][0]["cx"] == 29.5


def test_intrinsics_of_another_size(run_folder, tmp_path):
    folder = noise_folder(tmp_path / "frames", ((40, 60),))
    camera = {"fx": 100.0, "fy": 110.0, "cx": 59.5, "cy": 39.5, "width": 120, "height": 80}
    (tmp_path / "k.json").write_text(json.dumps(camera))
    options = {"ply": True, "write": (), "intrinsics": str(tmp_path / "k.json")}
    run_predict(run_folder, tmp_path, folder, **options)
    frame = json.loads((tmp_path / "out" / "frames" / "clip.json").read_text())["frames"][0]
    assert (frame["fx"], frame["fy"], frame["cx"], frame["cy"]) == (50, 55, 29.5, 19.5)
    (tmp_path / "k.json").write_text(json.dumps(camera | {"height": 100}))
    with pytest.raises(UserError, match="120x100, these have 60x40"):
        run_predict(run_folder, tmp_path, folder, **options)


def test_camera_height_without_a_road(run_folder, tmp_path):
    folder = noise_folder(tmp_path / "frames")
    try:
        run_predict(run_folder, tmp_path, folder, scale_from="camera_height=1.65", fov=60.0)
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
        inputs=(str(noise_folder(tmp_path / "f")),), checkpoint=str(run_folder), out=str(out), batch_size=2, video="yes"
    )
    assert predict(options, load(options), stop).frames == 2
    assert len(json.loads((out / "f" / "clip.json").read_text())["frames"]) == 2
    assert len(read_video(out / "f" / "f_side_by_side.mp4")[0]) == 2


def test_command_line(run_folder, tmp_path):
    """As a user calls it: what was done, or one line and exit code 2; OpenCV and FFmpeg keep quiet."""
    video = noise_video(tmp_path / "my clip é.mp4", 3)
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    base = [sys.executable, str(ROOT / "predict.py")]
    options = ["--checkpoint", str(run_folder), "--out", str(tmp_path / "out"), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*base, str(video), *options], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    model = f"model: {run_folder / 'checkpoints' / 'last.pt'}, last checkpoint after 2 epochs, 34 steps, 96x64"
    assert f"{model}, trained on the embedded world, on" in done.stdout
    assert "3 frames" in done.stdout and "ms per frame" in done.stdout and "clip.json" in done.stdout
    failed = subprocess.run(
        [*base, str(tmp_path / "broken.mp4"), *options], capture_output=True, text=True, env=environment
    )
    assert failed.returncode == 2 and failed.stdout == ""
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1

"""predict.py --poses: motions over batches and clips, files in both formats, scale; and predict.py on a manifest."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datasets.kitti.poses import read_poses
from datasets.tools.manifest_pictures import manifest_pictures
from depth.geometry import invert_transform, transform_from_axis_angle
from depth.options.predict import PredictOptions
from depth.prediction.metric_scale import Scale
from depth.prediction.trajectory import Tracker, quaternion, trajectory_of, write_trajectory
from depth.types import UserError
from predict import load, predict
from tests.manifest_maker import CAMERA, frames, write
from tests.prediction.noise import noise_folder, run_predict


class Forward(torch.nn.Module):
    """Says that the later camera is ahead by the difference of the pictures' brightness."""

    def forward(self, pairs):
        step = (pairs[:, 3:].mean((1, 2, 3)) - pairs[:, :3].mean((1, 2, 3))) * 255
        motion = torch.zeros(len(pairs), 6)
        motion[:, 5] = -step  # later_from_earlier: what is ahead comes nearer
        return motion


def model():
    return SimpleNamespace(device=torch.device("cpu"), trained=SimpleNamespace(pose_net=Forward()))


def test_motions_reach_over_batches_and_not_over_clips():
    images = torch.tensor([10, 13, 20, 100, 104], dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 4, 6)
    first, second = object(), object()
    clips = [first, first, first, second, second]
    tracker, found = Tracker(model()), []
    for start, end in ((0, 2), (2, 4), (4, 5)):
        found += tracker.motions(images[start:end], clips[start:end])
    assert [motion[2, 3] for motion in found] == pytest.approx([0, 3, 7, 0, 4], abs=1e-4)


def test_trajectory_chains_and_scales():
    motion = invert_transform(transform_from_axis_angle(torch.tensor([0, -np.pi / 2, 0]), torch.tensor([0.0, 0, -1])))
    turn = motion.double().numpy()  # a metre ahead, then a quarter turn to one side
    poses = trajectory_of([np.eye(4), turn, turn], 2.0)
    assert poses.shape == (3, 4, 4) and np.array_equal(poses[0], np.eye(4))
    assert np.allclose(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1), 2)
    assert np.allclose(poses[2, :3, :3], turn[:3, :3] @ turn[:3, :3])


def test_quaternions_are_those_of_the_rotation():
    half = np.sqrt(0.5)
    assert np.allclose(quaternion(np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])), [0, 0, half, half])
    rotation = transform_from_axis_angle(torch.tensor([0.3, -1.2, 2.0]), torch.zeros(3))[:3, :3].double().numpy()
    x, y, z, w = quaternion(rotation)
    assert np.allclose(rotation[0, 0], 1 - 2 * (y * y + z * z), atol=1e-6)
    assert np.allclose(rotation[0, 1], 2 * (x * y - w * z), atol=1e-6)


def test_files_in_both_formats(tmp_path):
    motions = [np.eye(4), trajectory_of([np.eye(4), np.eye(4)], 1)[1]]
    motions[1][2, 3] = 0.5
    said = write_trajectory(tmp_path, motions, Scale(4.0, "metres", "factor=4, given by the user"), fps=20.0)
    assert read_poses(tmp_path / "trajectory_kitti.txt")[1, 2, 3] == 2.0
    rows = (tmp_path / "trajectory_tum.txt").read_text().splitlines()
    assert rows[0].startswith("#") and [float(v) for v in rows[2].split()] == [0.05, 0, 0, 2, 0, 0, 0, 1]
    assert said["unit"] == "metres" and said["scale_from"].startswith("factor=4")


def test_predict_writes_a_trajectory_and_says_its_order(run_folder, tmp_path):
    folder = noise_folder(tmp_path / "clip")
    run_predict(run_folder, tmp_path, folder, poses=True, write=())
    out = tmp_path / "out" / "clip"
    facts = json.loads((out / "clip.json").read_text())
    assert len(read_poses(out / "trajectory_kitti.txt")) == 5 == len(facts["frames"])
    assert facts["order"] == "natural order of the names" and facts["trajectory"]["unit"] == "up to scale"
    assert "own numbers" in facts["trajectory"]["scale_from"]


def test_a_model_without_a_pose_network_is_refused(run_folder, tmp_path):
    clip = str(noise_folder(tmp_path / "clip"))
    options = PredictOptions((clip,), str(run_folder), out=str(tmp_path / "out"), poses=True, device="cpu")
    model = load(options)
    object.__setattr__(model.trained, "pose_net", None)
    with pytest.raises(UserError, match="--poses: .* has no pose network"):
        predict(options, model)


def test_a_manifests_sequences_are_clips_with_their_cameras(run_folder, tmp_path):
    bent = CAMERA | {"distortion": [-0.1, 0.01, 0, 0]}
    lines = frames(tmp_path, 2, "street") + frames(tmp_path, 2, "lane")
    for line in lines[2:]:
        line["camera"] = "bent"
    path = write(tmp_path / "m.jsonl", lines, {"manifest": 1, "cameras": {"front": CAMERA, "bent": bent}})
    summary = run_predict(run_folder, tmp_path, path, ply=True)
    facts = [json.loads(sidecar.read_text()) for sidecar in summary.sidecars]
    assert [each["pictures"] for each in facts] == ["as given", "straightened"]
    assert (
        facts[0]["frames"][0]["fx"] == 20 != facts[1]["frames"][0]["fx"] and facts[0]["order"] == "the manifest's order"
    )
    assert (tmp_path / "out/lane/000001.ply").is_file() and (tmp_path / "out/street/000000_depth.png").is_file()


def test_a_sequences_name_leads_nowhere_else(tmp_path):
    lines = frames(tmp_path, 1, "s")
    for name, expected in {"../../x": "x", "/etc/passwd": "etc/passwd", "a\\..\\b": "a/b", "..": "sequence"}.items():
        path = write(tmp_path / "m.jsonl", [lines[0] | {"sequence": name}])
        assert [clip.name for clip in manifest_pictures(path)] == [expected]


def test_outputs_of_two_clips_never_share_a_file(run_folder, tmp_path):
    """Manifests with a sequence of one name, and pictures that are each a clip."""
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(write(tmp_path / name / "m.jsonl", frames(tmp_path / name, 2, "street")))
    summary = run_predict(run_folder, tmp_path, *paths, write=("npy",))
    assert [sidecar.parent.name for sidecar in summary.sidecars] == ["street", "street_2"]
    pictures = sorted(noise_folder(tmp_path / "clip").iterdir())[:2]
    run_predict(run_folder, tmp_path, *pictures, video="yes", write=())
    assert {path.stem for path in (tmp_path / "out").glob("*.mp4")} == {f"{p.stem}_side_by_side" for p in pictures}
    with pytest.raises(UserError, match="--poses: .* is a single picture"):
        run_predict(run_folder, tmp_path, pictures[0], poses=True)

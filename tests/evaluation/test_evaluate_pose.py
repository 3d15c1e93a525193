"""evaluate_pose.py: pose files, the chain over batches, what is written, and the embedded world's exact truth."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import evaluate_pose
from datasets.core.splits import FrameRef
from datasets.kitti.poses import format_poses, load_sequences, read_poses
from datasets.world.making import WorldSpec, ensure_world
from depth.build import build_objective
from depth.evaluation.poses import chain
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.evaluate import PoseOptions
from depth.options.network import NetworkOptions
from depth.runs.checkpoint import save_checkpoint
from depth.trained import load_trained
from depth.types import UserError
from evaluate_pose import evaluate, predict_motions
from tests.kitti_layout import write_odometry

IDENTITY = "1 0 0 0 0 1 0 0 0 0 1 0"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    spec = WorldSpec(height=48, width=96, train_drives=1, val_drives=1, test_drives=2, frames_per_drive=6)
    return ensure_world(tmp_path_factory.mktemp("world"), spec)


def write_run(folder, **data):
    """A run whose networks have learnt nothing, not even to go forward."""
    torch.manual_seed(0)
    options = DataOptions(dataset="synthetic", height=64, width=96, **data)
    config = resolved(Config(data=options, network=NetworkOptions(initial_forward=0.0)))
    (folder / "checkpoints").mkdir(parents=True)
    state = {"config": config.to_dict(), "dataset": "synthetic", "versions": {}, "progress": {}}
    save_checkpoint(folder / "checkpoints" / "last.pt", state | {"objective": build_objective(config).state_dict()})
    return folder


class _Ahead(nn.Module):
    """One unit forward a frame: the later camera sees the earlier one's origin behind it."""

    def forward(self, pair):
        return torch.tensor([0, 0, 0, 0, 0, -1.0]).expand(len(pair), 6)


class _Brightness(nn.Module):
    """How much brighter the second frame is, as a turn and a sideways step."""

    def forward(self, pair):
        change = (pair[:, 3:] - pair[:, :3]).mean((1, 2, 3))
        return torch.stack([change * 0, change, change * 0, change, change * 0, change * 0 - 1], 1)


def test_motions_are_chained_over_the_borders_of_batches():
    frames = torch.arange(7, dtype=torch.uint8).square()[:, None, None, None].expand(7, 3, 32, 32)
    whole = predict_motions(_Brightness(), [frames], torch.device("cpu"))
    # Later frames are brighter, by (2 k + 1) / 255: the network turns by that about y, and a motion is the inverse.
    brighter = np.arange(1, 12, 2) / 255
    assert np.allclose(whole[:, 0, 2], -np.sin(brighter), atol=1e-6)
    for size in (1, 2, 3):
        parts = predict_motions(_Brightness(), frames.split(size), torch.device("cpu"))
        assert np.array_equal(parts, whole) and parts.shape == (6, 4, 4)


def test_a_network_that_goes_ahead_goes_ahead():
    frames = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    trajectory = chain(predict_motions(_Ahead(), [frames], torch.device("cpu")))
    assert np.allclose(trajectory[:, :3, 3], [(0, 0, z) for z in range(4)], atol=1e-6)


def test_evaluates_the_embedded_world(world, tmp_path, capsys):
    run = write_run(tmp_path / "runs" / "run")
    options = PoseOptions(data_path=str(world), log_dir=str(run.parent), num_workers=0, batch_size=4, device="cpu")
    results = evaluate(options)
    printed = capsys.readouterr().out
    assert all(words in printed for words in ("dataset: SYNTHETIC", "straight ahead", "mean of 2", "have no unit"))
    folder, names = run / "poses_synthetic", [result.sequence.name for result in results]
    assert {path.name for path in folder.iterdir()} == {
        "metrics.json", "metrics.md", "plot.png", *(f"{name}.txt" for name in names)
    }  # fmt: skip
    record = json.loads((folder / "metrics.json").read_text())
    assert (record["dataset"], list(record["sequences"]), record["checkpoint"]["which"]) == ("synthetic", names, "last")
    errors = record["sequences"][names[0]]
    assert record["model"].endswith("last.pt") and (errors["model"]["frames"], errors["model"]["snippets"]) == (6, 5)
    # The streets are nearly straight, so that a network that has learnt nothing is worse than going straight on.
    assert errors["straight"]["ate5"] < 0.1 < errors["model"]["ate5"]
    fifth = [printed.split(f"| {row}")[1].split("|")[4].strip() for row in ("sequence", names[0])]
    assert fifth == ["RMSE-5", f"{errors['model']['ate5_rmse']:.4f}"]
    written = read_poses(folder / f"{names[0]}.txt")
    assert np.allclose(written, results[0].predicted, atol=1e-6) and np.allclose(written[0], np.eye(4))


def use(monkeypatch, pose_net):
    """The run's pose network is this one: whatever the truth says, its motions are known."""
    monkeypatch.setattr(evaluate_pose, "load_trained", lambda *a: replace(load_trained(*a), load_pose=lambda: pose_net))


def test_the_embedded_worlds_drives_against_a_camera_of_known_motion(world, tmp_path, monkeypatch, capsys):
    """Straight ahead by one unit a frame; the distances are taken from the files without this project's readers."""
    use(monkeypatch, _Ahead())
    run = write_run(tmp_path / "run", use_stereo=True)
    results = evaluate(PoseOptions(data_path=str(world), load_weights_folder=str(run), num_workers=0, device="cpu"))
    assert len(results) == 2 and "have no unit" not in capsys.readouterr().out
    for result in results:
        (path,) = world.glob(f"*/{result.sequence.name}/poses.txt")
        where = np.loadtxt(path).reshape(-1, 3, 4)[:, :, 3]
        ahead = np.outer(np.arange(6), [0, 0, 1])
        assert result.errors.ate["none"] == pytest.approx(np.sqrt(np.square(where - ahead).sum(1).mean()), rel=1e-5)
        scale = (where * ahead).sum() / np.square(ahead).sum()
        assert result.errors.scale["scale"] == pytest.approx(scale, rel=1e-5) and 0.3 < scale < 3


@pytest.mark.parametrize(("ahead", "scale"), [(2, 2), (-2, -2)])
def test_errors_from_files_to_table_by_hand(tmp_path, monkeypatch, ahead, scale):
    """The truth goes 2 m ahead (or back) twice and turns by 30 degrees with the second step; predicted is 1 unit."""
    use(monkeypatch, _Ahead())
    root, run = write_odometry(tmp_path / "data"), write_run(tmp_path / "run")
    (root / "poses").mkdir()
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    rows = [IDENTITY, f"1 0 0 0 0 1 0 0 0 0 1 {ahead}", f"{c} 0 {s} 0 0 1 0 0 {-s} 0 {c} {2 * ahead}"]
    (root / "poses" / "09.txt").write_text("\n".join(rows) + "\n")
    (tmp_path / "short.txt").write_text("09 l 0-2\n")
    (result,) = evaluate(
        PoseOptions(
            data_path=str(root), eval_split=str(tmp_path / "short.txt"), load_weights_folder=str(run), num_workers=0,
            device="cpu",
        )
    )  # fmt: skip
    off = abs(ahead - 1)  # metres a frame
    assert result.errors.ate["none"] == pytest.approx(np.sqrt((off**2 + (2 * off) ** 2) / 3), rel=1e-5)
    assert result.errors.scale["scale"] == pytest.approx(scale) and result.errors.ate["scale"] < 1e-5
    assert result.errors.rpe["none"] == pytest.approx(off, rel=1e-5) and result.errors.rpe["scale"] < 1e-5
    assert result.errors.rpe_degrees == pytest.approx(30 / np.sqrt(2), rel=1e-5)


def test_odometry_poses(tmp_path):
    root = write_odometry(tmp_path)
    (root / "poses").mkdir()
    rows = [f"1 0 0 {i} 0 1 0 0 0 0 1 {i * i}" for i in range(3)]
    (root / "poses" / "09.txt").write_text("\n".join(rows) + "\n")
    (sequence,) = load_sequences(root, [FrameRef("9", frame, "l") for frame in (1, 2)])
    assert sequence.name == "9" and np.allclose(sequence.truth[:, :3, 3], [(0, 0, 0), (1, 0, 3)])


def test_poses_are_told_in_the_axes_of_the_first_frame_that_is_used(tmp_path):
    """Frame 1 looks along x; frame 2 stands 1 m further along x, which is straight ahead of frame 1."""
    (tmp_path / "poses").mkdir()
    rows = ["1 0 0 0 0 1 0 0 0 0 1 0", "0 0 1 4 0 1 0 5 -1 0 0 6", "0 0 1 5 0 1 0 5 -1 0 0 6"]
    (tmp_path / "poses" / "09.txt").write_text("\n".join(rows) + "\n")
    (sequence,) = load_sequences(tmp_path, [FrameRef("09", frame, "l") for frame in (1, 2)])
    ahead = np.eye(4)
    ahead[2, 3] = 1
    assert np.allclose(sequence.truth, [np.eye(4), ahead])


def test_evaluates_the_odometry_layout(tmp_path, capsys):
    root, run = write_odometry(tmp_path / "data"), write_run(tmp_path / "run")
    (root / "poses").mkdir()
    (root / "poses" / "09.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {frame}\n" for frame in range(3)))
    (tmp_path / "short.txt").write_text("09 l 0-2\n")
    options = PoseOptions(
        data_path=str(root), eval_split=str(tmp_path / "short.txt"), load_weights_folder=str(run), num_workers=0,
        device="cpu",
    )  # fmt: skip
    (result,) = evaluate(options)
    assert result.errors.frames == 3 and result.straight.ate["none"] < 1e-9
    assert "SYNTHETIC" not in capsys.readouterr().out
    assert json.loads((run / "poses_short" / "metrics.json").read_text())["dataset"] == "kitti"
    with pytest.raises(UserError, match="none of the 1,591 frames"):
        evaluate(replace(options, data_path=str(tmp_path), eval_split="odom_9"))
    (tmp_path / "long.txt").write_text("09 l 0-5\n")
    with pytest.raises(UserError, match="3 of 6 frames .* download them:\n") as caught:
        evaluate(replace(options, eval_split=str(tmp_path / "long.txt")))
    assert "--skip_missing" not in str(caught.value)


def test_sequences_whose_truth_nobody_knows_get_trajectories_without_a_table(tmp_path, capsys):
    """KITTI keeps the poses of 11 to 21, which is where a submission needs the files."""
    root, run = write_odometry(write_odometry(tmp_path / "dataset", "11"), "09"), write_run(tmp_path / "run")
    (root / "poses").mkdir()
    (root / "poses" / "09.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {frame}\n" for frame in range(3)))
    out = tmp_path / "out"
    for lines, table, names in (("11 l 0-2\n", False, {"11"}), ("09 l 0-2\n11 l 0-2\n", True, {"09", "11"})):
        (tmp_path / "mine.txt").write_text(lines)
        options = PoseOptions(
            data_path=str(tmp_path), eval_split=str(tmp_path / "mine.txt"), load_weights_folder=str(run),
            num_workers=0, device="cpu", eval_out_dir=str(out),
        )  # fmt: skip
        results = evaluate(options)
        text = capsys.readouterr().out
        assert ("ATE-5" in text) == table and "11: no true poses; its trajectory alone" in text
        assert "mean of" not in text and {result.sequence.name for result in results} == names
        assert np.allclose(read_poses(out / "11.txt"), results[-1].predicted, atol=1e-6)
        assert results[-1].errors is results[-1].straight is results[-1].sequence.truth is None
        record = json.loads((out / "metrics.json").read_text())
        assert set(record["sequences"]) == names - {"11"} and record["without_truth"] == ["11"]
        assert (out / "plot.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("text", "frames", "words"),
    [
        (None, (0, 1), "no poses .*09.txt: unpack data_odometry_poses.zip"),
        (IDENTITY, (0, 1), "has 1 poses"),
        (f"{IDENTITY}\n1 0 0", (0, 1), "line 2: a pose is 12 numbers"),
        (f"{IDENTITY}\n{IDENTITY} 7", (0, 1), "line 2: a pose is 12 numbers"),
        (f"{IDENTITY}\n{IDENTITY.replace('1', '2')}", (0, 1), "line 2: the first three columns"),
        (f"{IDENTITY}\n{IDENTITY.replace('1', '-1')}", (0, 1), "line 2: the first three columns"),
        (f"{IDENTITY}\n{IDENTITY[:-1]}nan", (0, 1), "line 2"),
        (f"{IDENTITY}\n" * 3, (0, 2), "2 follows 0"),
        (f"{IDENTITY}\n" * 3, (0,), "two frames"),
    ],
)
def test_bad_poses_are_one_line(tmp_path, text, frames, words):
    (tmp_path / "poses").mkdir()
    if text is not None:
        (tmp_path / "poses" / "09.txt").write_text(text)
    with pytest.raises(UserError, match=words):
        load_sequences(tmp_path, [FrameRef("09", frame, "l") for frame in frames])


def test_written_poses_come_back(tmp_path):
    poses = chain(np.stack([np.eye(4)] * 3))
    poses[:, :3, 3] = np.random.default_rng(0).normal(size=(4, 3))
    (tmp_path / "poses.txt").write_text(format_poses(poses))
    assert np.allclose(read_poses(tmp_path / "poses.txt"), poses, atol=1e-8)


def test_a_model_without_a_pose_network(world, tmp_path):
    run = write_run(tmp_path / "run", frame_ids=(0,), use_stereo=True)
    with pytest.raises(UserError, match="no pose network"):
        evaluate(PoseOptions(data_path=str(world), load_weights_folder=str(run), num_workers=0, device="cpu"))


def test_an_unknown_split_is_an_error_on_the_embedded_world_too(world):
    with pytest.raises(UserError, match="unknown split 'nonsense'"):
        evaluate(PoseOptions(data_path=str(world), eval_split="nonsense", num_workers=0, device="cpu"))


def test_options_are_checked():
    with pytest.raises(UserError, match="--batch_size"):
        PoseOptions(batch_size=0)

"""From labels to a trained run and its evaluation, by the functions behind the commands."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import evaluate_dense
from datasets.labelled.world import WorldLabels
from datasets.world.making import WorldSpec, ensure_world
from depth.dense.building import build_dense_objective, load_dense, load_dense_into, load_depth
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.evaluate import DenseOptions
from depth.options.log import LogOptions
from depth.options.network import NetworkOptions
from depth.options.tasks import TaskOptions
from depth.options.train import TrainOptions
from depth.runs.checkpoint import load_checkpoint
from depth.support.distributed import Process
from depth.trained import load_pose_into, load_trained
from depth.types import UserError
from tests.labelled_layouts import write_camvid
from train import train

ROOT = Path(__file__).resolve().parents[2]
PROCESS = Process(0, 1, torch.device("cpu"))
ALL = ("depth", "semantics", "normals", "panoptic")
WORLD = WorldSpec(height=64, width=96, train_drives=2, val_drives=1, test_drives=1, frames_per_drive=4, labels=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return ensure_world(tmp_path_factory.mktemp("world"), WORLD)


def config(root: Path, runs: Path, name: str, tasks: tuple[str, ...] = ALL, steps: int = 2, **options) -> Config:
    return Config(
        tasks=TaskOptions(tasks=tasks, **options),
        data=DataOptions(dataset="synthetic", data_path=str(root), height=64, width=96, num_workers=0),
        network=NetworkOptions(encoder_weights="scratch"),
        train=TrainOptions(batch_size=2, max_steps=steps, num_epochs=2),
        log=LogOptions(log_dir=str(runs), model_name=name, log_frequency=1),
    )


@pytest.fixture(scope="module")
def run(world, tmp_path_factory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert train(config(world, runs, "all", depth_from="both"), PROCESS)
    return runs / "all"


def test_a_run_says_what_it_learns_and_shows_it(run, world, capsys):
    assert train(config(world, run.parent, "said", depth_from="labels"), PROCESS)
    printed = capsys.readouterr().out
    assert "tasks: depth from labels, semantics, normals, panoptic" in printed
    assert "semantics/miou" in printed or "semantics miou" in printed
    assert f"evaluate: python evaluate_dense.py --load_weights_folder {run.parent / 'said'}" in printed
    state = load_checkpoint(run / "checkpoints" / "best.pt")
    assert set(state["networks"]) == {"dense", "pose"} and state["classes"]["names"][0] == "sky"
    assert list((run / "pictures").glob("step_*.png"))
    model = load_dense(run, "best")
    assert str(model.checkpoint).endswith("chosen by lowest mean of the tasks' own scores on validation images")
    assert list(model.tasks) == list(ALL) and (model.height, model.width) == (64, 96)
    last = load_dense(run)
    assert last.path.name == "last.pt" and all(
        v.equal(last.net.state_dict()[n]) for n, v in model.net.state_dict().items()
    )


def test_a_training_begins_with_the_networks_of_another(run, world):
    """With the pose network too, whose absence is said."""
    state = load_checkpoint(run / "checkpoints" / "last.pt")
    options = resolved(config(world, run.parent, "next", depth_from="both"))
    objective = build_dense_objective(options, state["classes"])
    assert load_dense_into(objective, run) == []
    own = objective.state_dict()
    trained = {name: value for name, value in state["objective"].items() if name.startswith(("depth_net", "pose_net"))}
    assert {name.split(".")[0] for name in trained} == {"depth_net", "pose_net"}
    assert [name for name in trained if not own[name].equal(trained[name])] == []
    assert load_pose_into(objective.pose_net, None, run) == [f"the pose network starts anew: {run} has none"]


def test_resuming_is_exact(world, tmp_path):
    """One run of 3 steps, and one that stops after 2 and goes on: the same weights, bit by bit."""
    assert train(config(world, tmp_path, "whole", ("semantics", "normals"), 3, balance="uncertainty"), PROCESS)
    assert train(config(world, tmp_path, "parts", ("semantics", "normals"), 2, balance="uncertainty"), PROCESS)
    again = replace(Config(), train=TrainOptions(max_steps=3), log=LogOptions(resume=str(tmp_path / "parts")))
    again = replace(again, data=DataOptions(num_workers=0))
    assert train(again, PROCESS)
    whole, parts = (load_checkpoint(tmp_path / n / "checkpoints" / "last.pt")["objective"] for n in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(whole[name].equal(parts[name]) for name in whole)
    assert whole["log_variances"].abs().sum() > 0


@pytest.mark.parametrize("frames", [(0,), (0, -1, 1)])
def test_depth_from_stereo_beside_semantics(world, tmp_path, frames):
    """The other camera gives depths metres; alone, it leaves no motion to be learnt."""
    options = config(world, tmp_path, "stereo", ("depth", "semantics"), steps=1)
    options = replace(options, data=replace(options.data, use_stereo=True, frame_ids=frames))
    assert train(options, PROCESS)
    state = load_checkpoint(tmp_path / "stereo" / "checkpoints" / "best.pt")
    assert set(state["networks"]) == {"dense", "pose"} - ({"pose"} if len(frames) == 1 else set())
    depth = load_depth(tmp_path / "stereo")
    assert depth.metres_from == "the other camera's baseline" and (depth.min_depth, depth.max_depth) == (0.54, 540)


def test_evaluation_leaves_its_files(run, world, capsys):
    report = evaluate_dense.evaluate(
        DenseOptions(load_weights_folder=str(run), data_path=str(world), num_workers=0, device="cpu"), PROCESS
    )
    folder = run / "dense_val"
    values = json.loads((folder / "metrics.json").read_text())
    assert set(values["metrics"]) == set(values["constant"]) == set(ALL)
    assert values["images"] == 2 and values["dataset"] == "synthetic" and values["checkpoint"]["which"] == "last"
    assert values["constant"]["panoptic"]["pq_things"] in (0, None)
    rows = list(csv.DictReader((folder / "per_image.csv").open()))
    assert len(rows) == 2 and {"semantics/miou", "normals/mean_angle", "depth/abs_rel", "panoptic/pq"} <= set(rows[0])
    assert (folder / "frames.png").stat().st_size > 1000
    text = capsys.readouterr().out
    assert "SYNTHETIC" in text and "| constant" in text and "semantics: sky" in text
    # The scores are those of the network in evaluation mode, whatever the batch.
    other = evaluate_dense.evaluate(
        DenseOptions(
            load_weights_folder=str(run), data_path=str(world), num_workers=0, device="cpu", batch_size=1,
            checkpoint_choice="best",
        ),
        PROCESS,
    )  # fmt: skip
    assert "best.pt, best checkpoint after" in (run / "dense_val_best" / "metrics.md").read_text()
    for name in ALL:
        figure = report.tasks[name].figures[0]
        assert other.results[name][figure] == pytest.approx(report.results[name][figure], abs=1e-3)


def test_a_set_without_a_training_part_is_evaluated_alone(run, world, tmp_path, monkeypatch, capsys):
    images = WorldLabels.images
    monkeypatch.setattr(WorldLabels, "images", lambda self, part: [] if part == "train" else images(self, part))
    options = {"load_weights_folder": str(run), "data_path": str(world), "num_workers": 0, "device": "cpu"}
    evaluate_dense.evaluate(DenseOptions(**options, eval_out_dir=str(tmp_path)), PROCESS)
    values = json.loads((tmp_path / "metrics.json").read_text())
    assert set(values["metrics"]) == set(ALL) and not any(values["constant"].values())
    assert "no constant prediction stands beside the model" in capsys.readouterr().out
    assert "| constant" not in (tmp_path / "metrics.md").read_text()


def test_predictions_are_stored(run, world):
    options = DenseOptions(
        load_weights_folder=str(run), data_path=str(world), num_workers=0, device="cpu", save_predictions=True,
        eval_out_dir=str(run / "stored"),
    )  # fmt: skip
    evaluate_dense.evaluate(options, PROCESS)
    assert len(list((run / "stored" / "semantics").glob("*.png"))) == 2
    panoptic = json.loads((run / "stored" / "panoptic.json").read_text())
    assert len(panoptic["annotations"]) == 2 and panoptic["categories"][0]["name"] == "sky"


@pytest.mark.long
def test_two_processes_give_the_figures_of_one(run, world, tmp_path):
    """Three of the four images are the others' neighbours in a batch, which rounds; sums come in another order."""
    common = ["--load_weights_folder", run, "--data_path", world, "--eval_split", "test", "--num_workers", 0]
    found = []
    for name, start in (("one", []), ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2])):
        command = [sys.executable, *start, ROOT / "evaluate_dense.py", *common, "--device", "cpu"]
        ended = subprocess.run([*map(str, command), "--eval_out_dir", tmp_path / name], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        found.append(json.loads((tmp_path / name / "metrics.json").read_text()))
    one, two = found
    assert one["images"] == two["images"] == 4
    for name in ALL:
        assert one["metrics"][name] == pytest.approx(two["metrics"][name], rel=1e-5, nan_ok=True)
        assert one["constant"][name] == pytest.approx(two["constant"][name], nan_ok=True)
    rows = [[line.split(",")[:4] for line in (tmp_path / name / "per_image.csv").open()] for name in ("one", "two")]
    assert rows[0] == rows[1] and len(rows[0]) == 5


def test_video_alone_is_not_for_this_command(run, world, tmp_path):
    with pytest.raises(UserError, match="holds no depth network but one of several tasks: evaluate_dense.py"):
        load_trained(run)
    video = config(world, tmp_path, "video", ("depth",))
    assert train(replace(video, train=replace(video.train, max_steps=1)), PROCESS)
    with pytest.raises(UserError, match="depth from video alone: evaluate_depth.py"):
        load_dense(tmp_path / "video")


def test_camvid_in_miniature(tmp_path):
    """A set without a camera, with windows and scales."""
    root = write_camvid(tmp_path / "camvid")
    options = config(root, tmp_path, "camvid", ("semantics",), crop=(64, 64), scale_range=(0.5, 2.0))
    options = replace(options, data=replace(options.data, dataset="camvid"))
    assert train(options, PROCESS)
    state = load_checkpoint(tmp_path / "camvid" / "checkpoints" / "best.pt")
    assert state["dataset"] == "camvid" and len(state["classes"]["names"]) == 11
    assert np.isfinite(state["progress"]["best"])


def test_data_without_labels_is_one_line(tmp_path):
    (tmp_path / "kitti").mkdir()
    with pytest.raises(UserError, match="has no labels: --dataset names a set that has"):
        options = config(tmp_path / "kitti", tmp_path, "none", ("semantics",))
        train(replace(options, data=replace(options.data, dataset="kitti")), PROCESS)
    plain = ensure_world(tmp_path, replace(WORLD, labels=False))
    with pytest.raises(UserError, match="4 of 4 images have no label"):
        train(config(plain, tmp_path, "plain", ("semantics",)), PROCESS)

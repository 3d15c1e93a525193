"""The commands on a manifest: the doctor, a training, an evaluation."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.check import main as check
from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.evaluate import EvaluationOptions
from depth.options.log import LogOptions
from depth.options.network import NetworkOptions
from depth.options.train import TrainOptions
from depth.support.distributed import Process
from depth.types import UserError
from evaluate_depth import evaluate
from tests.manifest_maker import HEIGHT, WIDTH, frames, write
from train import train


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:] = 255
    Image.fromarray(mask).save(folder / "bonnet.png")
    lines = [line | {"mask": "bonnet.png"} for line in frames(folder, 14)]
    return write(folder / "street.jsonl", lines)


@pytest.fixture(scope="module")
def run(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    config = Config(
        data=DataOptions(data_path=str(manifest), dataset="frames", height=64, width=96, num_workers=0),
        network=NetworkOptions(encoder_weights="scratch"),
        train=TrainOptions(batch_size=2, max_steps=1, device="cpu"),
        log=LogOptions(log_dir=str(folder), model_name="tiny", log_frequency=1),
    )
    assert train(config, Process(0, 1, torch.device("cpu")))
    return folder / "tiny"


def test_trains_with_validation_against_its_depth(run):
    record = json.loads((run / "config.json").read_text())
    assert record["dataset"] == "frames" and record["train_frames"] == 9 and record["validation_frames"] == 1
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert state["progress"]["best"] is not None


def test_evaluates_its_parts(manifest, run, capsys):
    options = EvaluationOptions(
        dataset="frames", data_path=str(manifest), load_weights_folder=str(run), num_workers=0, device="cpu"
    )
    report = evaluate(options)
    assert len(report.result.rows) == 3 and report.split == "street_test"
    assert {row.pixels for row in report.result.rows} == {20 * WIDTH // 2}  # neither the bonnet nor what has no depth
    assert (run / "evaluation_street_test" / "metrics.json").is_file()
    assert "the manifest's ground truth, no crop, cap 80 m" in capsys.readouterr().out
    with pytest.raises(UserError, match="one of train, val, test, all"):
        EvaluationOptions(dataset="frames", data_path=str(manifest), eval_split="eigen")


def test_doctor_says_what_is_there(manifest, capsys, tmp_path):
    assert check([str(manifest)]) == 0
    said = capsys.readouterr().out
    assert "14 in 1: street 14" in said and "train 9, val 1, test 3" in said and "14 with depth" in said
    assert said.rstrip().endswith("ready")
    lines = frames(tmp_path, 4)
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "street/002.png")
    assert check([str(write(tmp_path / "m.jsonl", lines))]) == 2
    assert "line 4: 002.png has 5x5 pixels, its camera 40x24" in capsys.readouterr().out

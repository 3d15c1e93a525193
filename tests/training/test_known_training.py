"""Training with known poses, with speed and with sparse depth on the embedded world: what is built, and metres."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.world.making import WorldSpec, ensure_world
from depth.build import build_objective
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.evaluate import EvaluationOptions
from depth.options.log import LogOptions
from depth.options.loss import LossOptions
from depth.options.network import NetworkOptions
from depth.options.train import TrainOptions
from depth.support.distributed import Process
from depth.trained import load_trained
from depth.types import UserError
from evaluate_depth import evaluate
from train import train

KINDS = {
    "poses": (DataOptions(poses="from_file"), LossOptions()),
    "speed": (DataOptions(), LossOptions(pose_scale="speed")),
    "sparse": (DataOptions(), LossOptions(depth_supervision=0.5)),
}


def config(kind, log_dir, **data):
    given, loss = KINDS[kind]
    return Config(
        data=replace(given, dataset="synthetic", num_workers=0, **data),
        network=NetworkOptions(encoder_weights="scratch"),
        loss=loss,
        train=TrainOptions(batch_size=2, max_steps=2, device="cpu"),
        log=LogOptions(log_dir=str(log_dir), model_name=kind, log_frequency=1),
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    spec = WorldSpec(height=64, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=4)
    return ensure_world(tmp_path_factory.mktemp("world"), spec)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_knows_metres_says_so(kind, world, tmp_path):
    """It trains, its terms are finite, and evaluation takes its depths as they are."""
    assert train(config(kind, tmp_path, data_path=str(world), height=64, width=96), Process(0, 1, torch.device("cpu")))
    model = load_trained(tmp_path / kind)
    wanted = {"poses": "known poses", "speed": "speed", "sparse": "sparse depth"}[kind]
    assert model.metres_from == wanted and (model.pose_net is None) == (kind == "poses")
    report = evaluate(
        EvaluationOptions(
            data_path=str(world), load_weights_folder=str(tmp_path / kind), num_workers=0, device="cpu",
            eval_split="synthetic",
        )
    )  # fmt: skip
    assert not report.result.scaling.median
    record = json.loads((tmp_path / kind / "evaluation_synthetic" / "metrics.json").read_text())
    assert np.isfinite(list(record["metrics"].values())).all()


def test_terms_are_built_only_where_they_are_asked_for(tmp_path):
    weights = {kind: build_objective(resolved(config(kind, tmp_path, height=64, width=96))).weights for kind in KINDS}
    assert "speed" in weights["speed"] and "sparse_depth" not in weights["speed"]
    assert weights["sparse"]["sparse_depth"] == 0.5 and "speed" not in weights["sparse"]
    assert not {"speed", "sparse_depth"} & weights["poses"].keys()


def test_what_contradicts_itself_is_refused():
    with pytest.raises(UserError, match="leave --pose_scale out"):
        Config(data=DataOptions(poses="from_file"), loss=LossOptions(pose_scale="speed"))
    with pytest.raises(UserError, match="needs sources in time"):
        Config(data=DataOptions(frame_ids=(0,), use_stereo=True), loss=LossOptions(pose_scale="speed"))
    with pytest.raises(UserError, match="no network to learn the intrinsics"):
        DataOptions(poses="from_file", learn_intrinsics=True)

"""From a clip to a trained run, by the functions behind the command."""

import json

import pytest
import torch

from datasets.footage.camera import PinholeCamera, write_camera
from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.log import LogOptions
from depth.options.network import NetworkOptions
from depth.options.train import TrainOptions
from depth.runs.checkpoint import load_checkpoint
from depth.support.distributed import Process
from depth.trained import load_into, load_trained
from tests.clip_maker import drive, write_video
from tests.networks.test_intrinsics_head import learned_objective
from train import train

PROCESS = Process(0, 1, torch.device("cpu"))


def config(tmp_path, **data):
    options = DataOptions(
        dataset="video", data_path=str(tmp_path / "clip.mp4"), height=64, width=96, num_workers=0,
        cache_dir=str(tmp_path / "cache"), **data,
    )  # fmt: skip
    return Config(
        data=options,
        network=NetworkOptions(encoder_weights="scratch"),
        train=TrainOptions(batch_size=2, max_steps=2),
        log=LogOptions(log_dir=str(tmp_path / "runs"), model_name="run", log_frequency=1),
    )


def test_a_clip_and_a_camera_that_is_learned(tmp_path, capsys):
    write_video(tmp_path / "clip.mp4", drive(20))
    assert train(config(tmp_path, learn_intrinsics=True, split="odom"), PROCESS)
    printed = capsys.readouterr().out
    assert "frame picker: 20 frames kept" in printed and "--split odom is not used" in printed
    assert "validation photometric" in printed and "predict: python predict.py" in printed
    run = tmp_path / "runs" / "run"
    camera = json.loads((run / "camera.json").read_text())
    assert (camera["width"], camera["height"]) == (320, 192)
    assert camera["fx"] == pytest.approx(0.87 * 320, rel=0.1)
    assert load_checkpoint(run / "checkpoints" / "best.pt")["dataset"] == "video"
    assert load_trained(run).pose_net(torch.rand(1, 6, 64, 96)).shape == (1, 6)

    # Weights go from a run with the head to one without, and back.
    learned = learned_objective()
    load_into(learned, run)
    assert torch.equal(learned.pose_net.intrinsics.bias, load_trained(run).pose_net.intrinsics.bias)


def test_a_clip_and_a_file_of_intrinsics(tmp_path, capsys):
    write_video(tmp_path / "clip.mp4", drive(20))
    write_camera(tmp_path / "camera.json", PinholeCamera(640, 384, 500, 500, 319.5, 191.5))
    assert train(config(tmp_path, intrinsics=str(tmp_path / "camera.json")), PROCESS)
    assert "horizontal field of view 65.2 degrees" in capsys.readouterr().out
    assert not (tmp_path / "runs" / "run" / "camera.json").exists()

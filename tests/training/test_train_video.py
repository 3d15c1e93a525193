"""From a clip to a trained run, by the functions behind the command."""

import json

import cv2
import numpy as np
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
    # What the network says of a pair of the clip, in pixels of the clip's size; pixel centres are whole numbers.
    pair = np.concatenate([cv2.resize(frame, (96, 64), interpolation=cv2.INTER_AREA) for frame in drive(20)[-2:]], 2)
    with torch.no_grad():
        said = load_trained(run).pose_net.pose_and_intrinsics(
            torch.from_numpy(pair / 255).float().permute(2, 0, 1)[None]
        )
    fx, fy, cx, cy = said[1][0].tolist()
    expected = {"fx": fx * 320 / 96, "fy": fy * 3, "cx": (cx + 0.5) * 320 / 96 - 0.5, "cy": (cy + 0.5) * 3 - 0.5}
    assert {name: camera[name] for name in expected} == pytest.approx(expected, rel=0.003)  # it was within 0.0008
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

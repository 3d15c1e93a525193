"""What a run shows, worked by hand."""

import pytest
import torch

from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.describe import waiting_hint
from depth.training.alarms import alarms
from depth.training.monitor import Monitor, StepMeans, step_statistics
from depth.types import LossTerms, StepOutput


def test_means_are_of_the_steps_since_the_last_look():
    means = StepMeans(4)
    for value in (1.0, 2.0):
        means.add({"loss": torch.tensor(value)})
    assert means.read()["loss"] == 1.5
    means.add({"loss": torch.tensor(6.0)})
    assert means.steps == 1 and means.read()["loss"] == 6.0


def test_a_pose_network_that_stands_still_is_seen_beside_the_other_camera():
    poses = torch.eye(4).repeat(2, 3, 1, 1)  # of the frames before and after, and of the other camera
    poses[:, 2, 0, 3] = 0.54
    ramp = torch.linspace(0, 1, 16).view(1, 1, 4, 4)
    seen = {"disparity": ramp, "active": ramp > 0.5, "source_from_target": poses}
    output = StepOutput(torch.tensor(1.0), LossTerms({}), **seen)
    assert alarms(step_statistics(output))["pose"] is not None
    poses[:, :2, 2, 3] = torch.tensor([[0.1, 0.5], [0.3, 0.7]])
    assert step_statistics(output)["pose/translation"] == pytest.approx(0.2)
    assert alarms(step_statistics(output))["pose"] is None


def test_waiting_for_data_is_said_once_and_not_at_the_start(tmp_path, capsys):
    healthy = {"disparity/spread": 0.1, "pose/translation": 0.1, "share/automasked": 0.3}
    monitor = Monitor(tmp_path, "kitti", waiting_hint="--cache DIR keeps the frames decoded (14.7 GB)")
    for step, share in enumerate((0.9, 0.1, 0.21, 0.5)):
        monitor.watch(healthy | {"speed/data_wait_share": share}, step)
    monitor.close()
    said = capsys.readouterr().err
    assert said == "training waits for data 21% of the time: --cache DIR keeps the frames decoded (14.7 GB)\n"


def test_the_hint_has_the_caches_size():
    config = Config(data=DataOptions(height=192, width=640, num_workers=3))
    assert (
        waiting_hint(config, 39_810) == "--cache DIR keeps the frames decoded (14.7 GB), or more --num_workers than 3"
    )
    assert waiting_hint(Config(data=DataOptions(cache="x")), 100) == "more --num_workers"

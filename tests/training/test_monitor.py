"""What a run shows, worked by hand."""

import torch

from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.describe import waiting_hint
from depth.training.monitor import Monitor, StepMeans


def test_means_are_of_the_steps_since_the_last_look():
    means = StepMeans(4)
    for value in (1.0, 2.0):
        means.add({"loss": torch.tensor(value)})
    assert means.read()["loss"] == 1.5
    means.add({"loss": torch.tensor(6.0)})
    assert means.steps == 1 and means.read()["loss"] == 6.0


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

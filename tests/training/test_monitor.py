"""What a run shows, worked by hand."""

import torch

from depth.training.monitor import StepMeans


def test_means_are_of_the_steps_since_the_last_look():
    means = StepMeans(4)
    for value in (1.0, 2.0):
        means.add({"loss": torch.tensor(value)})
    assert means.read()["loss"] == 1.5
    means.add({"loss": torch.tensor(6.0)})
    assert means.steps == 1 and means.read()["loss"] == 6.0

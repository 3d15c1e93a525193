"""Steps that are not finite: named, kept, undone, and the end where they do not end; the norm of the gradient."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from depth.losses.perceptual import freeze
from depth.runs.checkpoint import load_checkpoint
from depth.support.distributed import Process
from depth.training.bad_steps import BadSteps
from depth.types import UserError
from tests.training.toy_trainer import Objective, toy_trainer

INFINITY = float("inf")


def test_a_step_copies_statistics_and_no_frozen_weights(tmp_path):
    """LPIPS and CLIP are buffers of hundreds of megabytes; a checkpoint does not hold them."""
    objective = Objective()
    objective.frozen = freeze(nn.Linear(100, 100))
    kept = BadSteps(objective, Process(0, 1, torch.device("cpu")), tmp_path, 1)
    assert [copy.shape for copy in kept._copies] == [objective.seen.shape]


def test_steps_that_are_not_finite_are_named_kept_and_undone(tmp_path, capsys):
    """A run with a NaN in one batch has the weights of a run whose optimiser never saw that step."""
    bad = {(1, 2)}
    trainer = toy_trainer(tmp_path, poison=bad, log_frequency=1)
    whole = {name: value.clone() for name, value in trainer.objective.state_dict().items()}
    assert trainer.fit() and trainer.progress.step == 15
    assert trainer.optimizer.state[trainer.objective.weight]["step"] == 14
    assert torch.isfinite(trainer.objective.weight).all() and torch.isfinite(trainer.objective.seen)
    assert not torch.equal(whole["weight"], trainer.objective.weight)
    message = capsys.readouterr().err
    assert "step 8 is not finite and was skipped: loss photometric is nan, first bad gradient of weight" in message
    assert "in frames drive [nan, 2.0] l" in message
    kept = load_checkpoint(tmp_path / "bad_steps" / "step_0000008.pt")
    assert kept["step"] == 8 and torch.isnan(kept["batches"][0]["target"]).any()
    assert kept["batches"][0]["names"] == ["drive [nan, 2.0] l"]


def test_too_many_bad_steps_in_a_row_stop(tmp_path):
    trainer = toy_trainer(tmp_path, poison={(0, 1), (0, 3), (0, 4), (1, 0)}, max_bad_steps=3)
    with pytest.raises(UserError, match="3 steps in a row were not finite") as error:
        trainer.fit()
    assert trainer.progress.step == 5 and "\n" not in str(error.value)
    assert torch.isfinite(trainer.objective.weight).all()


def test_a_gradient_alone_counts_too(tmp_path, capsys):
    trainer = toy_trainer(tmp_path, max_steps=1)
    trainer.objective.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = trainer.objective.weight.detach().clone()
    assert trainer.fit()
    assert torch.equal(trainer.objective.weight, before)
    assert ": first bad gradient of weight in frames" in capsys.readouterr().err


def test_clipping_and_the_check_share_a_norm(tmp_path):
    trainer = toy_trainer(tmp_path, max_steps=1, clip_grad_norm=1e-3)
    trainer.fit()
    assert trainer.objective.weight.grad.norm() == pytest.approx(1e-3, rel=1e-3)


def test_a_loss_alone_counts_too(tmp_path, capsys):
    trainer = toy_trainer(tmp_path, max_steps=1)
    trainer.objective.register_forward_hook(lambda _model, _batch, output: replace(output, loss=output.loss + INFINITY))
    before = trainer.objective.weight.detach().clone()
    assert trainer.fit()
    assert torch.isfinite(trainer.objective.weight.grad).all() and torch.equal(trainer.objective.weight, before)
    assert "loss the total is inf in frames" in capsys.readouterr().err

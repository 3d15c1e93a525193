"""A training that was stopped and goes on equals one that was not; what cannot be gone on from is refused."""

import os
import signal

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from depth.runs.checkpoint import load_checkpoint
from depth.training.monitor import Monitor
from depth.types import UserError
from tests.training.toy_trainer import STEPS_PER_EPOCH, Validation, toy_trainer


@pytest.mark.parametrize("stop_at", [(0, 0), (0, 3), (1, 0), (1, 4), (2, 2)])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path, stop_at):
    whole = toy_trainer(tmp_path / "whole")
    whole.fit()

    def stop(epoch, step):
        if (epoch, step) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    first = toy_trainer(tmp_path / "parts", stop)
    assert not first.fit() and first.stop.number == signal.SIGTERM
    path = tmp_path / "parts" / "checkpoints" / "last.pt"
    second = toy_trainer(tmp_path / "parts")
    torch.manual_seed(123)
    second.restore(load_checkpoint(path), path)
    assert second.fit()
    assert torch.equal(second.objective.weight, whole.objective.weight)
    assert whole.objective.epochs == [n / STEPS_PER_EPOCH for n in range(3 * STEPS_PER_EPOCH)]
    assert first.objective.epochs + second.objective.epochs == whole.objective.epochs


def test_max_steps_ends_inside_an_epoch_and_can_be_lengthened(tmp_path):
    whole = toy_trainer(tmp_path / "whole")
    whole.fit()
    short = toy_trainer(tmp_path / "parts", max_steps=7)
    assert short.fit() and short.progress.step == 7 and short.progress.epoch == 1
    path = tmp_path / "parts" / "checkpoints" / "last.pt"
    longer = toy_trainer(tmp_path / "parts")
    longer.restore(load_checkpoint(path), path)
    longer.fit()
    assert torch.equal(longer.objective.weight, whole.objective.weight)


def test_going_on_hides_no_point_of_the_checkpoints_own_step(tmp_path):
    """It was written before the checkpoint, and is not written again."""
    for start, steps in ((0, (5, 10, 12)), (10, (15,))):
        monitor = Monitor(tmp_path, "synthetic", start)
        for step in steps:
            monitor.scalars({"loss/total": 1.0}, step)
        monitor.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [e.step for e in events.Scalars("loss/total")] == [5, 10, 15]


def test_a_signal_while_validating_leaves_at_once_and_resuming_validates_first(tmp_path):
    class Long(Validation):
        def scores(self):
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("went on validating")

    whole = toy_trainer(tmp_path / "whole", validation=Validation([3.0, 2.0, 1.0]))
    whole.fit()
    first = toy_trainer(tmp_path / "parts", validation=Long([]))
    assert not first.fit() and first.progress.epoch == 1
    path = tmp_path / "parts" / "checkpoints" / "last.pt"
    state = load_checkpoint(path)
    assert state["progress"] == {"epoch": 1, "step_in_epoch": 0, "step": 5, "best": None, "validated": False}
    seen = []

    class Looking(Validation):
        def scores(self):
            seen.append(second.objective.epoch)
            return super().scores()

    second = toy_trainer(tmp_path / "parts", validation=Looking([3.0, 2.0, 1.0]))
    second.restore(state, path)
    assert second.fit() and second.progress == whole.progress
    assert torch.equal(second.objective.weight, whole.objective.weight)
    assert seen == [1, 2, 3]  # so that a branch's figures are those of where the training is


def test_a_signal_while_saving_lets_the_file_be_finished(tmp_path, monkeypatch):
    import depth.training.trainer

    save = depth.training.trainer.save_checkpoint

    def interrupted(path, state, keep_previous=False):
        if state["progress"]["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        save(path, state, keep_previous)

    monkeypatch.setattr(depth.training.trainer, "save_checkpoint", interrupted)
    trainer = toy_trainer(tmp_path, validation=Validation([3.0, 2.0, 1.0]))
    assert not trainer.fit()
    assert load_checkpoint(tmp_path / "checkpoints" / "last.pt")["progress"]["step"] == 5


def test_a_checkpoint_of_another_schedule_or_with_nonsense_is_refused(tmp_path):
    trainer = toy_trainer(tmp_path)
    trainer.fit()
    path = tmp_path / "checkpoints" / "last.pt"
    state = load_checkpoint(path)
    with pytest.raises(UserError, match="with the same data and processes"):
        toy_trainer(tmp_path).restore(state | {"steps_per_epoch": 6}, path)
    nonsense = (
        {"progress": {"epoch": "x"}}, {"progress": {"step_in_epoch": 9}}, {"progress": []}, {"rng": [{}]},
        {"optimizer": {}}, {"optimizer": 1}, {"scheduler": 1}, {"objective": {"weight": 3}}, {"objective": None},
    )  # fmt: skip
    for change in nonsense:
        with pytest.raises(UserError, match="last.pt"):
            toy_trainer(tmp_path).restore(state | change, path)

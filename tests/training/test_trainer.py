"""The loop alone, on an objective of two numbers: schedule, the best checkpoint, events, modes."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from depth.runs.checkpoint import load_checkpoint
from tests.training.toy_trainer import Validation, toy_trainer


def test_schedule_runs_to_its_end(tmp_path):
    trainer = toy_trainer(tmp_path)
    assert trainer.fit()
    assert trainer.progress.step == 15 and trainer.progress.epoch == 3
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**3)
    state = load_checkpoint(tmp_path / "checkpoints" / "last.pt")
    assert state["progress"]["step"] == 15


def test_a_first_score_that_is_no_number_does_not_stay_the_best(tmp_path):
    trainer = toy_trainer(tmp_path, validation=Validation([float("nan"), 2.0, 3.0]))
    trainer.fit()
    assert trainer.progress.best == 2.0
    assert load_checkpoint(tmp_path / "checkpoints" / "best.pt")["progress"]["step"] == 10


def test_a_later_score_that_is_no_number_does_not_replace_the_best(tmp_path):
    trainer = toy_trainer(tmp_path, validation=Validation([1.0, float("nan"), 3.0]))
    trainer.fit()
    assert trainer.progress.best == 1.0
    assert load_checkpoint(tmp_path / "checkpoints" / "best.pt")["progress"]["step"] == 5


def test_best_follows_the_lowest_score(tmp_path, capsys):
    trainer = toy_trainer(tmp_path, validation=Validation([3.0, 1.0, 2.0]))
    trainer.fit()
    assert trainer.progress.best == 1.0
    state = load_checkpoint(tmp_path / "checkpoints" / "best.pt")
    assert state["progress"]["step"] == 10 and state["chosen_by"] == "lowest toy score"
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("(best)") for line in lines] == [True, True, False]


def test_events_hold_the_means_between_two_looks(tmp_path):
    toy_trainer(tmp_path, validation=Validation([1.0, 1.0, 1.0]), log_frequency=5).fit()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [e.step for e in events.Scalars("loss/total")] == [5, 10, 15]
    for tag in ("learning_rate", "speed/images_per_second", "speed/data_wait_share", "share/automasked"):
        assert tag in events.Tags()["scalars"]
    assert "validation_0/1_target" in events.Tags()["images"]
    assert (tmp_path / "pictures" / "step_0000015.png").exists()


def test_batch_norm_stays_frozen_where_asked(tmp_path):
    trainer = toy_trainer(tmp_path, freeze_norm=True)
    trainer.objective.norm = nn.BatchNorm2d(1)
    trainer._set_train()
    assert trainer.objective.training and not trainer.objective.norm.training


@pytest.mark.parametrize("freeze_norm", [False, True])
def test_training_goes_on_in_training_mode_after_pictures(tmp_path, freeze_norm):
    class Leaves(Validation):
        def pictures(self):
            trainer.objective.eval()
            return super().pictures()

    modes = []
    trainer = toy_trainer(tmp_path, validation=Leaves([1.0]), image_frequency=1, freeze_norm=freeze_norm, max_steps=3)
    trainer.objective.norm = nn.BatchNorm2d(1)
    trainer.objective.register_forward_pre_hook(lambda model, _: modes.append((model.training, model.norm.training)))
    trainer.fit()
    assert modes == [(True, not freeze_norm)] * 3

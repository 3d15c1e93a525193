"""The loop alone, on an objective of a few numbers: schedule, checkpoints, exact resume, signals."""

import os
import signal
from dataclasses import fields, replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from depth.losses.perceptual import freeze
from depth.runs.checkpoint import load_checkpoint
from depth.support.distributed import Process
from depth.training.bad_steps import BadSteps
from depth.training.monitor import Monitor
from depth.training.trainer import Settings, Trainer
from depth.types import FrameBatch, LossTerms, RawBatch, StepOutput, UserError

STEPS_PER_EPOCH = 5
INFINITY = float("inf")


class Sampler:
    batch_size = 1

    def __init__(self):
        self.set_epoch(0, 0)

    def set_epoch(self, epoch, start_step=0):
        self.epoch, self.start = epoch, start_step

    def __len__(self):
        return STEPS_PER_EPOCH


class Loader:
    """Batches that are a function of epoch and step, with a NaN at `poison`; `hook` is called before each."""

    def __init__(self, hook, poison):
        self.batch_sampler, self.hook, self.poison = Sampler(), hook, poison

    def __iter__(self):
        for step in range(self.batch_sampler.start, STEPS_PER_EPOCH):
            self.hook(self.batch_sampler.epoch, step)
            epoch = self.batch_sampler.epoch
            yield torch.tensor([float("nan") if (epoch, step) in self.poison else float(epoch + 1), float(step)])


class Objective(nn.Module):
    """A loss that also depends on the global generator, as the auto-mask's noise does."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(()))  # as a batch norm's running mean

    def forward(self, batch):
        if self.training:
            self.seen.lerp_(batch.target.mean(), 0.1)
        loss = ((self.weight - batch.target) ** 2).sum() + self.weight.sum() * torch.randn(())
        image = torch.zeros(1, 1, 4, 4)
        return StepOutput(
            loss,
            LossTerms({"photometric": loss}),
            image,
            torch.zeros(1, 1, 3, 4, 4),
            image > 0,
            torch.zeros(1, 1, 4, 4),
        )

    def inference_networks(self):
        return {"depth": {"weight": self.weight.detach()}}


class Validation:
    def __init__(self, scores):
        self.values = list(scores)

    def scores(self):
        return {"photometric": 0.0, "score": self.values.pop(0)}

    def pictures(self):
        return [{"1_target": torch.zeros(3, 4, 4, dtype=torch.uint8)}]


def _prepare(raw: RawBatch, device: torch.device) -> FrameBatch:
    plain = {f.name: torch.zeros(1) for f in fields(FrameBatch)}
    return FrameBatch(**plain | {"target": raw, "offsets": (-1, 1), "names": (f"drive {raw.tolist()} l",)})


def _trainer(folder, hook=lambda epoch, step: None, validation=None, poison=(), **settings):
    torch.manual_seed(0)
    objective = Objective()
    optimizer = torch.optim.Adam(objective.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    return Trainer(
        objective, optimizer, scheduler, Loader(hook, poison), _prepare, Process(0, 1, torch.device("cpu")),
        Monitor(folder, "synthetic"), validation, folder, {"config": {}}, Settings(num_epochs=3, **settings),
    )  # fmt: skip


def test_schedule_runs_to_its_end(tmp_path):
    trainer = _trainer(tmp_path)
    assert trainer.fit()
    assert trainer.progress.step == 15 and trainer.progress.epoch == 3
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**3)
    state = load_checkpoint(tmp_path / "checkpoints" / "last.pt")
    assert state["progress"]["step"] == 15


@pytest.mark.parametrize("stop_at", [(0, 0), (0, 3), (1, 0), (1, 4), (2, 2)])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path, stop_at):
    whole = _trainer(tmp_path / "whole")
    whole.fit()

    def stop(epoch, step):
        if (epoch, step) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    first = _trainer(tmp_path / "parts", stop)
    assert not first.fit() and first.stop.number == signal.SIGTERM
    path = tmp_path / "parts" / "checkpoints" / "last.pt"
    second = _trainer(tmp_path / "parts")
    torch.manual_seed(123)
    second.restore(load_checkpoint(path), path)
    assert second.fit()
    assert torch.equal(second.objective.weight, whole.objective.weight)


def test_max_steps_ends_inside_an_epoch_and_can_be_lengthened(tmp_path):
    whole = _trainer(tmp_path / "whole")
    whole.fit()
    short = _trainer(tmp_path / "parts", max_steps=7)
    assert short.fit() and short.progress.step == 7 and short.progress.epoch == 1
    path = tmp_path / "parts" / "checkpoints" / "last.pt"
    longer = _trainer(tmp_path / "parts")
    longer.restore(load_checkpoint(path), path)
    longer.fit()
    assert torch.equal(longer.objective.weight, whole.objective.weight)


def test_a_first_score_that_is_no_number_does_not_stay_the_best(tmp_path):
    trainer = _trainer(tmp_path, validation=Validation([float("nan"), 2.0, 3.0]))
    trainer.fit()
    assert trainer.progress.best == 2.0
    assert load_checkpoint(tmp_path / "checkpoints" / "best.pt")["progress"]["step"] == 10


def test_best_follows_the_lowest_score(tmp_path, capsys):
    trainer = _trainer(tmp_path, validation=Validation([3.0, 1.0, 2.0]))
    trainer.fit()
    assert trainer.progress.best == 1.0
    assert load_checkpoint(tmp_path / "checkpoints" / "best.pt")["progress"]["step"] == 10
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("(best)") for line in lines] == [True, True, False]


def test_going_on_hides_no_point_of_the_checkpoints_own_step(tmp_path):
    """It was written before the checkpoint, and is not written again."""
    for start, steps in ((0, (5, 10, 12)), (10, (15,))):
        monitor = Monitor(tmp_path, "synthetic", start)
        for step in steps:
            monitor.scalars({"loss/total": 1.0}, step)
        monitor.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [e.step for e in events.Scalars("loss/total")] == [5, 10, 15]


def test_a_step_copies_statistics_and_no_frozen_weights(tmp_path):
    """LPIPS and CLIP are buffers of hundreds of megabytes; a checkpoint does not hold them."""
    objective = Objective()
    objective.frozen = freeze(nn.Linear(100, 100))
    kept = BadSteps(objective, Process(0, 1, torch.device("cpu")), tmp_path, 1)
    assert [copy.shape for copy in kept._copies] == [objective.seen.shape]


def test_events_hold_the_means_between_two_looks(tmp_path):
    _trainer(tmp_path, validation=Validation([1.0, 1.0, 1.0]), log_frequency=5).fit()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [e.step for e in events.Scalars("loss/total")] == [5, 10, 15]
    for tag in ("learning_rate", "speed/images_per_second", "speed/data_wait_share", "share/automasked"):
        assert tag in events.Tags()["scalars"]
    assert "validation_0/1_target" in events.Tags()["images"]
    assert (tmp_path / "pictures" / "step_0000015.png").exists()


def test_batch_norm_stays_frozen_where_asked(tmp_path):
    trainer = _trainer(tmp_path, freeze_norm=True)
    trainer.objective.norm = nn.BatchNorm2d(1)
    trainer._set_train()
    assert trainer.objective.training and not trainer.objective.norm.training


def test_steps_that_are_not_finite_are_named_kept_and_undone(tmp_path, capsys):
    """A run with a NaN in one batch has the weights of a run whose optimiser never saw that step."""
    bad = {(1, 2)}
    trainer = _trainer(tmp_path, poison=bad, log_frequency=1)
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
    trainer = _trainer(tmp_path, poison={(0, 1), (0, 3), (0, 4), (1, 0)}, max_bad_steps=3)
    with pytest.raises(UserError, match="3 steps in a row were not finite") as error:
        trainer.fit()
    assert trainer.progress.step == 5 and "\n" not in str(error.value)
    assert torch.isfinite(trainer.objective.weight).all()


def test_a_gradient_alone_counts_too(tmp_path, capsys):
    trainer = _trainer(tmp_path, max_steps=1)
    trainer.objective.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = trainer.objective.weight.detach().clone()
    assert trainer.fit()
    assert torch.equal(trainer.objective.weight, before)
    assert ": first bad gradient of weight in frames" in capsys.readouterr().err


def test_clipping_and_the_check_share_a_norm(tmp_path):
    trainer = _trainer(tmp_path, max_steps=1, clip_grad_norm=1e-3)
    trainer.fit()
    assert trainer.objective.weight.grad.norm() == pytest.approx(1e-3, rel=1e-3)


def test_a_signal_while_validating_leaves_at_once_and_resuming_validates_first(tmp_path):
    class Long(Validation):
        def scores(self):
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("went on validating")

    whole = _trainer(tmp_path / "whole", validation=Validation([3.0, 2.0, 1.0]))
    whole.fit()
    first = _trainer(tmp_path / "parts", validation=Long([]))
    assert not first.fit() and first.progress.epoch == 1
    path = tmp_path / "parts" / "checkpoints" / "last.pt"
    state = load_checkpoint(path)
    assert state["progress"] == {"epoch": 1, "step_in_epoch": 0, "step": 5, "best": None, "validated": False}
    second = _trainer(tmp_path / "parts", validation=Validation([3.0, 2.0, 1.0]))
    second.restore(state, path)
    assert second.fit() and second.progress == whole.progress
    assert torch.equal(second.objective.weight, whole.objective.weight)


def test_a_signal_while_saving_lets_the_file_be_finished(tmp_path, monkeypatch):
    import depth.training.trainer

    save = depth.training.trainer.save_checkpoint

    def interrupted(path, state, keep_previous=False):
        if state["progress"]["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        save(path, state, keep_previous)

    monkeypatch.setattr(depth.training.trainer, "save_checkpoint", interrupted)
    trainer = _trainer(tmp_path, validation=Validation([3.0, 2.0, 1.0]))
    assert not trainer.fit()
    assert load_checkpoint(tmp_path / "checkpoints" / "last.pt")["progress"]["step"] == 5


def test_a_checkpoint_of_another_schedule_or_with_nonsense_is_refused(tmp_path):
    trainer = _trainer(tmp_path)
    trainer.fit()
    path = tmp_path / "checkpoints" / "last.pt"
    state = load_checkpoint(path)
    with pytest.raises(UserError, match="with the same data and processes"):
        _trainer(tmp_path).restore(state | {"steps_per_epoch": 6}, path)
    nonsense = (
        {"progress": {"epoch": "x"}}, {"progress": {"step_in_epoch": 9}}, {"progress": []}, {"rng": [{}]},
        {"optimizer": {}}, {"optimizer": 1}, {"scheduler": 1}, {"objective": {"weight": 3}}, {"objective": None},
    )  # fmt: skip
    for change in nonsense:
        with pytest.raises(UserError, match="last.pt"):
            _trainer(tmp_path).restore(state | change, path)


@pytest.mark.parametrize("freeze_norm", [False, True])
def test_training_goes_on_in_training_mode_after_pictures(tmp_path, freeze_norm):
    class Leaves(Validation):
        def pictures(self):
            trainer.objective.eval()
            return super().pictures()

    modes = []
    trainer = _trainer(tmp_path, validation=Leaves([1.0]), image_frequency=1, freeze_norm=freeze_norm, max_steps=3)
    trainer.objective.norm = nn.BatchNorm2d(1)
    trainer.objective.register_forward_pre_hook(lambda model, _: modes.append((model.training, model.norm.training)))
    trainer.fit()
    assert modes == [(True, not freeze_norm)] * 3


def test_a_loss_alone_counts_too(tmp_path, capsys):
    trainer = _trainer(tmp_path, max_steps=1)
    trainer.objective.register_forward_hook(lambda _model, _batch, output: replace(output, loss=output.loss + INFINITY))
    before = trainer.objective.weight.detach().clone()
    assert trainer.fit()
    assert torch.isfinite(trainer.objective.weight.grad).all() and torch.equal(trainer.objective.weight, before)
    assert "loss the total is inf in frames" in capsys.readouterr().err

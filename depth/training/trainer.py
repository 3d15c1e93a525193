"""The training loop: autocast, clip, step, schedule, when to log, look and save. Names no loss and no network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from depth.runs.checkpoint import load_weights, rng_state, save_checkpoint, set_rng_state
from depth.support.distributed import Process, any_rank, gather_to_main, parallel
from depth.support.host import peak_memory
from depth.support.stop_signal import StopRequested, StopSignal
from depth.training.accumulation import backward_in_parts
from depth.training.bad_steps import BadSteps
from depth.training.monitor import Monitor, StepMeans, step_statistics
from depth.training.schedule import Progress, Settings, Validation, describe
from depth.types import FrameBatch, RawBatch, StepOutput, UserError


class Trainer:
    """Runs a schedule and leaves checkpoints, events and pictures in a run folder.

    Args:
        objective: FrameBatch -> StepOutput; its parameters with gradients are the optimiser's. Its `epoch` is set.
        optimizer, scheduler: the scheduler is stepped once an epoch.
        loader: RawBatches; its batch sampler has `set_epoch(epoch, start_step)`.
        prepare: RawBatch, device -> FrameBatch on the device.
        process: rank, world size and device.
        monitor: events and pictures.
        validation: None trains without; ranks above 0 have none and wait.
        folder: the run; checkpoints go to folder/checkpoints. None writes nothing (ranks above 0).
        header: plain values that are saved with every checkpoint (config, versions).
        settings: how long and how often.
    """

    def __init__(
        self,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
        loader: DataLoader,
        prepare: Callable[[RawBatch, torch.device], FrameBatch],
        process: Process,
        monitor: Monitor,
        validation: Validation | None,
        folder: Path | None,
        header: dict[str, Any],
        settings: Settings,
    ) -> None:
        self.objective, self.optimizer, self.scheduler = objective, optimizer, scheduler
        self.loader, self.prepare, self.process = loader, prepare, process
        self.monitor, self.validation = monitor, validation
        self.folder, self.header, self.settings = folder, header, settings
        self.model = objective if process.world_size == 1 else parallel(objective, settings.all_parameters_used)
        self.bad_steps = BadSteps(objective, process, folder, settings.max_bad_steps)
        self.steps_per_epoch = len(loader.batch_sampler)
        self.progress, self.stop = Progress(), StopSignal()
        self._stop_agreed = self._save_agreed = False
        self._last_save = time.monotonic()

    def step(self, batch: FrameBatch) -> StepOutput | None:
        """One optimiser step; None where loss or gradient was not finite and the step was skipped."""
        settings, progress = self.settings, self.progress
        self.bad_steps.before_step()
        self.optimizer.zero_grad(set_to_none=True)
        self.objective.epoch = progress.epochs(self.steps_per_epoch)
        output = backward_in_parts(self.model, batch, settings.accumulate, self.process.device, settings.bfloat16)
        parameters = [p for p in self.objective.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        if self._agree(~torch.isfinite(norm + output.loss)):
            self.bad_steps.skip(progress.step + 1, batch, output)
            return None
        if settings.clip_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(parameters, settings.clip_grad_norm, norm)
        self.optimizer.step()
        self.bad_steps.good()
        return output

    def _agree(self, bad: Tensor) -> bool:
        """Whether the step is bad, and whether to stop or save after it, in any process: all must do the same."""
        due = self.process.is_main and time.monotonic() - self._last_save > 60 * self.settings.checkpoint_minutes
        is_bad, self._stop_agreed, self._save_agreed = any_rank(bad, self.stop.number is not None, due)
        return is_bad

    def fit(self) -> bool:
        """Trains to the end of the schedule. Returns False where a signal stopped it early, after saving."""
        with self.stop:
            summary = "resumed"
            if self.progress.step == 0:  # a full disk shows now and not after minutes
                self.save()
            while True:
                if not self.progress.validated and not self._validate(summary):
                    break
                if self.progress.epoch >= self.settings.num_epochs or self._out_of_steps():
                    break
                started, first = time.monotonic(), self.progress.step
                finished = self._train_epoch()
                if finished:
                    summary = self._close_epoch(self.progress.step - first, time.monotonic() - started)
                self.save()
                if not finished:
                    break
        self.monitor.close()
        return not self._stop_agreed

    def _train_epoch(self) -> bool:
        progress = self.progress
        self.loader.batch_sampler.set_epoch(progress.epoch, progress.step_in_epoch)
        self._set_train()
        means = StepMeans(self.loader.batch_sampler.batch_size * self.process.world_size)
        with self._bar() as bar:
            for raw in means.timed(self.loader):
                output = self.step(self.prepare(raw, self.process.device))
                progress.step += 1
                progress.step_in_epoch += 1
                if output is not None:
                    means.add(step_statistics(output))
                bar.update()
                self._look(means, bar)
                if self._stop_agreed:
                    return False
                if self._save_agreed:
                    self.save()
                if self._out_of_steps():
                    break
        return True

    def _look(self, means: StepMeans, bar: tqdm) -> None:
        """Scalars, alarms and pictures where this step is due."""
        step, settings = self.progress.step, self.settings
        if settings.log_frequency and step % settings.log_frequency == 0 and means.steps:
            values = means.read() | {"learning_rate": self.optimizer.param_groups[0]["lr"]}
            self.monitor.scalars(values | {"bad/steps": self.bad_steps.count}, step)
            self.monitor.watch(values, step)
            speed = f"{values['speed/images_per_second']:.1f} img/s{peak_memory(self.process.device)}"
            bar.set_postfix_str(f"loss {values['loss/total']:.4f}, {speed}")
        if settings.image_frequency and step % settings.image_frequency == 0:
            self._show()

    def _close_epoch(self, steps: int, seconds: float) -> str:
        progress = self.progress
        summary = f"epoch {progress.epoch + 1}/{self.settings.num_epochs}, step {progress.step}"
        if progress.step_in_epoch == self.steps_per_epoch:  # --max_steps may end a run inside an epoch
            self.scheduler.step()
            progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
        progress.validated = False
        return f"{summary}: {steps} steps in {seconds:.0f} s"

    def _validate(self, summary: str) -> bool:
        """Scores the model as it was just saved; False where a signal came first, and resuming begins with this."""
        self.objective.epoch, interrupted = self.progress.epochs(self.steps_per_epoch), False
        if self.validation is not None:
            try:
                with self.stop.interrupts():
                    scores = self.validation.scores()
                summary += self._judge(scores)
            except StopRequested:
                interrupted = True
        (self._stop_agreed,) = any_rank(torch.tensor(interrupted, device=self.process.device))
        if self._stop_agreed:
            return False
        self.progress.validated = True
        self.save()
        if self.process.is_main:
            print(summary, flush=True)
        return True

    def _judge(self, scores: dict[str, float]) -> str:
        """Writes the scores and, where they are the best, the networks."""
        progress = self.progress
        self.monitor.scalars({f"validation/{name}": value for name, value in scores.items()}, progress.step)
        self.monitor.watch(scores, progress.step)
        self._show()
        # NaN, which is no number's equal nor its own, neither stays the best nor pushes out a good model.
        best = progress.best is None or scores["score"] < progress.best or progress.best != progress.best
        if best:
            progress.best = scores["score"]
            state = {**self.header, "progress": asdict(progress), "chosen_by": self.validation.criterion}
            state["networks"] = self.objective.inference_networks()
            save_checkpoint(self.folder / "checkpoints" / "best.pt", state)
        return f"; {describe(scores, best)}"

    def _show(self) -> None:
        if self.validation is not None and self.process.is_main and self.settings.image_frequency != 0:
            self.monitor.pictures(self.validation.pictures(), self.progress.step)
            self._set_train()

    def _set_train(self) -> None:
        self.model.train()
        if self.settings.freeze_norm:
            for module in self.objective.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _out_of_steps(self) -> bool:
        return self.settings.max_steps is not None and self.progress.step >= self.settings.max_steps

    def _bar(self) -> tqdm:
        return tqdm(
            total=self.steps_per_epoch,
            initial=self.progress.step_in_epoch,
            desc=f"epoch {self.progress.epoch + 1}/{self.settings.num_epochs}",
            unit="step",
            leave=False,
            disable=None if self.process.is_main else True,
        )

    def save(self) -> None:
        """Writes last.pt: all that an exact resume needs. Every process must call it."""
        self._last_save = time.monotonic()
        generators = gather_to_main(rng_state())
        if self.folder is not None:
            state = {
                **self.header,
                "progress": asdict(self.progress),
                "steps_per_epoch": self.steps_per_epoch,
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "rng": generators,
            }
            save_checkpoint(self.folder / "checkpoints" / "last.pt", state, keep_previous=True)

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Puts everything back from a loaded last.pt.

        Raises UserError where it belongs to other options, data or another number of processes, or is malformed.
        """
        try:
            steps, processes = state["steps_per_epoch"], len(state["rng"])
            if (steps, processes) != (self.steps_per_epoch, self.process.world_size):
                raise UserError(
                    f"{path} was written by {processes} processes with {steps} steps an epoch, here are "
                    f"{self.process.world_size} with {self.steps_per_epoch}: resume with the same data and processes"
                )
            load_weights(self.objective, state["objective"], "model", path)
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.progress = Progress(**state["progress"]).checked(self.steps_per_epoch)
            set_rng_state(state["rng"][self.process.rank])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise UserError(f"{path} is not a checkpoint that these options can go on from ({detail})") from None

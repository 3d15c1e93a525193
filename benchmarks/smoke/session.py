"""Commands as a user gives them, in a folder of their own, and what they leave."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from depth.runs.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
# Seconds a command may take: all of it is to take five minutes on a card, and on a busy CPU as long as it likes.
_LIMIT = {"cuda": 150.0, "cpu": 1800.0}
_OF_COMPILING = 4  # times as long


class Failed(Exception):
    """A check that did not hold; its text is the figure, or what a command said last."""


class Skipped(Exception):
    """A check that cannot be made here; its text says why."""


def _ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Ends a process and those that it started, which would keep their GPUs; what they said, if they let go of it.

    torchrun gives its processes sessions of their own, and ends them where it is asked to end.
    """
    for number, patience in ((signal.SIGTERM, 40.0), (signal.SIGKILL, 10.0)):
        os.killpg(process.pid, number)
        try:
            return process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
    return "", f"process {process.pid} cannot be ended"


@dataclass(frozen=True)
class Session:
    """Where and at what size the checks run."""

    device: torch.device
    folder: Path  # for the world, the runs and the commands' output
    steps: int
    height: int  # rows of the network's input, pixels
    width: int
    batch_size: int
    runs: dict[str, Path] = field(default_factory=dict)  # by name, of trainings that have been done

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"

    @cached_property
    def world(self) -> Path:
        """A small embedded world; of a training, eight steps are an epoch. Raises Failed."""
        spec = {"train_drives": 2, "val_drives": 1, "test_drives": 1, "frames_per_drive": 2 + 2 * self.batch_size}
        spec |= {"height": self.height, "width": self.width}
        flags = [f"--{name}={value}" for name, value in spec.items()]
        said = self.command("world", [sys.executable, "-m", "datasets.synthetic", "--root", self.folder, *flags])
        return Path(said.splitlines()[-1])

    def command(self, name: str, arguments: Sequence[object], environment: Mapping[str, str] | None = None) -> str:
        """Runs a command from the repository; its output is in folder/<name>.txt.

        Returns what it printed on stdout. Raises Failed with its last line where it fails or takes too long.
        """
        limit = _LIMIT["cuda" if self.gpu else "cpu"] * (_OF_COMPILING if "--compile" in arguments else 1)
        own = {"DEJAVU_CACHE": str(self.folder), "TORCHINDUCTOR_CACHE_DIR": str(self.folder / "compiled")}
        started = subprocess.Popen(
            [*map(str, arguments)], cwd=ROOT, env={**os.environ, **own, **(environment or {})}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        late = False
        try:
            said, complaints = started.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            late = True
            said, complaints = _ended(started)
        except BaseException:  # Ctrl-C reaches this process alone
            _ended(started)
            raise
        (self.folder / f"{name.replace(' ', '_')}.txt").write_text(said + complaints)
        if late:
            raise Failed(f"not finished in {limit:.0f} s")
        if started.returncode:
            lines = (complaints + said).strip().splitlines() or ["nothing was said"]
            raise Failed(f"exit code {started.returncode}: {lines[-1]}")
        return said

    def train(
        self,
        name: str,
        *flags: object,
        device: str | None = None,
        launcher: Sequence[object] = (),
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """train.py on the world, with every step's loss written; returns what it printed. Raises Failed.

        Args:
            name: of the run.
            flags: beside the common ones.
            device: other than the session's.
            launcher: what starts it, in place of Python alone.
            environment: added to this process's.
        """
        arguments = [*(launcher or [sys.executable]), "train.py", "--dataset", "synthetic", "--data_path", self.world]
        arguments += ["--num_layers", 18, "--encoder_weights", "scratch", "--height", self.height]
        arguments += ["--width", self.width, "--batch_size", self.batch_size, "--num_workers", 2 if self.gpu else 0]
        arguments += ["--num_epochs", 100, "--max_steps", self.steps, "--log_frequency", 1, "--val_samples", 8]
        arguments += ["--device", device or self.device, "--log_dir", self.folder / "runs", "--model_name", name]
        said = self.command(name, [*arguments, *flags], environment)
        self.runs[name] = self.folder / "runs" / name
        return said

    def run(self, name: str) -> Path:
        """The folder of a training that has been done. Raises Skipped where it failed."""
        if name not in self.runs:
            raise Skipped(f"the training {name} did not end well")
        return self.runs[name]

    def losses(self, name: str) -> list[float]:
        """The loss of every step. Raises Skipped where there is no such run, and Failed where steps are missing."""
        found = self._scalars(name, "loss/total")
        if len(found) != self.steps:
            raise Failed(f"{len(found)} of {self.steps} steps have a loss")
        return found

    def speed(self, name: str) -> float:
        """Images a second: the median over the second half of the steps."""
        found = self._scalars(name, "speed/images_per_second")
        return statistics.median(found[len(found) // 2 :])

    def _scalars(self, name: str, tag: str) -> list[float]:
        events = EventAccumulator(str(self.run(name)), size_guidance={"scalars": 0}).Reload()
        return [event.value for event in events.Scalars(tag)] if tag in events.Tags()["scalars"] else []

    def step_of(self, name: str) -> int:
        """Where a run's last checkpoint stands."""
        return load_checkpoint(self.run(name) / "checkpoints" / "last.pt")["progress"]["step"]

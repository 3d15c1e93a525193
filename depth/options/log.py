"""Runs: what is written where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from depth.options.fields import Integer, Text, check


@dataclass(frozen=True)
class LogOptions:
    """Runs: what is written where."""

    log_dir: str = "runs"
    """Folder of the runs."""
    model_name: Text = None
    """Name of this run's folder. Default: date, time and what is trained."""
    resume: Text = None
    """A run's folder: go on where it stopped, with its options; --num_epochs, --max_steps and --data_path may be
    changed, and --device, --num_workers, --cache and --cache_dir are this command's."""
    load_weights_folder: Text = None
    """A run (its last checkpoint), a checkpoint file or an original Monodepth2 folder whose weights are the start."""
    log_frequency: int = 25
    """Steps between scalars in TensorBoard; 0: never, and no alarms either."""
    image_frequency: Integer = None
    """Steps between pictures of the fixed validation frames. Default: once an epoch. 0: never."""
    checkpoint_minutes: float = 10.0
    """Longest time between checkpoints in minutes; the end of an epoch writes one too."""
    val_samples: int = 400
    """Validation samples after each epoch, spread evenly over the split; 0 uses all."""

    def __post_init__(self) -> None:
        for name in ("log_frequency", "image_frequency"):
            steps = getattr(self, name)
            check(steps is None or steps >= 0, f"--{name} {steps} is not 0 (never) or a number of steps")
        check(self.val_samples >= 0, "--val_samples is 0 or more")
        check(self.checkpoint_minutes >= 0, "--checkpoint_minutes is 0 or more")
        name = self.model_name
        check(
            name is None or (Path(name).name == name and name not in ("", "..")),
            f"--model_name {name!r} is not a plain folder name",
        )

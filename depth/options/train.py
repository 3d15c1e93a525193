"""The schedule's and the machine's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from depth.options.fields import Integer, Number, Text, check

PresetName = Annotated[
    Literal["kitti", "kitti_hr", "small_gpu", "demo", "cityscapes", "nyud", "camvid", "vkitti2"] | None,
    tyro.conf.arg(metavar="NAME", help_behavior_hint=""),
]


@dataclass(frozen=True)
class TrainOptions:
    """The schedule and the machine."""

    preset: PresetName = None
    """Other defaults, over which flags still count. kitti: 640x192 as Monodepth2; kitti_hr: 1024x320, which as
    published goes on from a 640x192 model (--load_weights_folder) for 5 epochs at 1e-5, in batches of 4; small_gpu:
    640x192, batch 4; demo: what `make demo` trains on the embedded world; cityscapes, camvid (semantics), nyud
    (semantics, depth, normals), vkitti2 (semantics, depth, panoptic): sizes, windows and lengths of the field."""
    batch_size: Integer = None
    """Samples a step, with torchrun for each process. Default: 12 (4 on the embedded world); with labels 8."""
    num_epochs: Integer = None
    """Passes over the training samples. Default: 20, as published, and 30 with --encoder_weights scratch (8 on the
    embedded world); with labels 60 (9)."""
    max_steps: Integer = None
    """Stops after so many optimiser steps, if that comes first."""
    learning_rate: Number = None
    """Adam's step size. Default: 1e-4 (2e-4 on the embedded world, where trainings are short); with labels 3e-4
    (1e-3)."""
    scheduler_step_size: Integer = None
    """Epochs after which the learning rate falls to a tenth; 0: never. Default: three quarters of the epochs."""
    lr_schedule: Literal["step", "poly"] | None = None
    """How the learning rate falls: step, to a tenth every --scheduler_step_size epochs; poly, every epoch, as
    (1 - epoch / epochs)^0.9, which segmentation is trained with. Default: poly on the embedded world and with labels,
    step elsewhere, as published, and where --scheduler_step_size is given."""
    seed: int = 0
    """Seed of every random draw; runs on a CPU repeat bit by bit."""
    device: Text = None
    """cuda, cuda:1, mps or cpu. Default: cuda if there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the depth and pose networks; geometry, losses, edits and the branch are always float32, and float32 is never
    TF32. auto is bfloat16 on a GPU that has it (compute capability 8.0), else float32."""
    compile: bool = False
    """Compiles networks, warp and photometric loss with torch.compile: minutes at the start, for GPUs."""
    accumulate: int = 1
    """Parts in which a batch goes through the networks one after another: less memory, the same gradient but for
    batch norm, which sees the parts, and for losses over what is known of some pixels or frames alone (labels, sparse
    depth, speed), whose means are the parts' own."""
    clip_grad_norm: float = 0.0
    """Largest gradient norm; 0 does not clip."""
    freeze_norm: bool = False
    """Keeps the batch norms' running statistics and uses them in training."""
    sync_batch_norm: bool = False
    """With torchrun on GPUs, batch norm over the batches of all processes."""
    max_bad_steps: int = 10
    """Steps in a row with a loss or gradient that is not finite before the run stops; each is skipped, named, and its
    batch kept in <run>/bad_steps."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "num_epochs", "max_steps"):
            value = getattr(self, name)
            check(value is None or value > 0, f"--{name} {value} is not a positive number")
        epochs = self.scheduler_step_size
        check(epochs is None or epochs >= 0, f"--scheduler_step_size {epochs} is not 0 (never) or a number of epochs")
        check(0 <= self.seed < 2**32, f"--seed {self.seed} is not from 0 to 2^32 - 1")
        check(self.learning_rate is None or self.learning_rate > 0, "--learning_rate is above 0")
        check(
            not (self.device == "mps" and self.precision == "bfloat16"),
            "--precision bfloat16: on --device mps networks are float32",
        )
        check(self.clip_grad_norm >= 0, "--clip_grad_norm is 0 or more")
        check(self.accumulate > 0, "--accumulate is a number of parts")
        check(self.max_bad_steps > 0, "--max_bad_steps is a number of steps")

"""What the training loop is told, what it keeps, and what it asks of a validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """How long and how often; plain values of the flags of the same names."""

    num_epochs: int
    max_steps: int | None = None
    bfloat16: bool = False
    accumulate: int = 1
    clip_grad_norm: float = 0.0
    freeze_norm: bool = False
    max_bad_steps: int = 10
    log_frequency: int = 25  # steps; 0: never
    image_frequency: int | None = None  # steps; None: at the end of an epoch; 0: never
    checkpoint_minutes: float = 10.0
    all_parameters_used: bool = True  # False where the loss leaves out some, which several processes must know


@dataclass
class Progress:
    """Where a run stands; saved with it."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best: float | None = None  # lowest validation score so far
    validated: bool = True  # False between the end of an epoch and its validation

    def epochs(self, steps_per_epoch: int) -> float:
        """How far the run is, in epochs and parts of one."""
        return self.epoch + self.step_in_epoch / steps_per_epoch

    def checked(self, steps_per_epoch: int) -> Self:
        """This progress. Raises ValueError or TypeError where it cannot be that of such a run."""
        if not (self.epoch >= 0 and 0 <= self.step_in_epoch <= steps_per_epoch and self.step >= self.step_in_epoch):
            raise ValueError(f"progress out of range: {self}")
        return self


class Validation(Protocol):
    """What the loop asks of a validation. Neither call may move the training's random generators."""

    criterion: str  # what the score is, in words

    def scores(self) -> dict[str, float]:
        """Named validation figures; "score" is what the best checkpoint is chosen by, lower is better."""

    def pictures(self) -> list[dict[str, Tensor]]:
        """Pictures of the fixed validation frames."""


def describe(scores: dict[str, float], best: bool) -> str:
    """A validation's scores in words: `validation photometric 0.0812, abs_rel 0.2711 (best); dejavu redacted 0.01`."""
    groups: dict[str, list[str]] = {}
    for name, value in scores.items():
        group, _, figure = name.rpartition("/")
        if name != "score":
            groups.setdefault(group or "validation", []).append(f"{figure} {value:.4f}")
    texts = {group: f"{group} {', '.join(figures)}" for group, figures in groups.items()}
    if best:
        texts[next(iter(texts))] += " (best)"
    return "; ".join(texts.values())

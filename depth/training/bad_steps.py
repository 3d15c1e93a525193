"""Steps whose loss or gradient is not finite: named, kept for study, undone, and counted."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth.runs.checkpoint import save_checkpoint
from depth.support.distributed import Process, gather_to_main
from depth.types import FrameBatch, StepOutput, UserError

_MOST_FILES = 5  # a batch of 12 at 640x192 has 106 MB


def first_fault(objective: nn.Module, output: StepOutput) -> str:
    """The first loss term, and the first parameter's gradient or value, that is not finite; "" where all are."""
    terms = {**output.terms.values, "the total": output.loss}
    loss = next((f"loss {name} is {value.item()}" for name, value in terms.items() if not _finite(value)), None)
    named = [(name, p) for name, p in objective.named_parameters() if p.grad is not None]
    gradient = next((f"gradient of {name}" for name, p in named if not _finite(p.grad)), None)
    value = next((f"parameter {name} itself" for name, p in named if not _finite(p)), None)
    return ", ".join(found for found in (loss, gradient and f"first bad {gradient}", value) if found)


def _finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())


class BadSteps:
    """Skips steps that are not finite.

    Args:
        objective: its floating-point buffers that a checkpoint holds, the batch norms' statistics, are put back after
            such a step. The weights of frozen networks are buffers too, but no step changes them.
        process: with several, all skip together, and the main one tells and saves what all of them saw.
        folder: the run; batches go to folder/bad_steps. None in processes that write nothing.
        most_in_a_row: that many end the run.
    """

    def __init__(self, objective: nn.Module, process: Process, folder: Path | None, most_in_a_row: int) -> None:
        self.objective, self.process, self.folder, self.most_in_a_row = objective, process, folder, most_in_a_row
        self.count, self.in_a_row = 0, 0
        saved = objective.state_dict().keys()
        self._buffers = [b for name, b in objective.named_buffers() if name in saved and b.is_floating_point()]
        self._copies = [b.clone() for b in self._buffers]

    def before_step(self) -> None:
        """Keeps the buffers: a forward pass with one NaN leaves it in the running statistics for ever."""
        if self._buffers:
            torch._foreach_copy_(self._copies, self._buffers)

    def good(self) -> None:
        """A step was finite."""
        self.in_a_row = 0

    def skip(self, step: int, batch: FrameBatch, output: StepOutput) -> None:
        """Tells and saves what was wrong, and undoes the forward pass's traces. Raises UserError after too many."""
        fault = first_fault(self.objective, output)
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._copies)
        self.count += 1
        self.in_a_row += 1
        found = gather_to_main(_record(batch, output, fault))
        lines = [f"{record['fault'] or 'nothing'} in frames {', '.join(record['names'])}" for record in found]
        message = f"step {step} is not finite and was skipped: {'; '.join(lines)}"
        if self.process.is_main:
            print(message + self._save(step, found), file=sys.stderr, flush=True)
        if self.in_a_row >= self.most_in_a_row:
            raise UserError(
                f"{self.in_a_row} steps in a row were not finite (--max_bad_steps {self.most_in_a_row}); "
                f"the last: {fault or 'another process'}; try a smaller --learning_rate or --clip_grad_norm"
            )

    def _save(self, step: int, found: list[dict[str, Any]]) -> str:
        if self.folder is None:
            return ""
        folder = self.folder / "bad_steps"
        folder.mkdir(exist_ok=True)
        if len(list(folder.glob("*.pt"))) >= _MOST_FILES:
            return f"; {folder} holds {_MOST_FILES} batches already, this one was not kept"
        path = folder / f"step_{step:07d}.pt"
        save_checkpoint(path, {"step": step, "batches": found})
        return f"; the batch: {path}"


def _record(batch: FrameBatch, output: StepOutput, fault: str) -> dict[str, Any]:
    terms = {name: value.item() for name, value in output.terms.values.items()}
    return _plain(batch) | {"fault": fault, "terms": terms}


def _plain(record: Any) -> dict[str, Any]:
    """What a checkpoint may hold of a batch: tensors on the host and lists; fields that are None are left out."""
    found = {}
    for name, value in ((f.name, getattr(record, f.name)) for f in fields(record)):
        if is_dataclass(value):
            found[name] = _plain(value)
        elif value is not None:
            found[name] = value.cpu() if isinstance(value, Tensor) else list(value)
    return found

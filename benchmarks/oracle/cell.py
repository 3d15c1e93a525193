"""One cell: a module that is trained alone with a given C, and what it regenerates on other drives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.oracle.designs import DESIGNS
from benchmarks.oracle.scenes import Scenes
from depth.dejavu.branch import DejaVu
from depth.dejavu.crm import build_crm
from depth.dejavu.edits import build_edit, default_block
from depth.dejavu.losses import regeneration_mse
from depth.losses.perceptual import PerceptualLoss

_SEED_OF_TEST_EDITS = 1


@dataclass(frozen=True)
class Cell:
    """What is trained."""

    edit: str
    crm: str
    design: str
    condition: str
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        parts = (self.edit, self.crm, self.design, self.condition, f"seed{self.seed}")
        return "-".join(parts).replace(", ", "+").replace(" % ", "%").replace(" ", "_")


@dataclass(frozen=True)
class Schedule:
    """How it is trained: Adam, the rate falls to a tenth after three quarters, as train.py's does."""

    steps: int = 480
    batch_size: int = 4
    learning_rate: float = 2e-3
    lpips: float = 0.1  # beta, the weight of LPIPS beside the squared error


def train_module(cell: Cell, schedule: Schedule, scenes: Scenes, c: Tensor, perceptual: PerceptualLoss) -> DejaVu:
    """A branch whose module was trained with C = c (M,N,H,W).

    Cells of one seed share frames and their order, and the module's start where C has as many channels.
    """
    torch.manual_seed(cell.seed)
    show = DESIGNS[cell.design]
    edit = build_edit(cell.edit, block=default_block(scenes.images.shape[-1]))
    branch = DejaVu(edit, build_crm(cell.crm, show(c[:1]).shape[1], edit.random), normalise=False)
    branch.to(memory_format=torch.channels_last)  # as in a training; a third faster
    optimizer = torch.optim.Adam(branch.parameters(), schedule.learning_rate, fused=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, max(1, schedule.steps * 3 // 4), 0.1)
    order = torch.Generator().manual_seed(cell.seed)
    for _ in range(schedule.steps):
        index = torch.randint(0, len(scenes), (schedule.batch_size,), generator=order)
        target = scenes.images[index]
        loss = regeneration_loss(branch(target, show(c[index])).regenerated, target, schedule, perceptual)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
    return branch


def regeneration_loss(regenerated: Tensor, target: Tensor, schedule: Schedule, perceptual: PerceptualLoss) -> Tensor:
    """The squared error and LPIPS, weighted as in a training; a scalar."""
    loss = regeneration_mse(regenerated, target)
    return loss + schedule.lpips * perceptual(regenerated, target) if schedule.lpips else loss


def measure_module(
    branch: DejaVu, design: str, scenes: Scenes, c: Tensor, perceptual: PerceptualLoss
) -> dict[str, float]:
    """Mean over frames of the squared error, of that at depth edges and elsewhere, and of LPIPS; *_redacted: of the
    frame that the module was given."""
    torch.manual_seed(_SEED_OF_TEST_EDITS)
    sums: dict[str, float] = {}
    with torch.no_grad():
        for i in range(0, len(scenes), 16):
            target, edges = scenes.images[i : i + 16], scenes.edges[i : i + 16]
            found = branch(target, DESIGNS[design](c[i : i + 16]))
            for suffix, image in (("", found.regenerated), ("_redacted", found.redacted)):
                for name, value in _errors(image, target, edges, perceptual).items():
                    sums[name + suffix] = sums.get(name + suffix, 0.0) + value * len(target)
    return {name: value / len(scenes) for name, value in sums.items()}


def _errors(image: Tensor, target: Tensor, edges: Tensor, perceptual: PerceptualLoss) -> dict[str, float]:
    error = (image - target).square().mean(1, keepdim=True)
    return {
        "mse": error.mean().item(),
        "mse_edges": error[edges].mean().item(),
        "mse_elsewhere": error[~edges].mean().item(),
        "lpips": perceptual(image, target).item(),
    }

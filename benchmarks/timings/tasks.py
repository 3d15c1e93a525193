"""Training steps of labelled tasks: what three more cost beside depth from labels, and DejaVu beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from benchmarks.timings.steps import Machine, Variant, make_step, random_batch
from benchmarks.timings.timing import Row, measure
from depth.build import build_optimizer
from depth.dense.building import build_dense_objective
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.network import NetworkOptions
from depth.options.tasks import TaskOptions
from depth.options.train import TrainOptions
from depth.training.accumulation import backward_in_parts
from depth.types import IGNORE, FrameBatch, LabelMaps

_CLASSES = 19  # as many as Cityscapes has, the last eight of them things
_THINGS = 8
_COUNT = 20  # things of an image, some more than Cityscapes' mean
_FOUR = ("semantics", "normals", "panoptic", "depth")


@dataclass(frozen=True)
class TaskVariant:
    """A training on labels."""

    tasks: TaskOptions
    dejavu: DejaVuOptions = DejaVuOptions()


DEPTH = "depth from labels"
QUICK: dict[str, TaskVariant] = {
    DEPTH: TaskVariant(TaskOptions(tasks=("depth",), depth_from="labels")),
    "four tasks": TaskVariant(TaskOptions(tasks=_FOUR, depth_from="labels")),
    "four tasks, --shared_decoder": TaskVariant(TaskOptions(tasks=_FOUR, depth_from="labels", shared_decoder=True)),
}
ALL: dict[str, TaskVariant] = QUICK | {
    "four tasks, DejaVu": TaskVariant(
        TaskOptions(tasks=_FOUR, depth_from="labels"), DejaVuOptions(dejavu=True, lpips_weights="random")
    ),
}


def labelled_batch(machine: Machine) -> FrameBatch:
    """The smooth scene, with patches of every class, things that overlap, depth and normals; a border has no label."""
    size, generator = (machine.height, machine.width), torch.Generator().manual_seed(0)
    count, (height, width) = machine.batch_size, size
    coarse = torch.rand(count, _CLASSES - _THINGS, 6, 20, generator=generator)
    semantics = torch.nn.functional.interpolate(coarse, size, mode="bicubic").argmax(1).to(torch.uint8)
    instances = torch.zeros_like(semantics)
    tops, lefts = ((torch.rand(count, _COUNT, generator=generator) * 0.8 * side).long().tolist() for side in size)
    for i in range(count):
        for number, (top, left) in enumerate(zip(tops[i], lefts[i], strict=True), 1):
            place = i, slice(top, top + height // 5), slice(left, left + width // 10)
            semantics[place], instances[place] = _CLASSES - 1 - number % _THINGS, number
    semantics[..., :4] = IGNORE
    instances[..., :4] = 0
    depth = torch.rand(count, 1, height, width, generator=generator) * 60 + 2
    normals = torch.nn.functional.normalize(torch.randn(count, 3, height, width, generator=generator), dim=1)
    batch = random_batch(machine)
    labels = LabelMaps(semantics, instances, depth, normals).to(machine.device)
    return replace(batch, sources=batch.sources[:, :0], sources_aug=batch.sources_aug[:, :0], offsets=(), labels=labels)


def make_task_step(machine: Machine, variant: TaskVariant) -> Callable[[FrameBatch], None]:
    """Forward, backward and optimiser of a fresh model."""
    config = resolved(
        Config(
            tasks=variant.tasks,
            data=DataOptions(dataset="cityscapes", height=machine.height, width=machine.width),
            network=NetworkOptions(num_layers=machine.num_layers, encoder_weights="scratch"),
            dejavu=variant.dejavu,
            train=TrainOptions(batch_size=machine.batch_size),
        )
    )
    classes = {
        "names": [str(k) for k in range(_CLASSES)],
        "things": [k >= _CLASSES - _THINGS for k in range(_CLASSES)],
        "colours": [(k, k, k) for k in range(_CLASSES)],
    }
    torch.manual_seed(0)
    objective = build_dense_objective(config, classes).train()
    objective.to(machine.device, memory_format=torch.channels_last)
    if machine.compile:
        objective.compile_parts()
    optimizer, _ = build_optimizer(config, objective)

    def step(batch: FrameBatch) -> None:
        optimizer.zero_grad(set_to_none=True)
        backward_in_parts(objective, batch, 1, machine.device, machine.bfloat16)
        optimizer.step()

    return step


def task_rows(machine: Machine, variants: dict[str, TaskVariant], seconds: float) -> list[Row]:
    """Images a second of each training's step, measured in turn; the notes compare with depth alone, from labels."""
    batch, video = labelled_batch(machine), random_batch(machine)
    works = {name: _with(make_task_step(machine, variant), batch) for name, variant in variants.items()}
    works["depth from video"] = _with(make_step(machine, Variant()), video)
    timings = measure(works, machine.device, seconds, warmup=3 if machine.device.type == "cuda" else 1)
    alone, rows = timings[DEPTH], []
    for name, timing in timings.items():
        ratio, of_cpu = min(timing.wall) / min(alone.wall), min(timing.cpu) / min(alone.cpu)
        note = "" if name == DEPTH else f"{ratio:.2f} x depth from labels, {of_cpu:.2f} x its CPU time"
        rows.append(replace(timing.row(f"tasks, {name}", machine.batch_size, "images/s"), note=note))
    return rows


def _with(step: Callable[[FrameBatch], None], batch: FrameBatch) -> Callable[[], None]:
    return lambda: step(batch)

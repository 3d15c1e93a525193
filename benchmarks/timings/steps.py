"""Training steps, plain and with DejaVu, end to end from the cache, and inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.timings.reference import reference_step
from benchmarks.timings.timing import Row, measure
from datasets.core.augment import prepare
from depth.build import build_objective, build_optimizer
from depth.losses.photometric import min_reprojection
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.network import NetworkOptions
from depth.options.train import TrainOptions
from depth.training.accumulation import backward_in_parts
from depth.types import FrameBatch, RawBatch


@dataclass(frozen=True)
class Machine:
    """Where and at what size."""

    device: torch.device
    height: int
    width: int
    batch_size: int
    num_layers: int
    bfloat16: bool
    compile: bool


@dataclass(frozen=True)
class Variant:
    """A step that is compared with the plain one."""

    dejavu: DejaVuOptions = DejaVuOptions()
    recorded: bool = False  # the photometric loss as recorded steps
    contiguous: bool = False  # no channels_last
    bfloat16: bool | None = None  # other than the machine's
    reference: bool = False  # as first published, see benchmarks.reference


def _dejavu(edit: str, crm: str, net: str) -> Variant:
    return Variant(DejaVuOptions(dejavu=True, edit=edit, crm=crm, lpips_net=net, lpips_weights="random"))


PLAIN = "plain"
QUICK: dict[str, Variant] = {
    PLAIN: Variant(),
    "DejaVu bandstop, CRM-F, alex": _dejavu("bandstop", "forward", "alex"),
    "DejaVu bandstop, CRM-F, squeeze": _dejavu("bandstop", "forward", "squeeze"),
    "plain, as first published": Variant(reference=True),
    "plain, photometric loss as recorded steps": Variant(recorded=True),
}
ALL: dict[str, Variant] = QUICK | {
    "DejaVu lowpass, CRM-F, alex": _dejavu("lowpass", "forward", "alex"),
    "DejaVu checkerboard, CRM-F, alex": _dejavu("checkerboard", "forward", "alex"),
    "DejaVu blocks, CRM-R, alex": _dejavu("blocks", "recursive", "alex"),
    "DejaVu blocks, CRM-R, squeeze": _dejavu("blocks", "recursive", "squeeze"),
    "DejaVu pixels, CRM-R, alex": _dejavu("pixels", "recursive", "alex"),
    "DejaVu bandstop, CRM-F, vgg": _dejavu("bandstop", "forward", "vgg"),
    "plain, without channels_last": Variant(contiguous=True),
    "plain, networks in bfloat16": Variant(bfloat16=True),
}


def random_batch(machine: Machine) -> FrameBatch:
    """`random_raw`, on the device."""
    return prepare(random_raw(machine), machine.device)


def random_raw(machine: Machine) -> RawBatch:
    """A smooth scene that shifts by a pixel a frame, on the host."""
    size, generator = (machine.height, machine.width), torch.Generator().manual_seed(0)
    coarse = torch.rand(machine.batch_size, 3, 12, 40, generator=generator)
    target = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    frames = torch.stack([target.roll(shift, 3) for shift in (0, -1, 1)], 1)
    k = torch.tensor([[0.58 * machine.width, 0, machine.width / 2], [0, 1.92 * machine.height, machine.height / 2]])
    k = torch.cat([k, torch.tensor([[0.0, 0.0, 1.0]])]).repeat(machine.batch_size, 1, 1)
    count = machine.batch_size
    return RawBatch(
        (255 * frames).to(torch.uint8), k, torch.eye(4).repeat(count, 1, 1), torch.zeros(count, dtype=torch.bool),
        torch.tensor([1.1, 0.9, 1.1, 0.05]).repeat(count, 1), (-1, 1), ("",) * count,
    )  # fmt: skip


def _recorded_loss(
    target: Tensor, synthesized: Tensor, sources: Tensor, weight: None, **options: bool
) -> tuple[Tensor, Tensor]:
    """Of frames whose pixels all count."""
    error, active = min_reprojection(target, synthesized, sources, **options)
    return error.mean(), active


def _config(machine: Machine, dejavu: DejaVuOptions) -> Config:
    return resolved(
        Config(
            data=DataOptions(height=machine.height, width=machine.width),
            network=NetworkOptions(num_layers=machine.num_layers, encoder_weights="scratch"),
            dejavu=dejavu,
            train=TrainOptions(batch_size=machine.batch_size),
        )
    )


def make_step(machine: Machine, variant: Variant) -> Callable[[FrameBatch], None]:
    """Forward, backward and optimiser of a fresh model."""
    config = _config(machine, variant.dejavu)
    torch.manual_seed(0)
    objective = build_objective(config).train()
    if variant.reference:
        return reference_step(objective.to(machine.device))
    layout = torch.contiguous_format if variant.contiguous else torch.channels_last
    objective.to(machine.device, memory_format=layout)
    if variant.recorded:
        objective.reprojection_loss = _recorded_loss
    if machine.compile:
        objective.compile_parts()
    optimizer, _ = build_optimizer(config, objective)
    bfloat16 = machine.bfloat16 if variant.bfloat16 is None else variant.bfloat16

    def step(batch: FrameBatch) -> None:
        optimizer.zero_grad(set_to_none=True)
        backward_in_parts(objective, batch, 1, machine.device, bfloat16)
        optimizer.step()

    return step


def step_rows(machine: Machine, variants: dict[str, Variant], seconds: float) -> list[Row]:
    """Images a second of each variant's step, measured in turn; the note compares with the plain one."""
    batch = random_batch(machine)
    works = {name: _with(make_step(machine, variant), batch) for name, variant in variants.items()}
    timings = measure(works, machine.device, seconds, warmup=3 if machine.device.type == "cuda" else 1)
    rows = []
    plain = min(timings[PLAIN].wall), min(timings[PLAIN].cpu)
    for name, timing in timings.items():
        ratio, of_cpu = min(timing.wall) / plain[0], min(timing.cpu) / plain[1]
        note = "" if name == PLAIN else f"{ratio:.2f} x plain, {of_cpu:.2f} x its CPU time"
        rows.append(replace(timing.row(f"step, {name}", machine.batch_size, "images/s"), note=note))
    return rows


def _with(step: Callable[[FrameBatch], None], batch: FrameBatch) -> Callable[[], None]:
    return lambda: step(batch)


def end_to_end_rows(machine: Machine, stream: Iterator[RawBatch], seconds: float) -> list[Row]:
    """Images a second from the loader's processes to the optimiser, plain and with DejaVu."""
    rows = []
    for name in (PLAIN, "DejaVu bandstop, CRM-F, alex"):
        step = make_step(machine, QUICK[name])
        work = {name: lambda s=step: s(prepare(next(stream), machine.device))}
        timing = measure(work, machine.device, seconds, warmup=3)[name]
        rows.append(timing.row(f"end to end from the cache, {name}", machine.batch_size, "images/s"))
    return rows


TRAININGS: dict[str, DejaVuOptions] = {
    PLAIN: DejaVuOptions(),
    "trained with DejaVu": DejaVuOptions(dejavu=True, lpips_weights="random"),
    "trained with DejaVu-SA": DejaVuOptions(dejavu_attention=True, lpips_weights="random"),
}


def inference_rows(machine: Machine, seconds: float) -> list[Row]:
    """Latency of an image in the depth networks that trainings leave, and throughput of a batch in the plain one;
    float32 or, on a GPU, bfloat16."""
    images = random_batch(machine).target.contiguous(memory_format=torch.channels_last)

    def predict(network: nn.Module, count: int) -> None:
        with torch.no_grad(), torch.autocast(machine.device.type, torch.bfloat16, enabled=machine.bfloat16):
            network(images[:count])

    works = {}
    for name, options in TRAININGS.items():
        torch.manual_seed(0)
        network = build_objective(_config(machine, options)).depth_net.eval()
        network.to(machine.device, memory_format=torch.channels_last)
        works[name] = partial(predict, network, 1)
        if name == PLAIN:
            works["batch"] = partial(predict, network, len(images))
    timings = measure(works, machine.device, seconds, 3)
    batch = timings.pop("batch").row(f"inference, batches of {len(images)}", len(images), "images/s")
    rows = []
    for name, timing in timings.items():
        row = timing.row(f"inference, one image at a time, {name}", 1, "images/s")
        ratio = row.milliseconds / rows[0].milliseconds if rows else 1.0
        rows.append(replace(row, note=f"{row.milliseconds:.2f} ms an image, {ratio:.2f} x plain"))
    return [*rows, batch]

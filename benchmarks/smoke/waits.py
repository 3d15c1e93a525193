"""How often a training step makes the host wait for the GPU, as CUDA's own watch counts it."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import torch

from benchmarks.timings.steps import Machine, random_raw
from datasets.core.augment import prepare
from depth.build import build_objective, build_optimizer
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.network import NetworkOptions
from depth.support.distributed import Process, use_gpus_well
from depth.training.schedule import Settings
from depth.training.trainer import Trainer

_WARM_UP = 3  # steps that fill caches and choose convolutions
_WAIT = "called a synchronizing CUDA operation"  # the watch also warns that it is a prototype


def waits_of_a_step(machine: Machine, dejavu: DejaVuOptions) -> list[str]:
    """The waits of one step, from the batch on the host to the optimiser: "file:line" each.

    The watch, torch.cuda.set_sync_debug_mode, sees what PyTorch itself waits for, and no wait inside other libraries.
    """
    data = DataOptions(dataset="synthetic", height=machine.height, width=machine.width)
    encoder = f"resnet{machine.num_layers}"
    network = NetworkOptions(encoder=encoder, encoder_weights="scratch", pose_encoder=encoder)
    config = resolved(Config(data=data, network=network, dejavu=dejavu))
    use_gpus_well()
    objective = build_objective(config).to(machine.device, memory_format=torch.channels_last).train()
    optimizer, scheduler = build_optimizer(config, objective)
    loader = SimpleNamespace(batch_sampler=range(100))
    trainer = Trainer(
        objective, optimizer, scheduler, loader, prepare, Process(0, 1, machine.device), None, None, None, {},
        Settings(num_epochs=1, bfloat16=machine.bfloat16),
    )  # fmt: skip
    raw = random_raw(machine)
    raw = raw.pin_memory() if machine.device.type == "cuda" else raw
    for _ in range(_WARM_UP):
        trainer.step(prepare(raw, machine.device))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            trainer.step(prepare(raw, machine.device))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return [f"{each.filename}:{each.lineno}" for each in found if _WAIT in str(each.message)]

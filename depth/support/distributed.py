"""Several processes: what torchrun puts into the environment, and what ranks tell each other."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from depth.types import UserError, reason_of


@dataclass(frozen=True)
class Process:
    """This process's place. Alone: rank 0 of 1."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0


_MPS = (
    "--device mps: Apple's GPU, which this software was never tested on; float32; where an operation is missing, set "
    "PYTORCH_ENABLE_MPS_FALLBACK=1"
)


def unusable_gpu() -> str | None:
    """Why PyTorch cannot use the NVIDIA GPU that this machine has, in a line; None where it can, or there is none."""
    driver, hidden = Path("/proc/driver/nvidia/version"), os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    # A container on such a machine sees the driver, and a device only where it was given one.
    if torch.cuda.is_available() or hidden or not driver.is_file() or not Path("/dev/nvidiactl").exists():
        return None
    built = f"PyTorch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "PyTorch is built without CUDA"
    return f"this machine has an NVIDIA GPU, but {built} and cannot use it: see its driver, {driver}"


def choose_device(name: str | None, local_rank: int = 0) -> torch.device:
    """The device called `name`, or this rank's GPU, or the CPU. Raises UserError where it is not there.

    "cuda" is this rank's GPU: without a number every process of torchrun would take the first one.
    """
    if re.fullmatch(r"cuda:\d+", name or "") and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        raise UserError(f"--device {name} is one GPU for all processes of torchrun: --device cuda gives each its own")
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if why := unusable_gpu():
            print(f"{why}; going on with the CPU", file=sys.stderr)
    if name == "cuda":
        name = f"cuda:{local_rank}"
    if not re.fullmatch(r"cpu|mps|cuda:\d+", name):
        raise UserError(f"--device {name} is not supported: choose cpu, mps, cuda, or a GPU by its number as in cuda:1")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        why = "this machine, or this PyTorch, has no Apple GPU; leave it out" if name == "mps" else reason_of(error)
        raise UserError(f"--device {name}: {why}") from None
    if name == "mps":
        print(_MPS, file=sys.stderr)
    return device


def use_gpus_well() -> None:
    """What PyTorch is told once of GPUs."""
    torch.backends.cudnn.benchmark = True  # sizes stay: the fastest convolutions for them are looked for once
    # Of float32's 23 bits TF32 keeps 10 in convolutions: the branch's gradient is then off by 7 % (emulated).
    torch.backends.cudnn.allow_tf32 = False


# The others wait while rank 0 validates. A rank that dies is noticed by its closed connection, or by torchrun.
_PATIENCE = timedelta(hours=1)


@contextmanager
def process_group(device_name: str | None) -> Iterator[Process]:
    """Joins torchrun's group (NCCL on GPUs, gloo on CPUs) where its environment is set, and leaves it at the end.

    On an error it does not leave: the others would learn of the closed connection, and complain of it, before this
    process has told what went wrong. Raises UserError, with the rank, for a UserError inside and for lost peers.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = choose_device(device_name, local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world_size == 1:
        yield Process(0, 1, device)
        return
    rank = int(os.environ["RANK"])
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
        yield Process(rank, world_size, device)
    except UserError as error:
        raise UserError(f"process {rank} of {world_size}: {error}") from None
    except RuntimeError as error:
        if "Gloo connectFullMesh failed" in str(error):
            raise UserError(
                f"process {rank} of {world_size} does not reach the others; after a restart by torchrun it may have "
                "been given old addresses: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun"
            ) from None
        if isinstance(error, dist.DistError) and not _lost_peer(error):
            raise UserError(f"process {rank} of {world_size}: {' '.join(str(error).split())}") from None
        if not _lost_peer(error):
            raise
        raise UserError(f"process {rank} of {world_size}: another process has ended; its error stands above") from None
    dist.destroy_process_group()


_NCCLS_LOST_PEER = (
    "ncclRemoteError", "closed by peer", "Connection reset", "Broken pipe", "watchdog", "aborted", "likely closed",
)  # fmt: skip


def _lost_peer(error: RuntimeError) -> bool:
    """Whether a collective failed because another process is gone; gloo says so in the text alone."""
    text = str(error)
    if isinstance(error, dist.DistError):
        return any(sign in text for sign in _NCCLS_LOST_PEER)
    return "gloo" in text and ("peer" in text or "Broken pipe" in text)


def parallel(module: nn.Module, all_parameters_used: bool) -> nn.Module:
    """The module with gradients averaged over all ranks.

    Args:
        module: the same on every rank.
        all_parameters_used: False where the loss leaves out some parameters that learn.

    Buffers are not sent round in each forward pass: the running statistics that count are the main process's, and
    the weights of frozen networks do not change.
    """
    known = inspect.signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # before torch 2.14
    return DistributedDataParallel(module, find_unused_parameters=not all_parameters_used, **{buffers: False})


def with_synchronised_norms(module: nn.Module) -> nn.Module:
    """The module with batch norms that take the statistics of all ranks' samples; on GPUs alone.

    timm's norms apply the activation that follows them, which torch's own conversion would leave out.
    """
    if "timm" in sys.modules:
        from timm.layers import convert_sync_batchnorm

        return convert_sync_batchnorm(module)
    return nn.SyncBatchNorm.convert_sync_batchnorm(module)


def mean_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Mean of a tensor over all ranks; the tensor itself where there is one process."""
    if not dist.is_initialized():
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def any_rank(on_device: torch.Tensor, *wishes: bool) -> tuple[bool, ...]:
    """Whether any rank says yes, an answer for each question: one exchange, and one wait for the device.

    Args:
        on_device: scalar bool, not yet known to the host.
        wishes: known to the host.
    """
    if not dist.is_initialized():
        return (bool(on_device), *wishes)
    flags = torch.cat([on_device.detach().float().reshape(1), on_device.new_tensor(wishes, dtype=torch.float32)])
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return tuple(bool(flag) for flag in flags.tolist())


def gather_to_main(value: Any) -> list[Any]:
    """Every rank's value, by rank, on rank 0; an empty list on the others. The value alone with one process."""
    if not dist.is_initialized():
        return [value]
    values = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(value, values)
    return values or []


def from_main(value: Any) -> Any:
    """Rank 0's value, on every rank."""
    if not dist.is_initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]

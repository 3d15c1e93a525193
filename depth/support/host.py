"""The machine: the host's allocator, told to keep what training gives back; what a GPU can, and the most it held."""

from __future__ import annotations

import ctypes
import sys

import torch

# glibc's <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Lets glibc reuse freed tensors instead of returning their pages to the system; elsewhere does nothing.

    A step on a CPU allocates and frees hundreds of tensors of megabytes. By default each is a mapping of its own
    whose pages the kernel clears at first touch, again in every step: 3 to 10 % of a step's CPU time on two cores, and
    9 to 30 % of the time that 4 or 16 images take in a depth network.
    Loader processes call it too: to fault a frame's memory in again costs a fifth of a sample.
    The price is that a process holds on to its peak.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


# NVIDIA's Ampere, the first with bfloat16 in its matrix units; older cards emulate it, slower than float32.
_BFLOAT16_SINCE = (8, 0)


def bfloat16_networks(precision: str, device: torch.device) -> tuple[bool, str]:
    """Whether the networks run in bfloat16, and a line that says so and why.

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 on a GPU of compute capability 8.0 or more.
        device: where they run.
    """
    if precision != "auto":
        return precision == "bfloat16", f"precision: {precision} networks, float32 losses"
    if device.type != "cuda":
        return False, "precision: float32"
    name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    if capability >= _BFLOAT16_SINCE:
        return True, f"precision: bfloat16 networks, float32 losses ({name})"
    found = ".".join(map(str, capability))
    return False, f"precision: float32 ({name} has compute capability {found}, bfloat16 needs 8.0)"


def peak_memory(device: torch.device) -> str:
    """The most memory that tensors have taken on a GPU, for the end of a status line; "" on a CPU."""
    return f", {torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB" if device.type == "cuda" else ""

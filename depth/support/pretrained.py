"""Weights that torchvision's authors trained, from torch.hub's cache or their server."""

from __future__ import annotations

import socket
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from depth.types import UserError, reason_of

_SECONDS_WITHOUT_AN_ANSWER = 10.0


def pretrained_state(weights: WeightsEnum, what: str, otherwise: str) -> dict[str, Tensor]:
    """The state dict behind a weights enum, on the CPU.

    Args:
        weights: one of torchvision's.
        what: a name for them in the message, in the plural.
        otherwise: how to do without them, for the message.

    Raises:
        UserError: they are neither in the cache nor to be fetched, or the file in the cache is damaged.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    cached = file.exists()
    timeout = socket.getdefaulttimeout()
    # Without a limit a network that swallows packets holds the start of a run for minutes.
    socket.setdefaulttimeout(_SECONDS_WITHOUT_AN_ANSWER)
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # a network fails with many types, a damaged pickle with nearly any
        reason = reason_of(error)
        if cached:
            raise UserError(f"{what} {file} are damaged ({reason}): delete the file, or {otherwise}") from error
        raise UserError(
            f"{what} {file.name} cannot be fetched from download.pytorch.org ({reason}): "
            f"put the file into {file.parent}, or {otherwise}"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)

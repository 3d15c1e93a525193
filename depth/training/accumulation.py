"""A step's gradients from parts of its batch, for a device that cannot hold the whole."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from depth.types import FrameBatch, LossTerms, StepOutput


def backward_in_parts(
    model: nn.Module, batch: FrameBatch, count: int, device: torch.device, bfloat16: bool = False
) -> StepOutput:
    """Adds the gradient of the batch's loss to the parameters'.

    Args:
        model: FrameBatch -> StepOutput, whose losses are means over samples. Of one that is a mean over what is known,
            as pixels with a label, each part has its own, and parts weigh by their samples, as processes do.
        batch: on the device.
        count: parts; one after another goes forward and backward, so that only one's activations are alive.
        device, bfloat16: where, and whether under autocast.

    Returns:
        The last part's output with the whole batch's losses, detached.
    """
    parts = batch.parts(count)
    total, terms = torch.zeros((), device=device), {}
    for part in parts:
        share = len(part.names) / len(batch.names)
        # Processes exchange their gradients once, with the last part.
        early = isinstance(model, DistributedDataParallel) and part is not parts[-1]
        with model.no_sync() if early else nullcontext():
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                output = model(part)
            (share * output.loss).backward()
        total = total + share * output.loss.detach()
        for name, value in output.terms.values.items():
            terms[name] = terms.get(name, 0) + share * value.detach()
    return replace(output, loss=total, terms=LossTerms(terms))

"""What autocast must not change."""

from collections.abc import Callable

import torch
from torch import Tensor


def equal_under_autocast(loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> bool:
    """Whether a scalar loss of two images (B,3,H,W), and its gradient on the first, are the same bit by bit."""
    x = x.detach().requires_grad_()
    (expected,) = torch.autograd.grad(plain := loss(x, y), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(x, y)
        (gradient,) = torch.autograd.grad(found, x)
    return torch.equal(found, plain) and torch.equal(gradient, expected)

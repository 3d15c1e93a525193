"""Training steps of every kind, small, and tensors that only claim to be on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from datasets.core.augment import prepare
from depth.build import build_objective
from depth.dejavu import dct
from depth.dejavu.edits import EDITS
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.loss import LossOptions
from depth.types import FrameBatch, RawBatch

HEIGHT, WIDTH = 64, 96
_SAME = ("spatial", "spectral", "low", "middle", "high")  # other names and bands: the same operations
EXTENDED = {"dejavu": True, "lpips_weights": "random", "dejavu_cyclic": 0.1, "dejavu_attention": True}
VARIANTS = {
    "plain": {},
    "average": {"loss": LossOptions(avg_reprojection=True)},
    "learned intrinsics": {"learn_intrinsics": True},
    "recursive": {"dejavu": True, "crm": "recursive", "lpips_weights": "random"},
    **{edit: {**EXTENDED, "edit": edit} for edit in EDITS if edit not in _SAME},
}


def configuration(learn_intrinsics: bool = False, loss: LossOptions = LossOptions(), **dejavu) -> Config:
    data = DataOptions(dataset="synthetic", height=HEIGHT, width=WIDTH, learn_intrinsics=learn_intrinsics)
    return resolved(Config(data=data, loss=loss, dejavu=DejaVuOptions(**dejavu)))


def raw_batch() -> RawBatch:
    intrinsics = torch.tensor([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]]).expand(2, 3, 3)
    frames = torch.randint(0, 256, (2, 3, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    flip, jitter = torch.tensor([True, False]), torch.tensor([[1.1, 0.9, 1.1, 0.05], [1, 1, 1, 0]])
    pitch = torch.tensor([0.02, -0.01])
    return RawBatch(frames, intrinsics, torch.eye(4).expand(2, 4, 4), flip, jitter, (-1, 1), ("a", "b"), pitch=pitch)


def made(config: Config) -> tuple[nn.Module, FrameBatch]:
    """An objective in training, and a batch for it."""
    return build_objective(config).train(), prepare(raw_batch(), "cpu")


@contextmanager
def pretended_gpu(
    objective: nn.Module, batch: FrameBatch, bfloat16: bool = False
) -> Iterator[tuple[nn.Module, FrameBatch]]:
    """The objective and the batch as if they were on a GPU, under autocast there; inside a FakeTensorMode."""
    with FakeTensorMode(), patch.object(dct, "_low_block", _block_on_gpu), _gpu_autocast(bfloat16):
        for module in objective.modules():
            for held in (module._parameters, module._buffers):
                held.update({name: _on_gpu(value) for name, value in held.items() if value is not None})
        yield objective, batch._map(_on_gpu)


@contextmanager
def _gpu_autocast(enabled: bool) -> Iterator[None]:
    """As torch.autocast("cuda", torch.bfloat16), which turns itself off where there is no GPU."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", enabled)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])
        torch.clear_autocast_cache()


def _on_gpu(value: torch.Tensor) -> torch.Tensor:
    made = torch.empty(value.shape, dtype=value.dtype, device="cuda")
    return nn.Parameter(made, value.requires_grad) if isinstance(value, nn.Parameter) else made


def _block_on_gpu(height, width, low, high, device, dtype):
    """A band's block, made outside of the pretence, so that the cache keeps real tensors alone."""
    with unset_fake_temporarily():
        block = dct._cached_block(height, width, low, high, torch.device("cpu"), dtype)
    return tuple(torch.empty(part.shape, dtype=dtype, device=device) for part in block)

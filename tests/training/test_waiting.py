"""A training step never makes the host wait for the device: where it waits, a GPU idles.

No GPU is needed: the forward pass runs on tensors that only claim to be on one, and shows copies between host and
device; the whole step runs on the CPU, and shows what reads a value. That a step is finite is asked once, by the
trainer.
"""

import traceback
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from datasets.core.augment import prepare
from depth.build import build_objective, build_optimizer
from depth.dejavu import dct
from depth.dejavu.edits import EDITS
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.training.accumulation import backward_in_parts
from depth.types import RawBatch

HEIGHT, WIDTH = 64, 96
READS = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim",
    "unique_consecutive", "_linalg_check_errors",
}  # fmt: skip
# The warp's check of NaNs is the CPU's own; a band's block is read once for a size, and kept.
ALLOWED = {"_sample", "_cached_block"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
EXTENDED = {"dejavu": True, "lpips_weights": "random", "dejavu_cyclic": 0.1, "dejavu_attention": True}
VARIANTS = {
    "plain": {},
    "recursive": {"dejavu": True, "crm": "recursive", "lpips_weights": "random"},
    **{edit: {**EXTENDED, "edit": edit} for edit in EDITS},
}


class Waits(TorchDispatchMode):
    """Collects "operation at file:line" of whatever waits."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        waits = name in READS
        if name in INDEXING:
            waits = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        if name in ("_to_copy", "copy_"):
            devices = {t.device.type for t in tree_leaves((args, result)) if isinstance(t, torch.Tensor)}
            waits = len(devices) > 1 and not kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
        if waits:
            own = [f for f in traceback.extract_stack() if "/depth/" in f.filename or "/datasets/" in f.filename]
            if not own or own[-1].name not in ALLOWED:
                self.found.add(f"{name} at {own[-1].filename}:{own[-1].lineno}" if own else name)
        return result


def configuration(learn_intrinsics=False, **dejavu):
    data = DataOptions(dataset="synthetic", height=HEIGHT, width=WIDTH, learn_intrinsics=learn_intrinsics)
    return resolved(Config(data=data, dejavu=DejaVuOptions(**dejavu)))


def raw_batch():
    intrinsics = torch.tensor([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]]).expand(2, 3, 3)
    frames = torch.randint(0, 256, (2, 3, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    flip, jitter = torch.tensor([True, False]), torch.tensor([[1.1, 0.9, 1.1, 0.05], [1, 1, 1, 0]])
    return RawBatch(frames, intrinsics, torch.eye(4).expand(2, 4, 4), flip, jitter, (-1, 1), ("a", "b"))


def on_gpu(value):
    """A tensor like it that claims to be on a GPU; inside a FakeTensorMode."""
    made = torch.empty(value.shape, dtype=value.dtype, device="cuda")
    return torch.nn.Parameter(made, value.requires_grad) if isinstance(value, torch.nn.Parameter) else made


def block_on_gpu(height, width, low, high, device, dtype):
    """A band's block, made outside of the pretence, so that the cache keeps real tensors alone."""
    with unset_fake_temporarily():
        block = dct._cached_block(height, width, low, high, torch.device("cpu"), dtype)
    return tuple(torch.empty(part.shape, dtype=dtype, device=device) for part in block)


def forward_on_gpu(config):
    batch, objective = prepare(raw_batch(), "cpu"), build_objective(config).train()
    with FakeTensorMode():
        fields = {name: on_gpu(v) for name, v in vars(batch).items() if isinstance(v, torch.Tensor)}
        for module in objective.modules():
            for held in (module._parameters, module._buffers):
                held.update({name: on_gpu(value) for name, value in held.items() if value is not None})
        with Waits() as waits:
            loss = objective(replace(batch, **fields)).loss
    assert loss.device.type == "cuda"
    return waits.found


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_forward_on_a_gpu(variant, monkeypatch):
    monkeypatch.setattr(dct, "_low_block", block_on_gpu)
    assert forward_on_gpu(configuration(**variant)) == set()


def test_forward_on_a_gpu_with_learned_intrinsics():
    assert forward_on_gpu(configuration(learn_intrinsics=True)) == set()


@pytest.mark.parametrize("variant", ["plain", "bandstop", "blocks"])
def test_whole_step(variant):
    config = configuration(**VARIANTS[variant])
    objective = build_objective(config).train()
    optimizer, _ = build_optimizer(config, objective)
    batch = prepare(raw_batch(), "cpu")
    for _ in range(2):  # the first one fills caches
        with Waits() as waits:
            backward_in_parts(objective, batch, 1, torch.device("cpu"))
            optimizer.step()
    assert waits.found == set()


@pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: x[x > 0], torch.nonzero, torch.linalg.inv])
def test_the_watch_sees_what_reads_values(wait):
    with Waits() as waits:
        wait(torch.eye(3))
    assert waits.found


@pytest.mark.parametrize("wait", [lambda x: torch.tensor(2.0).to(x.device), lambda x: x.new_tensor(2.0)])
def test_the_watch_sees_copies_from_the_host(wait):
    with FakeTensorMode(), Waits() as waits:
        wait(torch.ones(3, 3, device="cuda"))
    assert waits.found

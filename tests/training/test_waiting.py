"""A training step never makes the host wait for the device: where it waits, a GPU idles.

No GPU is needed: the forward pass runs on tensors that only claim to be on one, and shows copies between host and
device; the whole step runs on the CPU, and shows what reads a value. That a step is finite is asked once, by the
trainer.
"""

import traceback

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from datasets.core.augment import mirror, prepare
from datasets.core.known import mirror_known
from datasets.core.turning import _inside
from depth.build import build_objective, build_optimizer
from depth.tasks.panoptic import Panoptic
from depth.training.accumulation import backward_in_parts
from depth.types import Known
from tests.dense_samples import CLASSES
from tests.fake_gpu import HEIGHT, VARIANTS, WIDTH, configuration, made, pretended_gpu, raw_batch

READS = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim",
    "unique_consecutive", "_linalg_check_errors",
}  # fmt: skip
# The warp's check of NaNs is the CPU's own; a band's block is read once for a size, and kept.
ALLOWED = {"_sample", "_cached_block"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


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


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_forward_on_a_gpu(variant):
    with pretended_gpu(*made(configuration(**variant)), bfloat16=True) as (objective, batch), Waits() as waits:
        loss = objective(batch).loss
    assert loss.device.type == "cuda" and waits.found == set()


def test_mirrored_and_turned_on_a_gpu():
    """What `prepare` does there, but for the colours, of which the host chooses the samples."""
    with FakeTensorMode(), Waits() as waits:
        frames, motion = torch.rand(2, 3, 3, HEIGHT, WIDTH, device="cuda"), torch.rand(2, 4, 4, device="cuda")
        flip, k = torch.zeros(2, dtype=torch.bool, device="cuda"), torch.rand(2, 3, 3, device="cuda")
        mirror(frames, k, motion, flip)
        mirror_known(Known(source_from_target=torch.rand(2, 2, 4, 4, device="cuda")), flip)
        _inside(torch.rand(2, 2, HEIGHT, WIDTH, device="cuda"))
        task = Panoptic(CLASSES)
        task.condition({"panoptic": torch.rand(2, 3, HEIGHT, WIDTH, device="cuda")})
    assert waits.found == set()


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

"""Under autocast the networks are in bfloat16 and nothing else: geometry, losses, edits and the branch are in float32.

Every operation of a step is looked at, forward and backward, on the CPU, and on tensors that only claim to be on a GPU.
A backward pass there needs a GPU, so its graph stands for it: a node of autograd works in the types that it records.
"""

import re
import sys
from functools import partial

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from depth.geometry import invert_transform
from depth.training.monitor import step_pictures, step_statistics
from tests.dense_samples import ALL, dense_objective, labelled_batch
from tests.fake_gpu import VARIANTS, configuration, made, pretended_gpu

REDUCED = (torch.bfloat16, torch.float16)
NETWORKS = ("depth/networks/", "depth/dejavu/attention.py")
OURS = re.compile(r"(?:depth|datasets)/[\w/]+\.py$")


def origin_here():
    """The innermost line of ours that runs now, "file:line"; None where none does, as in a backward pass."""
    frame = sys._getframe(1)
    while frame is not None:
        if match := OURS.search(frame.f_code.co_filename):
            return f"{match[0]}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def is_network(origin):
    return origin.startswith(NETWORKS)


class Origins(TorchFunctionMode):
    """Autograd's nodes remember the line of ours that made them. `detect_anomaly` does too, but takes seconds."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        todo = [t.grad_fn for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        while todo:
            node = todo.pop()
            if node is not None and "origin" not in node.metadata:
                node.metadata["origin"] = origin_here()
                todo += [following for following, _ in node.next_functions]
        return result


class Reduced(TorchDispatchMode):
    """Collects "operation at file:line" of whatever takes or gives reduced floats outside of the networks."""

    def __init__(self):
        super().__init__()
        self.found, self.inside, self.outside = set(), 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        node = torch._C._current_autograd_node()
        origin = origin_here() or (node and node.metadata.get("origin"))
        if origin is None:  # gradients that are added up between two nodes: they have the graph's types
            return result
        tensors = (t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor))
        reduced = any(t.dtype in REDUCED for t in tensors)
        if is_network(origin):
            self.inside += reduced
        else:
            self.outside += 1
            if reduced:
                self.found.add(f"{func.overloadpacket.__name__} at {origin}")
        return result


def reduced_nodes(loss):
    """Nodes of a loss's graph outside of the networks that take gradients in reduced floats."""
    found, seen, todo = set(), set(), [loss.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        todo += [following for following, _ in node.next_functions]
        origin = node.metadata["origin"]
        if origin and not is_network(origin) and any(m.dtype in REDUCED for m in node._input_metadata):
            found.add(f"{node.name()} of {origin}")
    return found


def several_tasks(*tasks, dejavu=None, offsets=(), **options):
    return dense_objective(tasks, dejavu, **options).train(), labelled_batch(offsets)


OBJECTIVES = {
    **{name: partial(made, configuration(**variant)) for name, variant in VARIANTS.items()},
    "panoptic": partial(several_tasks, *ALL, depth_from="labels", depth_loss="berhu", semantics_hardest=0.2),
    "labels and video": partial(
        several_tasks, "depth", "semantics", "normals", depth_from="both", depth_loss="log", balance="uncertainty",
        shared_decoder=True, offsets=(-1, 1), dejavu={"dejavu": True, "lpips_weights": "random", "dejavu_cyclic": 0.1},
    ),
}  # fmt: skip
# How many things there are, panoptic's targets ask the device, and one that is not there has no answer.
ON_A_GPU = {name: make for name, make in OBJECTIVES.items() if name != "panoptic"}


@pytest.mark.parametrize("make", OBJECTIVES.values(), ids=list(OBJECTIVES))
def test_a_step_on_a_cpu(make):
    objective, batch = make()
    with Reduced() as watch:
        with Origins(), torch.autocast("cpu", torch.bfloat16):
            output = objective(batch)
            step_statistics(output)
            step_pictures(batch, output)
            objective.diagnose_branch(batch.target)
        forward = watch.outside
        output.loss.backward()
    assert watch.found == set() and reduced_nodes(output.loss) == set()
    assert watch.inside > 100 and forward > 100 and watch.outside - forward > 50  # it has looked


@pytest.mark.parametrize("make", ON_A_GPU.values(), ids=list(ON_A_GPU))
def test_a_step_on_a_gpu(make):
    with pretended_gpu(*make(), bfloat16=True) as (objective, batch), Reduced() as watch, Origins():
        output = objective(batch)
    assert output.loss.device.type == "cuda" and output.loss.dtype == torch.float32
    assert watch.found == set() and reduced_nodes(output.loss) == set()
    assert watch.inside > 100 and watch.outside > 100


def test_the_watch_sees_forward_and_backward():
    transform = torch.eye(4)[None].requires_grad_()
    with torch.autocast("cpu", torch.bfloat16), Reduced() as watch, Origins():
        loss = invert_transform(transform).sum()
    assert any(found.startswith("bmm at depth/geometry.py") for found in watch.found)
    assert any(found.startswith("BmmBackward0 of depth/geometry.py") for found in reduced_nodes(loss))
    with Reduced() as watch:
        loss.backward()
    assert any(found.startswith("bmm at depth/geometry.py") for found in watch.found)

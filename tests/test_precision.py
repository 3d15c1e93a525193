"""Under autocast the networks are in bfloat16 and nothing else: geometry, losses, edits and the branch are in float32.

Every operation of a step is looked at, forward and backward, on the CPU, and on tensors that only claim to be on a GPU.
A backward pass there needs a GPU, so its graph stands for it: a node of autograd works in the types that it records.
"""

import re
import sys

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from datasets.core.augment import prepare
from depth.build import build_objective
from depth.geometry import invert_transform
from depth.training.monitor import step_pictures, step_statistics
from tests.fake_gpu import VARIANTS, configuration, pretended_gpu, raw_batch

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


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_a_step_on_a_cpu(variant):
    objective = build_objective(configuration(**variant)).train()
    batch = prepare(raw_batch(), "cpu")
    with Reduced() as watch:
        with Origins(), torch.autocast("cpu", torch.bfloat16):
            output = objective(batch)
            step_statistics(output)
            step_pictures(batch, output)
            objective.diagnose_branch(batch)
        forward = watch.outside
        output.loss.backward()
    assert watch.found == set() and reduced_nodes(output.loss) == set()
    assert watch.inside > 100 and forward > 100 and watch.outside - forward > 100  # it has looked


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_a_step_on_a_gpu(variant):
    with pretended_gpu(configuration(**variant), bfloat16=True) as (objective, batch), Reduced() as watch, Origins():
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

"""A batch in parts has the whole batch's gradients and losses."""

import pytest
import torch

from depth.training.accumulation import backward_in_parts
from tests.test_objective import make_batch, make_objective

CPU = torch.device("cpu")


def _gradients(objective, batch, count):
    objective.zero_grad(set_to_none=True)
    output = backward_in_parts(objective, batch, count, CPU)
    return output, {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("count", [2, 3, 9])
def test_parts_add_up_to_the_batch(count):
    torch.manual_seed(0)
    # Without random edits and noise, and in eval mode, nothing depends on how the batch is divided; but the CRM's
    # batch norms always do, so the branch is left out.
    objective = make_objective().eval()
    objective.dejavu = None
    objective.options = type(objective.options)(automask=False)
    batch = make_batch(size=3)
    whole, expected = _gradients(objective, batch, 1)
    output, found = _gradients(objective, batch, count)
    assert torch.allclose(output.loss, whole.loss, rtol=1e-5)
    assert output.terms.values.keys() == whole.terms.values.keys()
    assert torch.allclose(output.terms.values["smoothness"], whole.terms.values["smoothness"], rtol=1e-5)
    assert found.keys() == expected.keys()
    for name in expected:
        # A ReLU or minimum may fall to the other side with a batch's rounding; a wrong share is off by tens of percent.
        assert (found[name] - expected[name]).norm() <= 2e-2 * expected[name].norm() + 1e-9, name


def test_the_last_part_takes_what_is_left():
    batch = make_batch(size=5)
    parts = batch.parts(2)
    assert [len(part.names) for part in parts] == [3, 2] == [len(part.target) for part in parts]
    assert torch.equal(torch.cat([part.sources for part in parts]), batch.sources)
    assert [len(part.names) for part in batch.parts(4)] == [2, 2, 1]

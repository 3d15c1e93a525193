"""The benchmark's yardstick computes the same objective, so that it is cost alone in which it differs."""

import pytest
import torch

from benchmarks.timings import loading, steps
from benchmarks.timings.reference import ReferenceSamples, reference_loss
from depth.build import build_objective
from depth.options.dejavu import DejaVuOptions


@pytest.mark.parametrize("initial_forward", [0.0, 0.06])
def test_loss_and_gradient_are_ours(initial_forward):
    machine = steps.Machine(torch.device("cpu"), 64, 96, 2, 18, bfloat16=False, compile=False)
    batch = steps.random_batch(machine)
    torch.manual_seed(0)
    # Evaluation mode: in training the batch norm of ours sees both pairs at once.
    objective = build_objective(steps._config(machine, DejaVuOptions())).eval()
    with torch.no_grad():
        objective.pose_net.pose.bias[5] = 100 * initial_forward  # moves: the warp is no identity
    found = []
    for loss in (objective(batch).loss, reference_loss(objective, batch)):
        gradients = torch.autograd.grad(loss, list(objective.parameters()), allow_unused=True)
        found.append((loss.item(), torch.cat([g.flatten() for g in gradients if g is not None])))
    (ours, gradient), (theirs, reference) = found
    assert ours == pytest.approx(theirs, abs=3e-6)  # the auto-mask's noise is 1e-5 a pixel
    assert torch.cosine_similarity(gradient, reference, dim=0) > 0.999
    assert gradient.norm().item() == pytest.approx(reference.norm().item(), rel=0.02)


def test_samples_have_four_scales_twice(tmp_path):
    source = loading.write_frames(tmp_path, 3)
    sample = ReferenceSamples(source, loading.frame_refs(3), (64, 96))[0]
    assert len(sample) == 3 * 4 * 2
    for scale in range(4):
        assert sample[f"clean 0 {scale}"].shape == sample[f"jittered -1 {scale}"].shape == (3, 64 >> scale, 96 >> scale)

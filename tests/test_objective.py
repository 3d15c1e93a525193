"""The objective: who gets a gradient from what, directions of time, terms that are off."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from depth.build import build_objective
from depth.objective import SelfSupervisedObjective
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.loss import LossOptions
from depth.types import DepthOutput, FrameBatch

BRANCH = ("regeneration_mse", "regeneration_lpips")


def make_batch(offsets=(-1, 1), size=2, height=64, width=96, jitter=1.0):
    """Noise; what the networks see of it has `jitter` times its brightness."""
    frames = torch.rand(size, 1 + len(offsets), 3, height, width)
    k = torch.tensor([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]]).expand(size, 3, 3)
    stereo = torch.eye(4).repeat(size, 1, 1)
    stereo[:, 0, 3] = -0.54
    jittered = jitter * frames
    return FrameBatch(
        frames[:, 0], frames[:, 1:], jittered[:, 0], jittered[:, 1:], k, stereo, tuple(offsets), ("a",) * size
    )  # fmt: skip


def make_objective(**dejavu):
    data = DataOptions(dataset="synthetic", height=64, width=96)
    dejavu = {"dejavu": True, "perceptual": "lpips", **dejavu}
    return build_objective(resolved(Config(data=data, dejavu=DejaVuOptions(**dejavu))))


def gradient_of(objective, output, names):
    """Which parts get a gradient from the sum of the named terms."""
    objective.zero_grad(set_to_none=True)
    sum(output.terms.values[name] for name in names).backward()
    return {
        part
        for part, module in objective.named_children()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    }


@pytest.mark.parametrize("edit", ["spectral", "blocks"])
def test_gradient_map(edit):
    """METHOD 2.4: the regeneration loss reaches the CRM and DepthNet, never PoseNet or LPIPS."""
    objective = make_objective(edit=edit, dejavu_cyclic=0.1)
    nn.init.normal_(objective.dejavu.crm.to_rgb.weight)  # which begins at 0 and lets no gradient through
    batch = make_batch()
    assert gradient_of(objective, objective(batch), BRANCH) == {"depth_net", "dejavu"}
    assert gradient_of(objective, objective(batch), ["cyclic"]) == {"depth_net", "dejavu"}
    assert gradient_of(objective, objective(batch), ["photometric"]) == {"depth_net", "pose_net"}
    assert gradient_of(objective, objective(batch), ["smoothness"]) == {"depth_net"}


@pytest.mark.parametrize("condition", ["detached", "none"])
def test_controls_cut_the_branch_off_the_depth_network(condition):
    objective = make_objective(dejavu_condition=condition)
    assert gradient_of(objective, objective(make_batch()), BRANCH) == {"dejavu"}


def test_terms_without_weight_are_not_computed():
    objective = make_objective(dejavu_lpips=0.0)
    assert objective.perceptual is None and "regeneration_lpips" not in objective(make_batch()).terms.values
    plain = build_objective(resolved(Config(data=DataOptions(dataset="synthetic"), loss=LossOptions(0.0))))
    assert set(plain(make_batch()).terms.values) == {"photometric"}


def test_dejavu_adds_nothing_to_the_inference_networks():
    with_branch = make_objective()
    without = build_objective(resolved(Config(data=DataOptions(dataset="synthetic", height=64, width=96))))
    theirs, ours = with_branch.inference_networks(), without.inference_networks()
    assert theirs.keys() == ours.keys()
    for name in ours:
        assert {k: v.shape for k, v in theirs[name].items()} == {k: v.shape for k, v in ours[name].items()}
    assert [type(m) for m in with_branch.depth_net.modules()] == [type(m) for m in without.depth_net.modules()]


def test_losses_see_clean_frames_and_networks_jittered_ones():
    """The terms' values: test_objective_oracle.py, whose batches have clean frames and others for the networks."""
    objective = make_objective().eval()
    batch = make_batch(jitter=0.9)

    def output_of(**frames):
        torch.manual_seed(0)  # of the noise that breaks ties
        return objective(replace(batch, **frames))

    with torch.no_grad():
        clean, again = output_of(), output_of()
        jittered = output_of(target_aug=batch.target_aug * 0.5)
        darker = output_of(target=batch.target * 0.5)
    assert not torch.equal(clean.disparity, jittered.disparity)
    assert torch.equal(clean.disparity, darker.disparity)
    for name, value in clean.terms.values.items():
        assert torch.equal(value, again.terms.values[name])
        assert not torch.equal(value, darker.terms.values[name]), name


def test_the_branch_sees_and_aims_at_the_clean_image():
    objective, batch = make_objective(edit="none"), make_batch(jitter=0.9)
    output = objective(batch)
    assert torch.equal(output.regeneration.redacted, batch.target)
    expected = (output.regeneration.regenerated - batch.target).square().mean()
    torch.testing.assert_close(output.terms.values["regeneration_mse"], expected)


class _Depth(nn.Module):
    def forward(self, image):
        return DepthOutput(tuple(torch.full((image.shape[0], 1, 64 >> s, 96 >> s), 0.02) for s in range(4)))


class _Pose(nn.Module):
    """Brightness of the second image minus the first as forward motion: knows the order in time."""

    def forward(self, pair):
        motion = torch.zeros(pair.shape[0], 6)
        motion[:, 5] = (pair[:, 3:] - pair[:, :3]).mean((1, 2, 3))
        return motion


def test_pairs_go_in_time_order_and_earlier_sources_are_inverted():
    objective = SelfSupervisedObjective(_Depth(), _Pose(), {"photometric": 1.0})
    batch = make_batch(offsets=(-1, 1))
    frames = [torch.full((2, 3, 64, 96), value) for value in (0.2, 0.5, 0.9)]  # brightness grows with time
    batch = replace(batch, target_aug=frames[1], sources_aug=torch.stack([frames[0], frames[2]], 1))
    z = objective.predict_motion(batch)[0][:, :, 2, 3]
    assert torch.allclose(z, torch.tensor([-0.3, 0.4]).expand(2, 2), atol=1e-6)


def test_the_other_camera_comes_from_the_calibration():
    objective = SelfSupervisedObjective(_Depth(), None, {"photometric": 1.0})
    batch = make_batch(offsets=(0,))
    assert torch.equal(objective.predict_motion(batch)[0][:, 0], batch.stereo_from_target)
    with pytest.raises(ValueError, match="pose network"):
        objective.predict_motion(make_batch(offsets=(-1,)))


@pytest.mark.parametrize("offsets", [(-1, 1), (0,)])
def test_autocast_changes_nothing_but_the_networks(offsets):
    """These have no operation that autocast knows: all that follows them is the same to the last bit."""
    objective = SelfSupervisedObjective(
        _Depth(), _Pose() if any(offsets) else None, {"photometric": 1, "smoothness": 1}
    )
    batch = make_batch(offsets=offsets)

    def output_of(bfloat16):
        torch.manual_seed(0)  # of the noise that breaks ties
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return objective(batch)

    exact, under_autocast = output_of(False), output_of(True)
    assert torch.equal(under_autocast.source_from_target, exact.source_from_target)
    assert torch.equal(under_autocast.synthesized, exact.synthesized)
    assert torch.equal(under_autocast.loss, exact.loss)

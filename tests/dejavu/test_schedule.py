"""Warm-up and ramp: when the regeneration loss reaches the prediction, and how much of it."""

import pytest
import torch
from torch import nn

from depth.build import build_objective, build_optimizer
from depth.dejavu.branch import DejaVu, scale_gradient
from depth.dejavu.crm import build_crm
from depth.dejavu.edits.spectral import BandStop
from depth.dejavu.losses import regeneration_mse
from depth.options.config import Config, config_from_dict, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.train import TrainOptions
from tests.test_objective import BRANCH, gradient_of, make_batch, make_objective


@pytest.mark.parametrize(
    ("epoch", "strength"), [(0.0, 0.0), (1.4, 0.0), (1.5, 0.0), (1.75, 0.25), (2.0, 0.5), (2.5, 1.0), (9.0, 1.0)]
)
def test_strength_by_hand(epoch, strength):
    branch = DejaVu(BandStop(), nn.Identity(), warmup=1.5, ramp=1.0)
    assert branch.strength(epoch) == pytest.approx(strength)


def test_without_a_ramp_gamma_is_whole_after_the_warmup():
    branch = DejaVu(BandStop(), nn.Identity(), warmup=1.5)
    assert [branch.strength(epoch) for epoch in (1.49, 1.5)] == [0.0, 1.0]
    assert DejaVu(BandStop(), nn.Identity()).strength(0.0) == 1.0


@pytest.mark.parametrize("condition", ["detached", "none"])
def test_controls_have_no_strength(condition):
    assert DejaVu(BandStop(), nn.Identity(), condition).strength(9.0) == 0.0


def test_scaling_keeps_values_and_divides_gradients():
    values = torch.tensor([0.1, 3.0], requires_grad=True)
    for share in (0.25, 1.0):
        values.grad = None
        scaled = scale_gradient(values, share)
        assert torch.equal(scaled, values)
        scaled.square().sum().backward()
        torch.testing.assert_close(values.grad, share * 2 * values.detach())
    assert not scale_gradient(values, 0.0).requires_grad


def test_the_ramp_scales_what_reaches_the_prediction_and_not_the_modules():
    torch.manual_seed(0)
    branch = DejaVu(BandStop(), build_crm("forward", 1, random=False), warmup=1.0, ramp=1.0)
    target, c = torch.rand(1, 3, 32, 64), torch.rand(1, 1, 32, 64, requires_grad=True)

    def gradients(epoch):
        c.grad = None
        branch.zero_grad()
        regeneration_mse(branch(target, c, epoch).regenerated, target).backward()
        return c.grad, branch.crm.to_rgb.weight.grad

    whole, half, none = gradients(2.0), gradients(1.5), gradients(0.5)
    assert none[0] is None and whole[0].abs().sum() > 0
    torch.testing.assert_close(half[0], 0.5 * whole[0])
    assert torch.equal(half[1], whole[1]) and torch.equal(none[1], whole[1])


def test_the_objective_goes_by_its_epoch():
    objective = make_objective(crm="forward", dejavu_warmup=1.0)
    batch = make_batch()
    assert gradient_of(objective, objective(batch), BRANCH) == {"depth_net", "dejavu"}  # whoever sets no epoch
    for epoch, reached in ((0.5, {"dejavu"}), (1.0, {"dejavu"}), (1.5, {"depth_net", "dejavu"})):
        objective.epoch = epoch
        assert gradient_of(objective, objective(batch), BRANCH) == reached


def make_config(learning_rate=1e-4, **options):
    train = TrainOptions(num_epochs=8, learning_rate=learning_rate)
    data = DataOptions(dataset="synthetic", height=64, width=96)
    return resolved(Config(data=data, train=train, dejavu=DejaVuOptions(dejavu=True, **options)))


def test_defaults_of_the_schedule():
    ours = make_config().dejavu
    assert (ours.crm_learning_rate, ours.dejavu_warmup, ours.dejavu_ramp) == (pytest.approx(1e-3), 1.0, 1.0)
    # A module without norms dies at higher rates; never is its own below the networks'.
    assert [make_config(rate).dejavu.crm_learning_rate for rate in (1e-3, 1e-2)] == [2e-3, 1e-2]
    given = make_config(crm_learning_rate=0.5, dejavu_warmup=0.0).dejavu
    assert (given.crm_learning_rate, given.dejavu_warmup, given.dejavu_ramp) == (0.5, 0.0, 0.0)
    for crm in ("auto", "forward", "recursive", "residual"):  # as published, and as older runs were
        paper = make_config(crm=crm).dejavu
        assert (paper.crm_learning_rate, paper.dejavu_warmup, paper.dejavu_ramp) == (1e-4, 0.0, 0.0)


def test_a_record_of_before_goes_on_as_it_was():
    record = make_config(crm="auto").to_dict()
    for name in ("crm_learning_rate", "dejavu_warmup", "dejavu_ramp"):
        del record["dejavu"][name]
    assert resolved(config_from_dict(record)) == make_config(crm="auto")


def test_the_module_has_a_learning_rate_of_its_own():
    config = make_config()
    objective = build_objective(config)
    optimizer, scheduler = build_optimizer(config, objective)
    networks, module = optimizer.param_groups
    assert (networks["lr"], module["lr"]) == (1e-4, pytest.approx(1e-3))
    assert {id(p) for p in module["params"]} == {id(p) for p in objective.dejavu.crm.parameters()}
    assert len(networks["params"]) + len(module["params"]) == len(list(objective.parameters()))
    optimizer.step()
    scheduler.step()
    fallen = [group["lr"] for group in optimizer.param_groups]
    assert fallen[0] < 1e-4 and fallen[1] == pytest.approx(10 * fallen[0])


def test_one_rate_is_one_group_as_in_older_checkpoints():
    config = make_config(crm="auto")
    assert len(build_optimizer(config, build_objective(config))[0].param_groups) == 1

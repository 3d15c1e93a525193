"""Validation scores what the objective would, at the cost of the photometric term alone."""

import pytest
import torch
from torch import nn

from depth.objective import PhotometricOptions, SelfSupervisedObjective
from depth.training.schedule import describe
from depth.training.validation import FrameValidation
from depth.types import DepthOutput, RawBatch
from tests.test_objective import make_batch, make_objective


def _raw(size):
    """What validation asks of a RawBatch: how many samples it has."""
    frames = torch.zeros(size, 3, 3, 4, 4, dtype=torch.uint8)
    none = torch.zeros(size)
    return RawBatch(frames, none, none, none, none, (-1, 1), ("a",) * size)


def test_scores_are_the_objectives_and_cost_no_regeneration(monkeypatch):
    objective = make_objective()
    batches = {2: make_batch(size=2), 1: make_batch(size=1)}
    validation = FrameValidation(
        objective,
        [_raw(2), _raw(1)],
        lambda raw, _: batches[len(raw.frames)],
        batches[1],
        lambda _net: {"abs_rel": 0.5},
    )
    with validation._quiet():
        expected = [objective(batches[size]).terms.values["photometric"].item() for size in (2, 1)]

    def refuse(*_):
        raise AssertionError("the branch was asked")

    monkeypatch.setattr(objective.dejavu, "forward", refuse)
    monkeypatch.setattr(objective, "diagnose_branch", lambda _: {})
    scores = validation.scores()
    # The noise that breaks ties is drawn after other draws than before.
    assert scores["photometric"] == pytest.approx((2 * expected[0] + expected[1]) / 3, rel=1e-4)
    assert scores["score"] == scores["abs_rel"] == 0.5 and "Abs Rel" in validation.criterion
    with pytest.raises(AssertionError, match="the branch was asked"):
        validation.pictures()


def test_scores_say_what_the_branch_does():
    objective = make_objective(dejavu_warmup=1.0)
    validation = FrameValidation(objective, [_raw(2)], lambda *_: make_batch(), make_batch(), None)
    objective.epoch = 0.5
    first = validation.scores()
    names = {"redacted", "regenerated", "regenerated_without_c", "texture", "texture_growth", "gamma_share"}
    assert {name for name in first if "/" in name} == {f"dejavu/{name}" for name in names}
    untouched = pytest.approx(first["dejavu/redacted"], rel=1e-5)  # sums of threads come in any order
    assert first["dejavu/regenerated"] == untouched and first["dejavu/redacted"] > 0 == first["dejavu/gamma_share"]
    nn.init.normal_(objective.dejavu.crm.to_rgb.weight)
    objective.epoch = 9.0
    second = validation.scores()
    assert second["dejavu/redacted"] == untouched and second["dejavu/regenerated"] != untouched
    assert second["dejavu/gamma_share"] == 1.0
    assert all(p.grad is None for p in objective.parameters())


def test_a_branch_without_image_terms_is_looked_at_too():
    objective = make_objective(dejavu_mse=0.0, dejavu_lpips=0.0, dejavu_cyclic=0.1)
    validation = FrameValidation(objective, [], None, make_batch(), None)
    assert validation.scores()["dejavu/texture_growth"] == 0.0
    assert validation.criterion == "lowest photometric loss on validation frames"


def test_scores_in_words():
    scores = {"photometric": 0.08123, "abs_rel": 0.3, "score": 0.3, "dejavu/redacted": 0.01, "dejavu/texture": 0.25}
    assert describe(scores, True) == (
        "validation photometric 0.0812, abs_rel 0.3000 (best); dejavu redacted 0.0100, texture 0.2500"
    )
    assert describe({"photometric": 0.1, "score": 0.1}, False) == "validation photometric 0.1000"


class _Normed(nn.Module):
    """A disparity out of a batch norm, whose statistics a forward pass in training mode would move."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, image):
        return DepthOutput((0.02 + 0.01 * self.norm(image).mean(1, keepdim=True).sigmoid(),))


def test_a_validation_leaves_no_trace_in_the_training():
    torch.manual_seed(0)
    objective = SelfSupervisedObjective(_Normed(), None, {"photometric": 1.0}, PhotometricOptions(scales=(0,)))
    batch = make_batch(offsets=(0,))
    validation = FrameValidation(objective, [_raw(2)], lambda *_: batch, batch, None)
    before, draws = {k: v.clone() for k, v in objective.state_dict().items()}, torch.get_rng_state()
    first = validation.scores()
    objective.train()  # as the trainer does
    validation.pictures()
    objective.train()
    assert torch.equal(torch.get_rng_state(), draws)
    torch.rand(1)  # training goes on, and the noise that breaks ties in validation stays as it was
    assert validation.scores() == first
    assert before.keys() == objective.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())

"""Validation scores what the objective would, at the cost of the photometric term alone."""

import pytest
import torch
from test_objective import make_batch, make_objective

from depth.types import RawBatch
from depth.validation import FrameValidation


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
    scores = validation.scores()
    # The noise that breaks ties is drawn after other draws than before.
    assert scores["photometric"] == pytest.approx((2 * expected[0] + expected[1]) / 3, rel=1e-4)
    assert scores["score"] == scores["abs_rel"] == 0.5
    with pytest.raises(AssertionError, match="the branch was asked"):
        validation.pictures()

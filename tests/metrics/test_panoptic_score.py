"""Panoptic quality: hand-worked matches with void and crowds, and torchmetrics where it has the same rules."""

import numpy as np
import pytest
import torch

from depth.metrics.panoptic import VOID, PanopticScore, match_segments

STUFF, THING = 0, 1000  # class 0 is stuff, class 1 is things: 1001, 1002, ...
NAMES, THINGS = ("road", "car"), (False, True)


def score(truth: list[int], prediction: list[int]) -> np.ndarray:
    return match_segments(np.array([truth]), np.array([prediction]), THINGS)


def test_by_hand():
    """A car of 4 pixels found with 3 of them and 1 beside: IoU 3/5; a second car that is missed."""
    found = score([1001] * 4 + [0] * 4 + [1002] * 2, [1007] * 3 + [0] + [1007] + [0] * 5)
    assert found[1].tolist() == [pytest.approx(3 / 5), 1, 0, 1]
    assert found[0].tolist() == [0, 0, 1, 1]  # 3 of 4 and 6: IoU 3/7
    figures = PanopticScore(NAMES, THINGS)
    figures.sums = found
    results = figures.results()
    assert results["pq_things"] == pytest.approx(0.6 / 1.5)
    assert results["sq_things"] == pytest.approx(0.6)
    assert results["rq_things"] == pytest.approx(1 / 1.5)
    assert results["pq"] == pytest.approx(0.2)
    assert results["pq/car"] == results["pq_things"]


def test_half_is_not_enough():
    assert score([1001] * 2 + [VOID] * 2, [1001] + [VOID] * 3)[1].tolist() == [0, 0, 1, 1]


def test_what_lies_on_void_leaves_the_union():
    """3 of 4 predicted pixels hit, the fourth is on void: IoU 3/3."""
    assert score([1001] * 3 + [VOID], [1005] * 4)[1].tolist() == [1, 1, 0, 0]


def test_mostly_void_or_crowd_is_no_false_positive():
    assert score([VOID] * 3 + [0] * 2, [1001] * 4 + [0])[1].tolist() == [0, 0, 0, 0]
    assert score([1000] * 3 + [0] * 2, [1001] * 4 + [0])[1].tolist() == [0, 0, 0, 0]
    assert score([VOID] + [1000] * 2 + [0] * 2, [1001] * 4 + [0])[1].tolist() == [0, 0, 0, 0]
    assert score([VOID] * 2 + [0] * 3, [1001] * 4 + [0])[1].tolist() == [0, 0, 1, 0]


def test_crowds_neither_match_nor_miss():
    assert score([1000] * 4, [1001] * 4)[1].tolist() == [0, 0, 0, 0]
    assert score([1000] * 4, [VOID] * 4)[1].tolist() == [0, 0, 0, 0]
    assert score([VOID] * 4, [VOID] * 4).sum() == 0


def random_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    coarse = rng.choice([0, 2000, 1001, 1002, 3001, 3002], (5, 6))
    truth = np.kron(coarse, np.ones((4, 4), int))
    moved = np.roll(truth, rng.integers(0, 3, 2), (0, 1))
    return truth, moved


def test_agrees_with_torchmetrics():
    from torchmetrics.detection import PanopticQuality

    things = (False, True, False, True)
    ours = PanopticScore("abcd", things)
    oracle = PanopticQuality(things={1, 3}, stuffs={0, 2}, return_sq_and_rq=True)
    for seed in range(4):
        truth, prediction = random_maps(seed)
        ours.add(truth, prediction)
        pairs = (torch.from_numpy(np.stack([ids // 1000, ids % 1000], -1))[None] for ids in (prediction, truth))
        oracle.update(*pairs)
    found = ours.results()
    assert [found["pq"], found["sq"], found["rq"]] == pytest.approx(oracle.compute().tolist(), abs=1e-6)
    assert 0 < found["pq"] < 1


def test_parts_add_up():
    whole, parts = (PanopticScore("abcd", (False, True, False, True)) for _ in range(2)), []
    whole, other = whole
    parts = [PanopticScore("abcd", whole.things) for _ in range(2)]
    for seed in range(4):
        whole.add(*random_maps(seed))
        parts[seed % 2].add(*random_maps(seed))
    other.merge(parts[0])
    other.merge(parts[1])
    assert other.results() == pytest.approx(whole.results())


def test_bad_maps_are_refused():
    with pytest.raises(ValueError, match="beyond 1"):
        score([2000], [0])
    with pytest.raises(ValueError, match="same pixels"):
        match_segments(np.zeros((2, 2), int), np.zeros((2, 3), int), THINGS)

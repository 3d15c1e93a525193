"""Angles between normals: hand-worked values and sums that add up."""

import numpy as np
import pytest

from depth.metrics.normals import NormalScore, angles


def test_by_hand():
    truth = np.array([[[0, 0, -1], [0, 0, -1], [1, 0, 0], [0, 0, 0]]], float)
    prediction = np.array([[[0, 0, -5], [0, 1, -1], [0, 0, 2], [1, 0, 0]]], float)
    assert angles(truth, prediction) == pytest.approx([0, 45, 90])
    score = NormalScore()
    row = score.add(truth, prediction)
    assert row["mean_angle"] == pytest.approx(45)
    assert row["median_angle"] == pytest.approx(45, abs=0.011)
    assert row["rmse_angle"] == pytest.approx(np.sqrt((45**2 + 90**2) / 3))
    assert [row[f"within_{limit}"] for limit in ("11.25", "22.5", "30")] == [pytest.approx(1 / 3)] * 3


def test_the_farthest_angle():
    up = np.array([[[0.0, 0, 1]]])
    assert NormalScore().add(up, -up)["median_angle"] == pytest.approx(180, abs=0.01)


def test_small_angles_are_exact():
    turn = np.radians(1e-4)
    found = angles(np.array([[[0.0, 0, 1]]]), np.array([[[np.sin(turn), 0, np.cos(turn)]]]))
    assert found == pytest.approx([1e-4], rel=1e-6)


def test_set_counts_pixels_and_not_images():
    rng = np.random.default_rng(0)
    images = [rng.standard_normal((2, 5, width, 3)) for width in (3, 40)]
    score, parts = NormalScore(), [NormalScore(), NormalScore()]
    for part, (truth, prediction) in zip(parts, images, strict=True):
        score.add(truth, prediction)
        part.add(truth, prediction)
    every = np.concatenate([angles(*pair) for pair in images])
    parts[0].merge(parts[1])
    for results in (score.results(), parts[0].results()):
        assert results["mean_angle"] == pytest.approx(every.mean())
        assert results["median_angle"] == pytest.approx(np.median(every), abs=0.5)
        assert results["within_30"] == pytest.approx((every < 30).mean())


def test_unlabelled_and_unequal():
    assert np.isnan(NormalScore().add(np.zeros((2, 2, 3)), np.ones((2, 2, 3)))["mean_angle"])
    with pytest.raises(ValueError, match="same pixels"):
        angles(np.zeros((2, 2, 3)), np.zeros((2, 3, 3)))

"""Depth with a unit: all pixels of a set count alike, and nothing is scaled."""

import numpy as np
import pytest

from depth.metrics.depth import DepthScore


def test_by_hand():
    score = DepthScore(farthest=80)
    row = score.add(np.array([[2.0, 4.0, 0.0, 80.0]]), np.array([[3.0, 4.0, 7.0, 1.0]]))
    assert row["abs_rel"] == pytest.approx(0.25)
    assert row["rmse"] == pytest.approx(np.sqrt(0.5))
    assert row["rmse_log"] == pytest.approx(np.sqrt(np.log(1.5) ** 2 / 2))
    assert [row[f"d{k}"] for k in (1, 2, 3)] == [0.5, 1.0, 1.0]


def test_set_is_not_the_mean_of_its_images():
    score = DepthScore()
    score.add(np.full((1, 1), 1.0), np.full((1, 1), 2.0))
    score.add(np.full((1, 3), 1.0), np.full((1, 3), 1.0))
    assert score.results()["abs_rel"] == pytest.approx(0.25)
    assert score.results()["rmse"] == pytest.approx(0.5)
    other = DepthScore()
    other.add(np.full((1, 4), 1.0), np.full((1, 4), 2.0))
    score.merge(other)
    assert score.results()["abs_rel"] == pytest.approx(5 / 8)


def test_predictions_are_clamped_and_must_be_finite():
    assert DepthScore().add(np.array([[40.0]]), np.array([[1e9]]))["abs_rel"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="finite"):
        DepthScore().add(np.array([[40.0]]), np.array([[np.inf]]))
    assert np.isnan(DepthScore().add(np.zeros((1, 1)), np.ones((1, 1)))["rmse"])

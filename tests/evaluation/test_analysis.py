"""Boundary errors, texture copy, gradients by term and intervals: worked by hand."""

import math

import numpy as np
import pytest
import torch

from depth.evaluation.analysis import (
    bootstrap_interval,
    boundary_errors,
    depth_edges,
    mean_and_spread,
    near,
    term_gradients,
    texture_copy,
)


def test_a_slanted_plane_has_no_edge_and_a_step_has_two_columns():
    row, column = np.mgrid[:40, :60]
    plane = 1 / (0.01 + 0.002 * row + 0.001 * column)
    assert not depth_edges(plane).any()
    step = np.where(column < 30, 10.0, 20.0)
    assert np.array_equal(np.unique(np.nonzero(depth_edges(step))[1]), [29, 30])
    sky = np.where(column < 30, 10.0, 0.0)
    assert np.array_equal(np.unique(np.nonzero(depth_edges(sky))[1]), [29, 30])


def test_near_is_a_disc():
    mask = np.zeros((9, 9), bool)
    assert not near(mask).any()
    mask[4, 4] = True
    row, column = np.mgrid[:9, :9]
    assert np.array_equal(near(mask), np.hypot(row - 4, column - 4) <= 3)


def test_boundary_errors():
    """Edge in columns 29 and 30; the band is 26..33. Off by 10 % there, by 1 % elsewhere."""
    column = np.mgrid[:40, :60][1]
    truth = np.where(column < 30, 10.0, 20.0)
    band = (column >= 26) & (column <= 33)
    at_edge, elsewhere = boundary_errors(truth, truth * np.where(band, 1.1, 0.99), truth > 0)
    assert at_edge == pytest.approx(0.1) and elsewhere == pytest.approx(0.01)
    flat = np.full((40, 60), 7.0)
    at_edge, elsewhere = boundary_errors(flat, flat, flat > 0)
    assert math.isnan(at_edge) and elsewhere == 0
    sky = np.where(column < 30, 10.0, 0.0)
    assert boundary_errors(sky, np.full_like(sky, 11.0), sky > 0) == (pytest.approx(0.1), pytest.approx(0.1))


# Uniform noise from 0.002 to 0.008, less itself blurred by a Gaussian of sigma 2: the blur's weight at the centre is
# 1 / (2 pi sigma^2), the sum of its squares half of that, so 1 - 2 / (8 pi) + 1 / (16 pi) of the variance is left.
NOISE = 0.006 / math.sqrt(12) * math.sqrt(1 - 3 / (16 * math.pi))


@pytest.fixture
def wall():
    """A plane's inverse depth, a noisy picture of it, and its mask."""
    row, column = np.mgrid[:40, :60]
    surfaces = np.zeros((40, 60), np.uint16)
    surfaces[5:35, 5:55] = 3
    plane = 0.02 + 0.001 * row + 0.0005 * column
    return plane, np.random.default_rng(0).uniform(0.2, 0.8, (40, 60)), surfaces


def test_a_plane_copies_nothing(wall):
    plane, grey, surfaces = wall
    found = texture_copy(plane, grey, surfaces)
    assert found.energy < 1e-9 and found.correlation == 0 and found.pixels == 26 * 46


def test_copied_texture_is_found_with_either_sign(wall):
    plane, grey, surfaces = wall
    for sign in (1, -1):
        found = texture_copy(plane + sign * 0.01 * grey, grey, surfaces)
        assert found.correlation == pytest.approx(1)
    assert found.energy == pytest.approx(NOISE / (plane - 0.5 * 0.01)[7:33, 7:53].mean(), rel=0.02)


def test_noise_of_its_own_is_energy_without_correlation(wall):
    plane, grey, surfaces = wall
    own = np.random.default_rng(1).uniform(0.2, 0.8, grey.shape)
    found = texture_copy(plane + 0.01 * own, grey, surfaces)
    assert found.energy == pytest.approx(NOISE / (plane + 0.5 * 0.01)[7:33, 7:53].mean(), rel=0.02)
    assert found.correlation < 3 / math.sqrt(found.pixels)  # chance has a standard deviation of 1 / sqrt(n)


def test_only_large_textured_surfaces_count(wall):
    plane, grey, surfaces = wall
    assert texture_copy(plane, np.full_like(grey, 0.5), surfaces) is None
    surfaces[:, 20:] = 0
    assert texture_copy(plane, grey, surfaces) is None


def test_term_gradients():
    """3 a + 4 b has the gradient (3, 4); twice a has (2, 0): norms 5 and 2, cosine 0.6."""
    a, b = torch.tensor(1.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    terms = {"main": 3 * a + 4 * b, "other": a * 1.0, "none": torch.tensor(2.0)}
    found = term_gradients(terms, {"main": 1.0, "other": 2.0, "none": 1.0}, [a, b], "main")
    assert found["main"] == {"norm": 5.0, "cosine": pytest.approx(1.0)}
    assert found["other"] == {"norm": 2.0, "cosine": pytest.approx(0.6)}
    assert found["none"] == {"norm": 0.0, "cosine": 0.0}


def test_bootstrap_interval():
    assert bootstrap_interval(np.full(7, 0.25)) == (0.25, 0.25)
    differences = np.random.default_rng(0).normal(1.0, 2.0, 400)
    low, high = bootstrap_interval(differences)
    # The mean's standard error is some 2 / sqrt(400) = 0.1; the interval is 1.96 of them to each side. A quantile of
    # 10,000 draws is off by 0.027 of a standard error: sqrt(0.025 * 0.975 / 10,000) over the normal density there.
    error = differences.std() / 20
    assert low == pytest.approx(differences.mean() - 1.96 * error, abs=0.04 * error)
    assert high == pytest.approx(differences.mean() + 1.96 * error, abs=0.04 * error)
    assert bootstrap_interval(differences) == (low, high)
    with pytest.raises(ValueError, match="differences"):
        bootstrap_interval(np.zeros(0))


def test_bootstrap_interval_over_groups():
    """100 groups of 4 equal images: the standard error is that of 100 values, twice what 400 images would have."""
    of_groups = np.random.default_rng(0).normal(1.0, 2.0, 100)
    differences, groups = np.repeat(of_groups, 4), [f"drive {i // 4}" for i in range(400)]
    low, high = bootstrap_interval(differences, groups)
    assert high - low == pytest.approx(2 * 1.96 * of_groups.std() / 10, rel=0.025)
    # Groups of different sizes weigh by their images: the mean of all is 1 + 3 * 5 over 4.
    low, high = bootstrap_interval(np.array([1.0, 5.0, 5.0, 5.0]), ["a", "b", "b", "b"])
    assert (low, high) == (1.0, 5.0)
    with pytest.raises(ValueError, match="groups"):
        bootstrap_interval(np.zeros(3), ["a"])


def test_mean_and_spread():
    assert mean_and_spread([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))
    assert math.isnan(mean_and_spread([1.0])[1])

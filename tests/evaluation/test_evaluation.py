import math
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from depth.evaluation import metrics as evaluation
from depth.evaluation.metrics import (
    METRICS,
    Scaling,
    align,
    depth_errors,
    evaluate_split,
    median_scale,
    merge_results,
    sample_bilinear,
)
from depth.evaluation.protocols import PROTOCOLS, prepare_batch, prepare_sample
from depth.metrics.depth import log10_error
from depth.types import DepthPixels, EvalSample, UserError

EIGEN, BENCHMARK, SYNTHETIC = (PROTOCOLS[name] for name in ("eigen", "eigen_benchmark", "synthetic"))
IMAGE = torch.zeros(3, 4, 4, dtype=torch.uint8)


def _sample(depth, name="drive 0 l"):
    return EvalSample(IMAGE, DepthPixels.of(np.asarray(depth, np.float32)), name)


def _scene(seed, shape=(375, 1242), density=0.05):
    """Ground truth like a scan's and a prediction that is wrong in a smooth way: float32 (H,W) m, (192,640) 1/m."""
    rng = np.random.default_rng(seed)
    height, width = shape
    depth = 60 * np.exp(-2 * np.linspace(0, 1, height))[:, None] * rng.uniform(0.8, 1.6, shape)
    depth[rng.random(shape) > density] = 0
    coarse = rng.uniform(0.5, 2, (6, 20)) * np.exp(2 * np.linspace(0, 1, 6))[:, None] / 60
    return depth.astype(np.float32), cv2.resize(coarse.astype(np.float32), (640, 192), interpolation=cv2.INTER_CUBIC)


KITTIS = ["eigen", "eigen_benchmark", "synthetic"]  # what the textbook loop knows


def _textbook(depth, inverse_depth, protocol, median=True, factor=1.0):
    """One image as every published evaluation does it: resize all, invert, mask, scale, clamp; in float64."""
    height, width = depth.shape
    prediction = 1 / cv2.resize(inverse_depth, (width, height)).astype(np.float64)
    if protocol.name == "eigen_benchmark":
        mask = depth > 0
    else:
        mask = np.logical_and(depth > 1e-3, depth < 80)
    if protocol.name == "eigen":
        crop = np.array([0.40810811 * height, 0.99189189 * height, 0.03594771 * width, 0.96405229 * width]).astype(int)
        inside = np.zeros(mask.shape)
        inside[crop[0] : crop[1], crop[2] : crop[3]] = 1
        mask = np.logical_and(mask, inside)
    truth, prediction = depth[mask].astype(np.float64), prediction[mask] * factor
    ratio = np.median(truth) / np.median(prediction)
    prediction = np.clip(prediction * ratio if median else prediction, 1e-3, 80)
    threshold = np.maximum(truth / prediction, prediction / truth)
    errors = [
        np.mean(np.abs(truth - prediction) / truth),
        np.mean((truth - prediction) ** 2 / truth),
        np.sqrt(np.mean((truth - prediction) ** 2)),
        np.sqrt(np.mean((np.log(truth) - np.log(prediction)) ** 2)),
        *(np.mean(threshold < 1.25**power) for power in (1, 2, 3)),
    ]
    return errors, ratio


# Four pixels: errors -1, +2, -0.1, +0.6 m; ratios 1/2, 7/5, 9/10, 8/5.
@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("abs_rel", (1 / 2 + 2 / 5 + 0.1 + 0.6) / 4),
        ("sq_rel", (1 / 2 + 4 / 5 + 0.01 + 0.36) / 4),
        ("rmse", math.sqrt((1 + 4 + 0.01 + 0.36) / 4)),
        ("rmse_log", math.sqrt(sum(math.log(r) ** 2 for r in (0.5, 1.4, 0.9, 1.6)) / 4)),
        ("d1", 1 / 4),  # 1/0.9
        ("d2", 2 / 4),  # and 1.4 < 1.5625
        ("d3", 3 / 4),  # and 1.6 < 1.953125, which 2 is not
    ],
)
def test_metric_by_hand(metric, expected):
    errors = dict(zip(METRICS, depth_errors(np.array([2.0, 5, 1, 1]), np.array([1.0, 7, 0.9, 1.6])), strict=True))
    assert errors[metric] == pytest.approx(expected, abs=1e-12)


def test_log10_by_hand():
    """A tenth, tenfold and a hundredfold: one, one and two decades off; which way does not matter."""
    assert log10_error(np.array([10.0, 1, 0.5]), np.array([1.0, 10, 50])) == pytest.approx(4 / 3)


def test_thresholds_are_strict():
    assert depth_errors(np.array([4.0]), np.array([5.0]))[4:] == (0.0, 1.0, 1.0)
    assert depth_errors(np.array([5.0]), np.array([4.0]))[4:] == (0.0, 1.0, 1.0)


@pytest.mark.parametrize("shapes", [((0,), (0,)), ((3,), (2,)), ((2, 2), (2, 2))])
def test_depth_errors_refuses_what_is_no_list_of_pixels(shapes):
    with pytest.raises(ValueError):
        depth_errors(np.ones(shapes[0]), np.ones(shapes[1]))


@pytest.mark.parametrize("count", [1, 2, 3, 8, 1001, 1002])
def test_median_scale_is_numpys(count):
    truth, prediction = np.random.default_rng(count).uniform(1, 80, (2, count))
    assert median_scale(truth, prediction) == pytest.approx(np.median(truth) / np.median(prediction), rel=1e-12)


@pytest.mark.parametrize("size", [(192, 640), (96, 320), (94, 310), (300, 700), (188, 620), (2, 2)])
def test_sampling_equals_resizing(size):
    """Noise from 0.01 to 1: upwards, downwards, by exactly two, unchanged, and with the borders."""
    grid = np.random.default_rng(1).uniform(0.01, 1, size).astype(np.float32)
    sample = prepare_sample(_sample(np.ones((94, 310))), SYNTHETIC)
    np.testing.assert_allclose(sample_bilinear(grid, sample.truth), cv2.resize(grid, (310, 94)).reshape(-1), atol=5e-7)


@pytest.mark.parametrize("protocol", [PROTOCOLS[name] for name in KITTIS], ids=KITTIS)
@pytest.mark.parametrize("scaling", [Scaling(), Scaling(median=False), Scaling(median=False, factor=5.4)])
def test_split_equals_the_textbook_loop(protocol, scaling):
    shapes = [(375, 1242), (370, 1226), (376, 1241), (94, 310)]
    scenes = [_scene(seed, shape, 1.0 if shape[0] == 94 else 0.05) for seed, shape in enumerate(shapes)]
    samples = prepare_batch([_sample(depth, str(i)) for i, (depth, _) in enumerate(scenes)], protocol)
    stored = np.stack([inverse_depth for _, inverse_depth in scenes])
    result = evaluate_split(
        lambda batch, first: stored[first : first + len(batch)], [samples[:3], samples[3:]], protocol, scaling
    )
    expected = [_textbook(*scene, protocol, scaling.median, scaling.factor) for scene in scenes]
    np.testing.assert_allclose([row.errors for row in result.rows], [errors for errors, _ in expected], rtol=1e-6)
    np.testing.assert_allclose([row.ratio for row in result.rows], [ratio for _, ratio in expected], rtol=1e-6)
    means = np.mean([errors for errors, _ in expected], axis=0)
    np.testing.assert_allclose(list(result.means.values()), means, rtol=1e-6)
    ratios = np.array([ratio for _, ratio in expected])
    assert result.ratio_median == pytest.approx(np.median(ratios), rel=1e-6)
    assert result.ratio_spread == pytest.approx(np.std(ratios / np.median(ratios)), rel=1e-5)


def test_median_scaling_forgets_the_unit():
    depth, inverse_depth = _scene(5)
    sample = prepare_sample(_sample(depth), EIGEN)
    one, ratio = align(inverse_depth, sample, EIGEN, Scaling())
    other, other_ratio = align(inverse_depth * np.float32(16), sample, EIGEN, Scaling())
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert other_ratio == pytest.approx(16 * ratio, rel=1e-6)


def test_predictions_are_clamped_and_far_ground_truth_stays():
    sample = prepare_sample(_sample(np.full((2, 2), 100.0)), BENCHMARK)
    depth, _ = align(np.full((2, 2), 1 / 200, np.float32), sample, BENCHMARK, Scaling(median=False))
    assert depth.tolist() == [80.0] * 4
    depth, _ = align(np.full((2, 2), 1e5, np.float32), sample, BENCHMARK, Scaling(median=False))
    np.testing.assert_allclose(depth, 1e-3)


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_scale_factor_must_be_positive(factor):
    with pytest.raises(UserError, match="factor"):
        Scaling(factor=factor)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0])
def test_prediction_that_is_no_depth_names_the_image(value):
    samples = prepare_batch([_sample(np.ones((2, 2)), "fine"), _sample(np.ones((2, 2)), "broken 7 l")], SYNTHETIC)
    predictions = np.ones((2, 2, 2), np.float32)
    predictions[1, 0, 0] = value
    with pytest.raises(UserError, match="broken 7 l"):
        evaluate_split(lambda batch, first: predictions, [samples], SYNTHETIC)


def test_infinity_between_pixels_is_found():
    depth = np.zeros((3, 3))
    depth[1, 1] = 1  # halfway between the rows and columns of a prediction with two
    samples = prepare_batch([_sample(depth, "broken 7 l")], SYNTHETIC)
    with pytest.raises(UserError, match="broken 7 l"):
        evaluate_split(lambda batch, first: np.array([[[1, 1], [1, np.inf]]], np.float32), [samples], SYNTHETIC)


def test_images_without_valid_pixels_are_left_out_and_named():
    samples = prepare_batch([_sample(np.zeros((2, 2)), "empty 1 l"), _sample(np.ones((2, 2)), "full 2 l")], SYNTHETIC)
    result = evaluate_split(lambda batch, first: np.ones((2, 2, 2), np.float32), [samples], SYNTHETIC)
    assert result.skipped == ("empty 1 l",)
    assert [(row.name, row.index, row.pixels) for row in result.rows] == [("full 2 l", 1, 4)]
    assert result.means["abs_rel"] == 0


@pytest.mark.parametrize("depths", [[], [np.zeros((2, 2))]])
def test_a_split_with_nothing_to_score_is_the_users_error(depths):
    samples = prepare_batch([_sample(depth) for depth in depths], SYNTHETIC)
    ones = np.ones((1, 2, 2), np.float32)
    result = evaluate_split(lambda batch, first: ones, [samples] if samples else [], SYNTHETIC)
    with pytest.raises(UserError, match=f"none of the {len(depths)} images has a valid ground-truth pixel"):
        merge_results([result]).means  # noqa: B018


def test_predictor_of_another_shape_is_a_bug():
    samples = prepare_batch([_sample(np.ones((2, 2)))], SYNTHETIC)
    with pytest.raises(ValueError, match="predictor"):
        evaluate_split(lambda batch, first: np.ones((1, 1, 2, 2), np.float32), [samples], SYNTHETIC)


def test_metrics_run_while_the_next_batch_is_predicted(monkeypatch):
    """The first batch's metrics wait for the second prediction: without overlap they would wait in vain."""
    predicting, score = threading.Event(), evaluation._score_batch

    def scored(batch, predictions, first, *rest):
        assert first or predicting.wait(20)
        return score(batch, predictions, first, *rest)

    def predictor(batch, first):
        if first:
            predicting.set()
        return np.ones((1, 2, 2), np.float32)

    monkeypatch.setattr(evaluation, "_score_batch", scored)
    batches = [prepare_batch([_sample(np.ones((2, 2)), str(i))], SYNTHETIC) for i in range(2)]
    assert len(evaluate_split(predictor, batches, SYNTHETIC).rows) == 2


def _random_result(indices):
    """A split of 7 small images, the second one without ground truth, of which some are evaluated."""
    scenes = [_scene(seed, (20, 30), 0.5) for seed in range(7)]
    scenes[1][0][:] = 0
    samples = prepare_batch([_sample(scenes[i][0], f"drive {i} l") for i in indices], SYNTHETIC)
    return evaluate_split(
        lambda batch, first: np.stack([scenes[i][1] for i in indices[first : first + len(batch)]]),
        [samples[i : i + 2] for i in range(0, len(samples), 2)],
        SYNTHETIC,
    )


@pytest.mark.parametrize("world", [1, 2, 3, 8, 9])  # of 8, one has nothing valid; of 9, one has no image
def test_merging_ranks_gives_the_single_process_result(world):
    scenes = [0, 1, 2, 2, 3, 4, 5, 6]  # a split that names an image twice counts it twice
    parts = [_random_result(scenes[rank::world]) for rank in range(world)]
    assert merge_results(parts) == _random_result(scenes)


def test_extremes():
    result = _random_result(list(range(7)))
    order = (3.0, 1.0, 5.0, 2.0, 4.0, 6.0)
    rows = [replace(row, errors=(rank, *row.errors[1:])) for row, rank in zip(result.rows, order, strict=True)]
    chosen = replace(result, rows=tuple(rows)).extremes()
    assert [(rank, row.errors[0]) for rank, row in chosen.items()] == [("best", 1), ("median", 4), ("worst", 6)]

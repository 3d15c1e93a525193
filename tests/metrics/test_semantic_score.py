"""Segmentation metrics: hand-worked values, and torchmetrics as an oracle."""

import numpy as np
import pytest
import torch

from depth.metrics.semantics import (
    SemanticScore,
    boundary_counts,
    boundary_f,
    class_iou,
    confusion_matrix,
    mean_iou,
    pixel_accuracy,
)
from depth.types import IGNORE


def random_pair(seed: int, classes: int = 5, void: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes - 1, (12, 17)).astype(np.uint8)  # the last class occurs on neither side
    prediction = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, classes - 1, truth.shape))
    truth[rng.random(truth.shape) < void] = IGNORE
    return truth, prediction


def test_by_hand():
    truth = np.array([[0, 0, 1, 1, IGNORE]])
    prediction = np.array([[0, 1, 1, 1, 0]])
    matrix = confusion_matrix(truth, prediction, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    with np.errstate(all="raise"):  # a class that neither side has is no division by 0
        assert class_iou(matrix)[:2].tolist() == [1 / 2, 2 / 3]
    assert np.isnan(class_iou(matrix)[2])
    assert mean_iou(matrix) == pytest.approx(7 / 12)
    assert pixel_accuracy(matrix) == 3 / 4


def test_agrees_with_torchmetrics():
    from torchmetrics.classification import MulticlassJaccardIndex

    oracle = MulticlassJaccardIndex(5, average="macro", ignore_index=IGNORE)
    score = SemanticScore("abcde")
    for seed in range(4):
        truth, prediction = random_pair(seed)
        oracle.update(torch.from_numpy(prediction), torch.from_numpy(truth).long())
        score.add(truth, prediction)
    assert score.results()["miou"] == pytest.approx(oracle.compute().item(), abs=1e-6)
    assert "iou/e" not in score.results()


def test_set_is_not_the_mean_of_its_images():
    score = SemanticScore("ab")
    rows = [
        score.add(np.array(truth), np.array(prediction))
        for truth, prediction in (([[0, 0, 0, 1]], [[0, 0, 0, 0]]), ([[1, 1, 1, 1]], [[1, 1, 1, 1]]))
    ]
    assert [row["miou"] for row in rows] == [pytest.approx(0.375), 1.0]
    assert score.results()["miou"] == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_parts_add_up():
    whole, parts = SemanticScore("abcde"), [SemanticScore("abcde") for _ in range(2)]
    for seed in range(4):
        whole.add(*random_pair(seed))
        parts[seed % 2].add(*random_pair(seed))
    parts[0].merge(parts[1])
    assert parts[0].results() == whole.results()


def test_unlabelled_images_have_no_figures():
    row = SemanticScore("ab").add(np.full((4, 4), IGNORE), np.zeros((4, 4), int))
    assert all(np.isnan(value) for value in row.values())


@pytest.mark.parametrize("bad", [2, 7])
def test_ids_out_of_range_are_refused(bad):
    for truth, prediction in (([[0, bad]], [[0, 0]]), ([[0, 0]], [[0, bad]])):
        with pytest.raises(ValueError, match="beyond 1"):
            confusion_matrix(np.array(truth), np.array(prediction), 2)
    with pytest.raises(ValueError, match="same pixels"):
        confusion_matrix(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)


def square(shift: int, size: int = 200) -> np.ndarray:
    ids = np.zeros((size, size), np.uint8)
    ids[50:150, 50 + shift : 150 + shift] = 1
    return ids


def test_boundaries_tolerate_three_quarters_of_a_percent():
    """The diagonal of 200x200 is 283, so that 3 pixels are near and 6 are not."""
    truth = square(0)
    assert boundary_f(boundary_counts(truth, truth, 2)) == 1
    assert boundary_f(boundary_counts(truth, square(3), 2)) == 1
    far = boundary_counts(truth, square(6), 2)
    # A square's boundary is a ring of 101x101 pixels, for both classes. Of the shifted ring's two rows all but 3 pixels
    # each lie near the true one's, and of its left column 3 beside each row; the same the other way round.
    assert far.tolist() == [[400, 202, 400, 202]] * 2


def test_boundaries_next_to_void_do_not_count():
    truth = square(0)
    truth[:, 100:] = IGNORE
    counts = boundary_counts(truth, square(0), 2)
    assert (counts[:, 0] == counts[:, 2]).all()
    assert boundary_f(counts) == 1
    assert boundary_f(boundary_counts(truth, np.zeros_like(truth), 2)) == 0

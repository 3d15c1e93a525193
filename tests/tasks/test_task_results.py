"""What the tasks make of their heads' outputs, and of a set's labels, by hand; scores over images."""

import cv2
import numpy as np
import pytest
import torch

from depth.metrics.semantics import SemanticScore
from depth.tasks.depth import Depth
from depth.tasks.normals import Normals
from depth.tasks.panoptic import Panoptic, panoptic_targets
from depth.tasks.scoring import predict_images, score_images
from depth.tasks.semantics import Semantics
from depth.types import DenseOutput, LabelledSample, Labels
from tests.dense_samples import CLASSES, labels


def test_depths_are_one_over_the_resized_inverse_depth():
    """Inverse depths 1 / 50 and 1 / 0.5; at twice the size the samples lie at 0, 1/4, 3/4 and 1 of the way."""
    found = Depth(0.5, 50.0).results({"depth": torch.tensor([[[[0.0, 1.0]]]])}, (1, 4))
    assert found[0, 0] == pytest.approx([50, 1 / (0.02 + 1.98 / 4), 1 / (0.02 + 1.98 * 3 / 4), 0.5])


def test_a_picture_of_depth_is_black_without_a_label_and_bright_from_the_95th_percentile_on():
    with np.errstate(all="raise"):
        picture = Depth().picture(np.array([[0.0, 1.0, 1.0]]))
    black, bright = cv2.applyColorMap(np.array([[0, 255]], np.uint8), cv2.COLORMAP_MAGMA)[0, :, ::-1]
    assert (picture[0] == [black, bright, bright]).all()


def test_the_constant_normal_of_a_pixel_without_a_label_is_that_of_all():
    truth = np.array([[[1.0, 0, 0], [0, 0, 0]], [[0, 0, -1], [0, 0, -1]]])
    found = Normals().constant([truth, np.zeros_like(truth)])
    expected = np.array([[[1, 0, 0], [5**-0.5, 0, -2 * 5**-0.5]], [[0, 0, -1], [0, 0, -1]]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_offsets_are_exported_in_pixels():
    """An offset is what the head says, times an eighth of the rows."""
    heatmap, offsets = panoptic_targets(labels().instances)
    raw = torch.cat([heatmap, offsets / 8], 1)  # of 64 rows
    torch.testing.assert_close(Panoptic(CLASSES).exported({"panoptic": raw}), torch.cat([heatmap, offsets], 1))


def test_every_image_of_a_batch_gets_its_own_results_and_row():
    """A network that says of an image the class that its first pixel names; truth is class 1 everywhere."""

    def net(images):
        named = (255 * images[:, 0, 0, 0]).round().long()
        return DenseOutput({"semantics": torch.eye(3)[named][:, :, None, None].expand(-1, -1, 2, 3)})

    def sample(number):
        truth = Labels(semantics=np.full((4, 6), 1, np.uint8))
        return LabelledSample(torch.full((3, 2, 3), number, dtype=torch.uint8), truth, str(number))

    tasks = {"semantics": Semantics(CLASSES)}
    batches = [[sample(0), sample(1), sample(2)], [sample(1)]]
    predictions = list(predict_images(net, tasks, batches, "cpu"))
    assert [each.name for each, _ in predictions] == ["0", "1", "2", "1"]
    for each, results in predictions:
        assert np.array_equal(results["semantics"], np.full((4, 6), int(each.name)))
    scores, rows = score_images(tasks, predictions)
    assert isinstance(scores["semantics"], SemanticScore)
    assert [row["semantics/pixel_accuracy"] for row in rows] == [0, 1, 0, 1]
    assert scores["semantics"].results()["pixel_accuracy"] == 0.5

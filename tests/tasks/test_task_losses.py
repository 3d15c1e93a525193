"""The tasks' losses by hand."""

import math

import pytest
import torch

from depth.tasks.depth import Depth, berhu
from depth.tasks.normals import Normals
from depth.tasks.semantics import Semantics
from depth.types import IGNORE, LabelMaps
from tests.dense_samples import CLASSES


def test_cross_entropy_is_a_mean_over_labelled_pixels():
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 1, 0, 1] = math.log(2)
    truth = torch.tensor([[[0, 1, IGNORE, IGNORE]]], dtype=torch.uint8)
    loss = Semantics(CLASSES).losses({"semantics": logits}, LabelMaps(semantics=truth))["semantics"]
    assert loss.item() == pytest.approx((math.log(3) + math.log(2)) / 2)


def test_the_hardest_pixels_alone():
    """Half of 4 pixels: those with losses log 3 and log 3, not the sure one."""
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 1, 0, :2] = 50
    truth = torch.tensor([[[1, 1, 0, 2]]], dtype=torch.uint8)
    loss = Semantics(CLASSES, hardest=0.5).losses({"semantics": logits}, LabelMaps(semantics=truth))["semantics"]
    assert loss.item() == pytest.approx(math.log(3))


def test_normals_sum_over_components_and_average_over_pixels():
    raw = torch.tensor([[0.0, 0, 2], [0, 3, 0], [1, 1, 1]]).T.reshape(1, 3, 1, 3)
    truth = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 0, 0]]).T.reshape(1, 3, 1, 3)
    loss = Normals().losses({"normals": raw}, LabelMaps(normals=truth))["normals"]
    assert loss.item() == pytest.approx((0 + 2) / 2)


@pytest.mark.parametrize(("kind", "expected"), [("l1", 5.0), ("log", math.log(2))])
def test_depth_by_hand(kind, expected):
    """Disparity 1/10 - 1/100 over 1/0.1 - 1/100 is 10 m; the label says 5 m; the pixel beyond 80 m does not count."""
    disparity = torch.full((1, 1, 1, 3), (1 / 10 - 1 / 100) / (10 - 1 / 100))
    truth = torch.tensor([5.0, 0.0, 90.0]).view(1, 1, 1, 3)
    loss = Depth(0.1, 100, kind).losses({"depth": disparity}, LabelMaps(depth=truth))["depth"]
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_berhu_is_linear_then_quadratic():
    """The largest error is 10, so c = 2: 1 -> 1, 10 -> (100 + 4) / 4 = 26."""
    assert berhu(torch.tensor([-1.0, 2.0, 10.0])).tolist() == pytest.approx([1, 2, 26])
    disparity = torch.tensor([0.5, 0.9]).view(1, 1, 1, 2)
    depth = 1 / (1 / 100 + torch.tensor([0.5, 0.4]).view(1, 1, 1, 2) * (10 - 1 / 100))
    loss = Depth(0.1, 100, "berhu").losses({"depth": disparity}, LabelMaps(depth=depth))["depth"]
    assert loss.item() == pytest.approx((0.25 + 0.01) / 0.2 / 2, rel=1e-3)

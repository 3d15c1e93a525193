"""Losses that give a unit: hand-worked values, what is not known, gradients at rest."""

import math

import torch

from depth.losses.metric import sparse_depth_error, speed_error


def test_speed_error_is_the_mean_difference_of_lengths():
    poses = torch.eye(4).repeat(2, 2, 1, 1)
    poses[0, 0, :3, 3] = torch.tensor([3.0, 0.0, 4.0])  # 5 m
    poses[1, 1, :3, 3] = torch.tensor([0.0, 0.0, -2.0])
    travelled = torch.tensor([[4.0, float("nan")], [float("nan"), 2.5]])
    assert math.isclose(speed_error(poses, travelled).item(), (1 + 0.5) / 2, rel_tol=1e-5)
    assert speed_error(poses, torch.full((2, 2), float("nan"))) == 0


def test_speed_error_pulls_a_camera_at_rest_and_leaves_the_unknown_alone():
    poses = torch.eye(4).repeat(1, 2, 1, 1).requires_grad_()
    speed_error(poses, torch.tensor([[1.0, float("nan")]])).backward()
    assert poses.grad.isfinite().all() and not poses.grad[0, 1].any()


def test_sparse_depth_error_counts_where_there_is_truth():
    depth = torch.full((2, 3, 4, 5), 2.0, requires_grad=True)
    truth = torch.zeros(2, 1, 4, 5)
    truth[0, 0, 1, 2], truth[1, 0, 3, 4] = 2 * math.e, 2.0
    error = sparse_depth_error(depth, truth)
    assert math.isclose(error.item(), 0.5, rel_tol=1e-6)
    error.backward()
    assert (depth.grad != 0).sum() <= 6 and depth.grad[0, :, 1, 2].lt(0).all()  # farther, at every scale
    assert sparse_depth_error(depth, torch.zeros(2, 1, 4, 5)) == 0

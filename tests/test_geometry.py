"""Geometry: values worked by hand, properties, gradients."""

import math

import kornia
import pytest
import torch

from depth.geometry import (
    backproject,
    disparity_to_depth,
    invert_transform,
    project,
    transform_from_axis_angle,
    warp,
)

K = torch.tensor([[[50.0, 0.0, 15.5], [0.0, 50.0, 7.5], [0.0, 0.0, 1.0]]])


def test_disparity_to_depth_by_hand():
    # 1/100 + (10 - 1/100) * 0.5 = 5.005
    depth = disparity_to_depth(torch.tensor([0.0, 0.5, 1.0]), 0.1, 100.0)
    assert torch.allclose(depth, torch.tensor([100.0, 1 / 5.005, 0.1]))


def test_axis_angle_quarter_turn_about_z():
    transform = transform_from_axis_angle(torch.tensor([0.0, 0.0, math.pi / 2]), torch.tensor([1.0, 2.0, 3.0]))
    moved = transform @ torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert torch.allclose(moved, torch.tensor([1.0, 3.0, 3.0, 1.0]), atol=1e-6)


def test_axis_angle_equals_kornia():
    vectors = torch.randn(20, 3)
    ours = transform_from_axis_angle(vectors, torch.zeros(20, 3))[:, :3, :3]
    assert torch.allclose(ours, kornia.geometry.axis_angle_to_rotation_matrix(vectors), atol=1e-5)


def test_axis_angle_gradients_are_right_and_finite_at_zero():
    translation = torch.zeros(2, 3, dtype=torch.float64)
    vectors = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: transform_from_axis_angle(v, translation), vectors)
    zero = torch.zeros(1, 3, requires_grad=True)
    transform_from_axis_angle(zero, torch.zeros(1, 3)).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_inverse_composes_to_identity():
    transform = transform_from_axis_angle(torch.randn(5, 3), torch.randn(5, 3))
    assert torch.allclose(invert_transform(transform) @ transform, torch.eye(4).expand(5, 4, 4), atol=1e-5)


def test_project_undoes_backproject():
    depth = torch.rand(1, 1, 16, 32) * 10 + 1
    pixels = project(backproject(depth, K), K)[0]
    v, u = torch.meshgrid(torch.arange(16.0), torch.arange(32.0), indexing="ij")
    assert torch.allclose(pixels, torch.stack([u, v]), atol=1e-3)


def test_backproject_equals_kornia():
    depth = torch.rand(1, 1, 16, 32) + 1
    expected = kornia.geometry.depth.depth_to_3d_v2(depth[:, 0], K)[0].permute(2, 0, 1)
    assert torch.allclose(backproject(depth, K)[0], expected, atol=1e-5)


def test_identity_warp_returns_the_source_exactly():
    """Normaliser and sampler share one align_corners: a mismatch moves the image by up to half a pixel."""
    sources = torch.rand(2, 2, 3, 16, 32)
    identity = torch.eye(4).expand(2, 2, 4, 4)
    warped = warp(sources, torch.rand(2, 3, 16, 32) * 20 + 1, identity, K.expand(2, 3, 3))
    assert torch.allclose(warped, sources[:, :, :, None].expand(-1, -1, -1, 3, -1, -1), atol=1e-4)


def test_warp_shift_by_hand():
    """A camera 0.2 m to the right sees a plane at 5 m moved by f t / z = 50 * 0.2 / 5 = 2 pixels to the left."""
    sources = torch.rand(1, 1, 3, 16, 32)
    source_from_target = torch.eye(4).view(1, 1, 4, 4).clone()
    source_from_target[..., 0, 3] = -0.2
    warped = warp(sources, torch.full((1, 1, 16, 32), 5.0), source_from_target, K)[0, 0, :, 0]
    assert torch.allclose(warped[..., 2:], sources[0, 0, ..., :-2], atol=1e-4)
    assert torch.allclose(warped[..., :2], sources[0, 0, ..., :1].expand(-1, -1, 2), atol=1e-4)  # border padding


def test_warp_equals_backproject_transform_project():
    source = torch.rand(1, 1, 3, 16, 32)
    depth = torch.rand(1, 2, 16, 32) * 5 + 2
    transform = transform_from_axis_angle(torch.tensor([[0.02, -0.03, 0.01]]), torch.tensor([[0.1, -0.05, 0.3]]))
    warped = warp(source, depth, transform[:, None], K)
    for scale in range(2):
        points = backproject(depth[:, scale : scale + 1], K)
        moved = (transform[:, :3, :3] @ points.flatten(2) + transform[:, :3, 3:]).view_as(points)
        u, v = project(moved, K).unbind(1)
        grid = torch.stack([2 * u / 31 - 1, 2 * v / 15 - 1], -1)
        expected = torch.nn.functional.grid_sample(source[:, 0], grid, padding_mode="border", align_corners=True)
        assert torch.allclose(warped[:, 0, :, scale], expected, atol=1e-4)


def test_points_behind_the_camera_fall_on_the_border():
    """5 m behind: x = 50 X + 15.5 z = 5 u - 155, and y = 5 v - 75, over z that is no less than 0.001.

    Over z = -5 itself the image would be there, mirrored: 31 - u and 15 - v.
    """
    transform = torch.eye(4).view(1, 1, 4, 4).clone()
    transform[..., 2, 3] = -10.0
    depth = torch.full((1, 1, 16, 32), 5.0, requires_grad=True)
    source = torch.rand(1, 1, 3, 16, 32)
    warped = warp(source, depth, transform, K)
    warped.sum().backward()
    corner = source[0, 0, :, :1, :1]
    # But for the last row and column, whose 5 u - 155 and 5 v - 75 are 0 to rounding.
    assert torch.equal(warped[0, 0, :, 0, :-1, :-1], corner.expand(3, 15, 31))
    assert not depth.grad[..., :-1, :-1].any() and torch.isfinite(depth.grad).all()
    pixels = project(torch.tensor([1.0, -1.0, -5.0]).view(1, 3, 1, 1), K)
    assert torch.allclose(pixels.flatten(), torch.tensor([-27500.0, -87500.0]))


def test_warp_names_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="do not fit"):
        warp(torch.rand(1, 2, 3, 16, 32), torch.rand(1, 1, 16, 32), torch.eye(4).view(1, 1, 4, 4), K)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
def test_warp_outlives_a_pose_that_is_no_number(value):
    """torch's own sampler gives NaN places a finite value on a CPU, and dies of a segmentation fault going back."""
    sources, depth = torch.rand(2, 1, 3, 16, 32), torch.full((2, 1, 16, 32), 2.0)
    pose = torch.eye(4).repeat(2, 1, 1, 1)
    pose[1, 0, 0, 3] = value
    pose.requires_grad_()
    warped = warp(sources, depth, pose, K.expand(2, -1, -1))
    warped.sum().backward()
    assert torch.isfinite(warped[0]).all() and torch.isfinite(pose.grad[0]).all()
    assert torch.isnan(warped[1]).all() == (value != 1e38)

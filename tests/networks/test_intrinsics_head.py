"""The pose network's head for the camera: optional, reached by gradients, and able to find a focal length."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from depth.build import build_objective
from depth.geometry import matrix_from_intrinsics, transform_from_axis_angle, warp
from depth.networks.pose_net import PoseNet
from depth.objective import PhotometricOptions, SelfSupervisedObjective
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.network import NetworkOptions
from depth.training.monitor import step_statistics
from depth.types import DepthOutput, UserError
from tests.test_objective import make_batch

HEIGHT, WIDTH = 64, 96


def learned_objective():
    data = DataOptions(dataset="synthetic", height=HEIGHT, width=WIDTH, learn_intrinsics=True)
    network = NetworkOptions(num_layers=18, encoder_weights="scratch")
    return build_objective(resolved(Config(data=data, network=network)))


def test_without_the_head_the_weights_are_monodepth2s():
    plain, learned = PoseNet(), PoseNet(learn_intrinsics=True)
    assert set(learned.state_dict()) - set(plain.state_dict()) == {"intrinsics.weight", "intrinsics.bias"}
    assert not set(plain.state_dict()) - set(learned.state_dict())


def test_it_starts_at_sixty_degrees_and_leaves_the_pose_alone():
    net = PoseNet(learn_intrinsics=True).eval()
    pair = torch.rand(2, 6, HEIGHT, WIDTH)
    with torch.no_grad():
        pose, camera = net.pose_and_intrinsics(pair)
        assert torch.equal(pose, net(pair))
    expected = torch.tensor([0.866 * WIDTH, 0.866 * WIDTH, (WIDTH - 1) / 2, (HEIGHT - 1) / 2]).expand(2, 4)
    torch.testing.assert_close(camera, expected, rtol=5e-3, atol=0.01)


def test_the_centre_moves_by_shares_of_its_own_side():
    """A tenth of 96 to the right and a fifth of 64 down, from 47.5 and 31.5."""
    net = PoseNet(learn_intrinsics=True).eval()
    with torch.no_grad():
        net.intrinsics.bias.copy_(torch.tensor([0.32, 0.32, 0.1, 0.2]))  # its weights start at 0
        camera = net.pose_and_intrinsics(torch.rand(1, 6, HEIGHT, WIDTH))[1]
    assert camera[0, 2:].tolist() == pytest.approx([57.1, 44.3])


def test_matrix_from_intrinsics():
    expected = torch.tensor([[[5.0, 0, 3], [0, 6, 4], [0, 0, 1]]])
    assert torch.equal(matrix_from_intrinsics(torch.tensor([[5.0, 6, 3, 4]])), expected)


def test_the_objective_uses_the_prediction_and_trains_it():
    torch.manual_seed(0)
    objective = learned_objective()
    batch = make_batch(height=HEIGHT, width=WIDTH)
    output = objective(batch)
    assert output.intrinsics.shape == (2, 3, 3) and not torch.allclose(output.intrinsics, batch.intrinsics, atol=1)
    statistics = step_statistics(output)
    assert statistics["camera/fx"] == pytest.approx(0.87 * WIDTH, rel=0.01)
    assert {"camera/fy", "camera/cx", "camera/cy"} <= set(statistics)
    output.loss.backward()
    head = objective.pose_net.intrinsics
    assert (head.bias.grad.abs() > 0).all() and head.weight.grad.abs().sum() > 0


def test_the_calibration_is_not_looked_at():
    torch.manual_seed(0)
    objective = learned_objective().eval()
    batch = make_batch(height=HEIGHT, width=WIDTH)
    other = type(batch)(**{**vars(batch), "intrinsics": 3 * batch.intrinsics})
    with torch.no_grad():
        torch.manual_seed(1)
        first = objective(batch).loss
        torch.manual_seed(1)
        assert objective(other).loss == first


class _KnownScene(nn.Module):
    """True depth for every image, and true poses beside a camera that is to be learned."""

    def __init__(self, disparity, motion):
        super().__init__()
        self.raw = nn.Parameter(torch.tensor([0.32, 0.32, 0.0, 0.0]))
        self.disparity, self.motion = disparity, motion

    def forward(self, image):
        return DepthOutput((self.disparity,))

    def pose_and_intrinsics(self, pair):
        raw = self.raw
        values = [F.softplus(raw[0]) * WIDTH, F.softplus(raw[1]) * WIDTH]
        values += [(WIDTH - 1) / 2 + raw[2] * WIDTH, (HEIGHT - 1) / 2 + raw[3] * HEIGHT]
        return self.motion, torch.stack(values).expand(len(pair), 4)


def test_a_turning_camera_shows_its_focal_length():
    """With depth and pose known, the photometric loss draws fx and fy from 0.87 to the true 1.3 widths."""
    torch.manual_seed(0)
    true = matrix_from_intrinsics(torch.tensor([[1.3 * WIDTH, 1.3 * WIDTH, (WIDTH - 1) / 2, (HEIGHT - 1) / 2]]))
    image = F.interpolate(torch.rand(1, 3, 8, 12), (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1)
    motion = torch.tensor([[0.04, 0.05, 0.02, 0.05, 0.03, 0.1]])
    disparity = torch.full((1, 1, HEIGHT, WIDTH), 0.02)  # min_depth 0.1, max_depth 100: 4.8 m
    depth = 1 / (0.01 + 9.99 * disparity)
    target_from_source = transform_from_axis_angle(motion[:, :3], motion[:, 3:])
    target = warp(image[:, None], depth, target_from_source[:, None], true)[:, 0, :, 0]
    batch = make_batch(offsets=(1,), size=1, height=HEIGHT, width=WIDTH)
    batch = type(batch)(**{**vars(batch), "target": target, "sources": image[:, None]})
    scene = _KnownScene(disparity, motion)
    options = PhotometricOptions(scales=(0,), automask=False, learn_intrinsics=True)
    objective = SelfSupervisedObjective(scene, scene, {"photometric": 1.0}, options)
    optimizer = torch.optim.Adam([scene.raw], 0.02)
    for _ in range(150):
        output = objective(batch)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    assert output.intrinsics[0, 0, 0].item() == pytest.approx(1.3 * WIDTH, rel=0.05)
    assert output.intrinsics[0, 1, 1].item() == pytest.approx(1.3 * WIDTH, rel=0.05)


def test_options():
    for wrong in (
        {"dataset": "video"},
        {"dataset": "video", "data_path": "a.mp4", "use_stereo": True},
        {"fov": 60.0},
        {"intrinsics": "k.json"},
        {"dataset": "video", "data_path": "a.mp4", "fov": 60.0, "learn_intrinsics": True},
        {"frame_ids": (0,), "use_stereo": True, "learn_intrinsics": True},
    ):
        with pytest.raises(UserError, match="--"):
            DataOptions(**wrong)

"""Networks: published sizes, hand-worked pieces, shapes and ranges, guards, pretrained weights."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from depth.geometry import transform_from_axis_angle
from depth.networks import DEPTH_NETS, build_depth_net, set_initial_disparity
from depth.networks.layers import Float32Conv2d
from depth.networks.packnet import PackNet
from depth.networks.pose_net import PoseNet
from depth.types import DepthOutput, UserError


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _on_meta(name: str, encoder: str = "resnet18", num_channels: int = 1) -> nn.Module:
    with torch.device("meta"):
        return build_depth_net(name, encoder, num_channels)


def _scene(height: int = 64, width: int = 96, batch: int = 2, channels: int = 3) -> torch.Tensor:
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


def _conv(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


@pytest.mark.parametrize(
    ("num_layers", "whole", "classifier", "widths", "published_millions"),
    [
        # torchvision publishes 11,689,512 and 25,557,032 parameters with the classifier (512 or 2048 -> 1000);
        # the field's tables give Monodepth2 14.3 and 32.5 million.
        (18, 11_689_512, 513_000, (64, 64, 128, 256, 512), 14.3),
        (50, 25_557_032, 2_049_000, (64, 256, 512, 1024, 2048), 32.5),
    ],
)
def test_depth_net_has_the_published_number_of_parameters(num_layers, whole, classifier, widths, published_millions):
    levels = (16, 32, 64, 128, 256)
    decoder = 0
    for level, width in enumerate(levels):
        decoder += _conv(widths[-1] if level == 4 else levels[level + 1], width, 3)
        decoder += _conv(width + (widths[level - 1] if level else 0), width, 3)
    decoder += sum(_conv(width, 1, 3) for width in levels[:4])
    count = _parameters(_on_meta("resnet", f"resnet{num_layers}"))
    assert count == whole - classifier + decoder
    assert round(count / 1e6, 1) == published_millions


def test_pose_net_has_the_size_of_its_layers():
    with torch.device("meta"):
        net = PoseNet()
    encoder = 11_689_512 - 513_000 + 3 * 64 * 7 * 7
    assert _parameters(net) == encoder + _conv(512, 256, 1) + 2 * _conv(256, 256, 3) + _conv(256, 12, 1)


@pytest.mark.parametrize("name", list(DEPTH_NETS))
@pytest.mark.parametrize("num_channels", [1, 5])
def test_every_net_gives_four_scales_of_any_number_of_channels(name, num_channels):
    net = _on_meta(name, num_channels=num_channels)
    for training in (True, False):
        output = net.train(training)(torch.empty(2, 3, 192, 640, device="meta"))
        assert isinstance(output, DepthOutput)
        assert [tuple(d.shape) for d in output.disparities] == [
            (2, num_channels, 192 // 2**scale, 640 // 2**scale) for scale in range(4)
        ]


@pytest.fixture(scope="module", params=["resnet", "packnet_slim"])
def net(request) -> nn.Module:
    torch.manual_seed(0)
    return build_depth_net(request.param, num_channels=5)


@settings(max_examples=6, deadline=None)
@given(
    rows=st.integers(2, 5),
    columns=st.integers(2, 5),
    batch=st.integers(1, 2),
    brightness=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_disparities_lie_strictly_between_0_and_1(net, rows, columns, batch, brightness):
    image = brightness * _scene(32 * rows, 32 * columns, batch)
    with torch.no_grad():
        disparities = net.eval()(image).disparities
    for scale, disparity in enumerate(disparities):
        assert disparity.shape == (batch, 5, 32 * rows >> scale, 32 * columns >> scale)
        assert disparity.dtype == torch.float32
        assert ((disparity > 0) & (disparity < 1)).all()


def test_pose_net_gives_six_small_numbers_of_the_right_scale():
    torch.manual_seed(0)
    net = PoseNet().eval()
    pair = _scene(channels=6)
    with torch.no_grad():
        pose = net(pair)
        swapped = net(torch.cat((pair[:, 3:], pair[:, :3]), dim=1))
        net.pose.weight.zero_()
        net.pose.bias.copy_(torch.arange(12.0))
        constant = net(pair)
    assert pose.shape == (2, 6)
    assert not torch.allclose(pose, swapped, rtol=1e-3), "the order of the frames must matter"
    torch.testing.assert_close(constant, torch.tensor([[0.0, 0.01, 0.02, 0.03, 0.04, 0.05]] * 2))


def test_decoder_convolutions_mirror_the_border(net):
    """With a constant map and one kernel the answer is constant up to the border; zero padding would darken it."""
    if isinstance(net, PackNet):
        pytest.skip("PackNet pads with zeros, as published")
    for level in net.decoder.levels:
        for conv in (level.enter, level.merge):
            out = conv(torch.ones(1, conv.in_channels, 4, 4))
            assert out.std(dim=(2, 3)).max() < 1e-5
    for head in net.decoder.heads:
        assert head(torch.ones(1, head.in_channels, 4, 4)).std(dim=(2, 3)).max() < 1e-5


def test_gradients_reach_every_parameter(net):
    net.train().zero_grad()
    disparities = net(_scene()).disparities
    sum((d * torch.rand_like(d)).mean() for d in disparities).backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle


def test_gradients_reach_every_parameter_of_the_pose_net():
    torch.manual_seed(0)
    net = PoseNet()
    net(_scene(channels=6)).sum().backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not net.pose.weight.grad[6:].any(), "the second six channels are the unused pose"


@pytest.mark.parametrize("unit", [1.0, 5.4])
def test_a_pose_net_that_starts_forward_brings_what_is_ahead_nearer(unit):
    torch.manual_seed(0)
    pose = PoseNet(unit=unit, forward=0.5).eval()(_scene(channels=6))
    later_from_earlier = transform_from_axis_angle(pose[:, :3], pose[:, 3:])
    ahead = later_from_earlier @ torch.tensor([0.0, 0.0, 10.0, 1.0])
    torch.testing.assert_close(ahead[:, :3], torch.tensor([[0.0, 0.0, 9.5]]).expand(len(ahead), 3), atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", ["depth", "pose"])
def test_outputs_stay_float32_under_autocast(kind):
    torch.manual_seed(0)
    net = build_depth_net("resnet") if kind == "depth" else PoseNet()
    image = _scene(channels=3 if kind == "depth" else 6)
    with torch.autocast("cpu", torch.bfloat16):
        output = net(image)
    output = output.disparities[0] if isinstance(output, DepthOutput) else output
    assert output.dtype == torch.float32
    conv = Float32Conv2d(4, 1, 1)
    features = torch.rand(1, 4, 3, 3)
    expected = conv(features)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(conv(features), expected)


def test_compiles_without_a_graph_break_and_keeps_channels_last(net):
    net.eval()
    image = _scene()
    with torch.no_grad():
        expected = net(image).disparities
        compiled = torch.compile(net, backend="eager", fullgraph=True)(image).disparities
        channels_last = net.to(memory_format=torch.channels_last)(
            image.to(memory_format=torch.channels_last)
        ).disparities
    net.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(channels_last, expected, atol=1e-4, rtol=1e-3)  # another order of summation


def test_traces_without_a_frozen_decision(net):
    class Finest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net.eval()

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.net(image).disparities[0]

    with torch.no_grad():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", torch.jit.TracerWarning)
            traced = torch.jit.trace(Finest(), _scene(), check_trace=False)
        assert not [w for w in caught if "networks" in w.filename], "PyTorch's own group norm warns too"
        other = _scene(96, 128, batch=1)
        torch.testing.assert_close(traced(other), net(other).disparities[0])


@pytest.mark.parametrize("shape", [(1, 3, 64, 100), (1, 3, 72, 96), (1, 1, 64, 96), (3, 64, 96), (1, 3, 0, 64)])
def test_a_wrong_shape_is_refused_at_the_door(net, shape):
    with pytest.raises(ValueError, match=r"expected (height and width|an image).* got .*\d"):
        net(torch.zeros(shape))


def test_smallest_images():
    with pytest.raises(ValueError, match="at least 64, got 32x64"):
        _on_meta("resnet")(torch.empty(1, 3, 32, 64, device="meta"))
    assert _on_meta("packnet_slim")(torch.empty(1, 3, 32, 32, device="meta")).disparities[3].shape == (1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"expected an image \(B,6,H,W\)"):
        PoseNet()(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("name", ["resnet", "packnet_slim"])
def test_an_untrained_net_predicts_about_the_initial_disparity(name):
    torch.manual_seed(0)
    net = build_depth_net(name).eval()
    set_initial_disparity(net, 0.05)
    with torch.no_grad():
        disparities = net(_scene()).disparities
    assert all(0.02 < disparity.median() < 0.12 for disparity in disparities)


def test_a_net_without_heads_cannot_be_given_an_initial_disparity():
    with pytest.raises(ValueError, match="Sequential has no `heads`"):
        set_initial_disparity(nn.Sequential(nn.Conv2d(3, 1, 3)), 0.05)


def test_unknown_names_list_the_choices():
    with pytest.raises(UserError, match="unknown depth network 'vgg'; choose one of: resnet, packnet, packnet_slim"):
        build_depth_net("vgg")
    with pytest.raises(UserError, match="unknown encoder 'resnet20'; did you mean .*resnet50"):
        build_depth_net("resnet", "resnet20")

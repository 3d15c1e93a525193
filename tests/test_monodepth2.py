"""Original Monodepth2 folders: same outputs as an independent reading of the layout, and clear errors."""

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from depth.build import load_trained
from depth.monodepth2 import is_monodepth2_folder, load_monodepth2
from depth.networks import build_depth_net, build_pose_net
from depth.types import UserError

RESNETS = {18: models.resnet18, 50: models.resnet50}
WIDTHS = {18: (64, 64, 128, 256, 512), 50: (64, 256, 512, 1024, 2048)}


class Encoder(nn.Module):
    """`encoder.` + torchvision's names."""

    def __init__(self, num_layers: int, images: int) -> None:
        super().__init__()
        self.encoder = RESNETS[num_layers]()
        self.encoder.conv1 = nn.Conv2d(3 * images, 64, 7, 2, 3, bias=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        net, maps = self.encoder, []
        maps.append(net.relu(net.bn1(net.conv1((x - 0.45) / 0.225))))
        maps.append(net.layer1(net.maxpool(maps[0])))
        for layer in (net.layer2, net.layer3, net.layer4):
            maps.append(layer(maps[-1]))
        return maps


class Named(nn.Module):
    """Puts a module under the name `conv`."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv


class Decoder(nn.Module):
    """`decoder.0` .. `decoder.13`: the two convolutions of level 4, 3, 2, 1, 0, then the heads of scale 0..3."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        below = widths[4]
        for out, skip in ((256, widths[3]), (128, widths[2]), (64, widths[1]), (32, widths[0]), (16, 0)):
            modules += [Named(Named(nn.Conv2d(below, out, 3))), Named(Named(nn.Conv2d(out + skip, out, 3)))]
            below = out
        modules += [Named(nn.Conv2d(width, 1, 3)) for width in (16, 32, 64, 128)]
        self.decoder = nn.ModuleList(modules)

    def forward(self, maps: list[Tensor]) -> dict[int, Tensor]:
        pad, x, found = nn.ReflectionPad2d(1), maps[4], {}
        for step in range(5):
            x = nn.functional.elu(self.decoder[2 * step].conv.conv(pad(x)))
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            if step < 4:
                x = torch.cat([x, maps[3 - step]], 1)
            x = nn.functional.elu(self.decoder[2 * step + 1].conv.conv(pad(x)))
            if step >= 1:
                scale = 4 - step
                found[scale] = self.decoder[10 + scale].conv(pad(x)).sigmoid()
        return found


class Pose(nn.Module):
    """`net.0` .. `net.3`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        middle = [nn.Conv2d(256, 256, 3, 1, 1) for _ in range(2)]
        self.net = nn.ModuleList([nn.Conv2d(width, 256, 1), *middle, nn.Conv2d(256, 12, 1)])

    def forward(self, x: Tensor) -> Tensor:
        for conv in list(self.net)[:3]:
            x = conv(x).relu()
        return 0.01 * self.net[3](x).mean(3).mean(2)[:, :6]


def _shake(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Gives the norms running statistics and gains as training does, and keeps the activations moderate."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.3, 0.7, generator=generator)
            part.bias.data.uniform_(-0.2, 0.2, generator=generator)
            part.running_mean.uniform_(-0.2, 0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


def _write(folder: Path, num_layers: int, pose_num_layers: int) -> tuple[nn.Module, ...]:
    """Saves a folder as the original code does; classifier entries are in it, as in the published ones."""
    torch.manual_seed(num_layers)
    generator = torch.Generator().manual_seed(num_layers)
    encoder, decoder = Encoder(num_layers, 1), Decoder(WIDTHS[num_layers])
    pose_encoder, pose = Encoder(pose_num_layers, 2), Pose(WIDTHS[pose_num_layers][-1])
    parts = tuple(_shake(part, generator) for part in (encoder, decoder, pose_encoder, pose))
    folder.mkdir(exist_ok=True)
    scalars = {"height": 192, "width": 640, "use_stereo": num_layers == 50}
    torch.save({**encoder.state_dict(), **scalars}, folder / "encoder.pth")
    for name, part in (("depth", decoder), ("pose_encoder", pose_encoder), ("pose", pose)):
        torch.save(part.state_dict(), folder / f"{name}.pth")
    return parts


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    _write(folder, 18, 18)
    return folder


@pytest.fixture
def folder(original, tmp_path) -> Path:
    """A folder of links; a test replaces the file it wants to spoil."""
    for file in original.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def _spoil(file: Path, change) -> None:
    state = dict(torch.load(file, weights_only=True))
    change(state)
    file.unlink()
    torch.save(state, file)


@pytest.mark.parametrize(("num_layers", "pose_num_layers"), [(18, 18), (50, 18), (50, 50)])
def test_outputs_equal_those_of_the_original_layout(tmp_path, num_layers, pose_num_layers):
    encoder, decoder, pose_encoder, pose = _write(tmp_path, num_layers, pose_num_layers)
    found = load_monodepth2(tmp_path)
    assert (found.num_layers, found.pose_num_layers) == (num_layers, pose_num_layers)
    assert (found.height, found.width, found.use_stereo) == (192, 640, num_layers == 50)
    depth_net = build_depth_net("resnet", found.num_layers).eval()
    pose_net = build_pose_net(num_layers=found.pose_num_layers).eval()
    depth_net.load_state_dict(found.depth)
    pose_net.load_state_dict(found.pose)
    pair = torch.rand(2, 6, 96, 160, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = decoder(encoder(pair[:, :3]))
        disparities = depth_net(pair[:, :3]).disparities
        expected_pose, found_pose = pose(pose_encoder(pair)[-1]), pose_net(pair)
    for scale, disparity in enumerate(disparities):
        assert expected[scale].std() > 1e-3, "the oracle must not be constant"
        torch.testing.assert_close(disparity, expected[scale], atol=1e-5, rtol=0)
    assert expected_pose.abs().min() > 1e-7
    torch.testing.assert_close(found_pose, expected_pose, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(("num_layers", "metres"), [(18, 1.0), (50, 5.4)])
def test_translations_of_a_stereo_folder_are_metres(tmp_path, num_layers, metres):
    _, _, pose_encoder, pose = _write(tmp_path, num_layers, 18)  # 50 is written as trained with stereo
    pair = torch.rand(1, 6, 96, 160, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected, found = pose(pose_encoder(pair)[-1])[0], load_trained(tmp_path).pose_net(pair)[0]
    torch.testing.assert_close(found[:3], expected[:3], atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(found[3:], metres * expected[3:], atol=1e-6, rtol=1e-3)


def test_a_folder_without_pose_files_has_no_pose(folder):
    (folder / "pose.pth").unlink()
    (folder / "pose_encoder.pth").unlink()
    found = load_monodepth2(folder)
    assert found.pose is None
    assert found.pose_num_layers is None
    assert found.use_stereo is False


def test_classifier_entries_are_optional(folder):
    _spoil(folder / "encoder.pth", lambda s: [s.pop(key) for key in ("encoder.fc.weight", "encoder.fc.bias")])
    assert not [key for key in load_monodepth2(folder).depth if "fc" in key]


def test_folders_are_recognised(folder, tmp_path_factory):
    assert is_monodepth2_folder(folder)
    (folder / "depth.pth").unlink()
    assert is_monodepth2_folder(folder), "the reader then says what is missing"
    other = tmp_path_factory.mktemp("other")
    (other / "last.pt").touch()
    assert not is_monodepth2_folder(other)
    assert not is_monodepth2_folder(other / "absent")


@pytest.mark.parametrize("name", ["encoder.pth", "depth.pth", "pose_encoder.pth", "pose.pth"])
def test_an_absent_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        load_monodepth2(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("encoder.pth", lambda s: s.pop("height"), "encoder.pth has no entry height"),
        ("encoder.pth", lambda s: s.update(width=641), "encoder.pth: width is 641, not a positive multiple of 32"),
        ("encoder.pth", lambda s: s.update(height=True), "encoder.pth: height is True"),
        ("encoder.pth", lambda s: s.update(use_stereo=3), "encoder.pth: use_stereo is 3, not True or False"),
        ("encoder.pth", lambda s: s.pop("encoder.layer3.1.bn2.bias"), "no tensor encoder.layer3.1.bn2.bias"),
        ("encoder.pth", lambda s: s.update(epoch=7), "unknown entry epoch"),
        ("encoder.pth", lambda s: s.update({"encoder.bn1.bias": 1.5}), "no tensor encoder.bn1.bias"),
        ("encoder.pth", lambda s: [s.pop(k) for k in [*s] if "layer4.1" in k], r"encoder.pth .*\(2, 2, 2, 1\) blocks"),
        ("depth.pth", lambda s: s.pop("decoder.13.conv.bias"), "depth.pth has no tensor decoder.13.conv.bias"),
        (
            "depth.pth",
            lambda s: s.update({"decoder.14.conv.bias": torch.zeros(1)}),
            "unknown entry decoder.14.conv.bias",
        ),
        (
            "depth.pth",
            lambda s: s.update({"decoder.10.conv.weight": torch.zeros(5, 16, 3, 3)}),
            r"decoder.10.conv.weight has shape \(5, 16, 3, 3\), expected \(1, 16, 3, 3\)",
        ),
        (
            "pose_encoder.pth",
            lambda s: s.update({"encoder.conv1.weight": torch.zeros(64, 3, 7, 7)}),
            r"pose_encoder.pth: encoder.conv1.weight has shape \(64, 3, 7, 7\), expected \(64, 6, 7, 7\)",
        ),
        ("pose.pth", lambda s: s.pop("net.2.weight"), "pose.pth has no tensor net.2.weight"),
        ("pose.pth", lambda s: s.clear(), "pose.pth has no tensor net.0.weight"),
    ],
)
def test_an_odd_entry_is_named_with_its_file(folder, name, change, message):
    _spoil(folder / name, change)
    with pytest.raises(UserError, match=message) as caught:
        load_monodepth2(folder)
    assert "\n" not in str(caught.value)
    assert str(folder / name) in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_files_are_named(folder):
    """Cut short, overwritten or foreign: always one line, whatever the unpickler says."""
    file = folder / "encoder.pth"
    whole = file.read_bytes()
    draw = random.Random(0)
    file.unlink()
    damaged = [b"", b"hello", b"\x80\x02]q\x00.", whole[:-1], bytes(1000)]
    damaged += [whole[: draw.randrange(len(whole))] for _ in range(5)]
    damaged += [draw.randbytes(draw.randrange(1, 300)) for _ in range(100)]
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"encoder\.pth ") as caught:
            load_monodepth2(folder)
        assert "\n" not in str(caught.value)
    torch.save([1, 2], file)
    with pytest.raises(UserError, match="encoder.pth is not a Monodepth2 file"):
        load_monodepth2(folder)


def test_a_file_cannot_run_code(folder):
    file = folder / "depth.pth"
    file.unlink()
    torch.save({"decoder.0": Path("x")}, file)
    with pytest.raises(UserError, match="depth.pth is damaged or not a file of weights"):
        load_monodepth2(folder)

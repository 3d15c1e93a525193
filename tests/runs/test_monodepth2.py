"""Original Monodepth2 folders: same outputs as an independent reading of the layout, and clear errors."""

import random
from pathlib import Path

import pytest
import torch

from depth.networks import build_depth_net
from depth.networks.pose_net import PoseNet
from depth.runs.monodepth2 import is_monodepth2_folder, load_monodepth2, load_monodepth2_poses
from depth.trained import load_trained
from depth.types import UserError
from tests.original_layout import write_original


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_original(folder, 18, 18)
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
    encoder, decoder, pose_encoder, pose = write_original(tmp_path, num_layers, pose_num_layers)
    found, poses = load_monodepth2(tmp_path), load_monodepth2_poses(tmp_path)
    assert (found.num_layers, poses.num_layers) == (num_layers, pose_num_layers)
    assert found.scales == (0, 1, 2, 3)
    assert (found.height, found.width, found.use_stereo) == (192, 640, num_layers == 50)
    depth_net = build_depth_net("resnet", f"resnet{found.num_layers}").eval()
    pose_net = PoseNet(f"resnet{poses.num_layers}").eval()
    depth_net.load_state_dict(found.depth)
    pose_net.load_state_dict(poses.weights)
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


@pytest.mark.parametrize(("num_layers", "metres"), [(18, None), (50, 5.4)])
def test_translations_have_the_unit_of_the_depths(tmp_path, num_layers, metres):
    """Both are multiplied by `unit_factor` where metres are asked for, and once."""
    _, _, pose_encoder, pose = write_original(tmp_path, num_layers, 18)  # 50 is written as trained with stereo
    pair = torch.rand(1, 6, 96, 160, generator=torch.Generator().manual_seed(3))
    trained = load_trained(tmp_path)
    with torch.no_grad():
        expected, found = pose(pose_encoder(pair)[-1])[0], trained.pose_net(pair)[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-3)
    assert (trained.unit_factor if trained.metres_from else None) == metres


def test_a_folder_without_pose_files_has_no_pose(folder):
    (folder / "pose.pth").unlink()
    (folder / "pose_encoder.pth").unlink()
    assert load_monodepth2(folder).use_stereo is False
    assert load_monodepth2_poses(folder) is None and load_trained(folder).pose_net is None


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


def read_all(folder):
    load_monodepth2(folder)
    load_monodepth2_poses(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("encoder.pth", "encoder.pth is missing"),
        ("depth.pth", "depth.pth is missing"),
        ("pose_encoder.pth", "pose.pth has no pose_encoder.pth beside it: its kind, shared or posecnn, is not read"),
        ("pose.pth", "pose.pth is missing"),
    ],
)
def test_an_absent_file_is_named(folder, name, message):
    (folder / name).unlink()
    with pytest.raises(UserError, match=message):
        read_all(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("encoder.pth", lambda s: s.pop("height"), "encoder.pth has no entry height"),
        ("encoder.pth", lambda s: s.update(width=641), "encoder.pth: width is 641, not a positive multiple of 32"),
        ("encoder.pth", lambda s: s.update(height=True), "encoder.pth: height is True"),
        ("encoder.pth", lambda s: s.update(use_stereo=3), "encoder.pth: use_stereo is 3, not True or False"),
        ("encoder.pth", lambda s: s.pop("encoder.layer3.1.bn2.bias"), "no tensor encoder.layer3.1.bn2.bias"),
        ("encoder.pth", lambda s: s.update(extra=torch.zeros(1)), "unknown entry extra"),
        ("encoder.pth", lambda s: s.update({"encoder.bn1.bias": 1.5}), "no tensor encoder.bn1.bias"),
        ("encoder.pth", lambda s: [s.pop(k) for k in [*s] if "layer4.1" in k], r"encoder.pth .*\(2, 2, 2, 1\) blocks"),
        ("depth.pth", lambda s: s.pop("decoder.13.conv.bias"), "depth.pth has no tensor decoder.13.conv.bias"),
        ("depth.pth", lambda s: s.pop("decoder.10.conv.weight"), "depth.pth has no head of scale 0"),
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
        read_all(folder)
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

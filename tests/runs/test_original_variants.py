"""Original folders as users have them: other scales, other pose networks, wrapped tables, entries of others."""

import shutil

import pytest
import torch
from torch import nn

from depth.networks import build_depth_net
from depth.networks.pose_net import PoseNet
from depth.objective import SelfSupervisedObjective
from depth.options.evaluate import PoseOptions
from depth.prediction.api import load_model
from depth.runs.monodepth2 import load_monodepth2, load_monodepth2_poses
from depth.trained import load_into, load_trained
from depth.types import UserError
from evaluate_pose import evaluate
from tests.kitti_layout import write_odometry
from tests.original_layout import write_original
from tests.tiny_run import save_run

IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(3))
SCALARS = ("height", "width", "use_stereo")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    write_original(folder, 18, 18)
    return folder


@pytest.fixture(scope="module")
def expected(original):
    """What the whole folder gives for the fixed image."""
    return finest(original)


@pytest.fixture
def folder(original, tmp_path):
    shutil.copytree(original, tmp_path / "mono")
    return tmp_path / "mono"


def change(file, function):
    torch.save(function(torch.load(file, weights_only=True)), file)


def finest(folder):
    """The disparity that is looked at, of a fixed image."""
    with torch.no_grad():
        return load_trained(folder).depth_net(IMAGE).disparities[0]


@pytest.mark.parametrize("scales", [(0,), (0, 1, 2), (0, 2), (3, 0)])
def test_a_folder_trained_with_some_scales_loads_the_head_that_is_used(original, expected, folder, scales):
    """The heads are numbered from 10 on in the order of --scales; each is told by its channels."""

    def some(state):
        kept = {name: value for name, value in state.items() if int(name.split(".")[1]) < 10}
        for place, scale in enumerate(scales):
            for end in ("weight", "bias"):
                kept[f"decoder.{10 + place}.conv.{end}"] = state[f"decoder.{10 + scale}.conv.{end}"]
        return kept

    change(folder / "depth.pth", some)
    assert load_monodepth2(folder).scales == scales
    assert torch.equal(finest(folder), expected)
    (note,) = load_trained(folder).notes
    assert note.endswith(f"the scales {', '.join(str(s) for s in range(4) if s not in scales)}: they start anew")
    whole, found = load_trained(original), load_trained(folder)
    assert whole.notes == ()
    for scale, (head, other) in enumerate(
        zip(found.depth_net.decoder.heads, whole.depth_net.decoder.heads, strict=True)
    ):
        assert torch.equal(head.weight, other.weight) == (scale in scales)


def with_prefix(prefix):
    return lambda state: {name if name in SCALARS else prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        with_prefix("module."),
        with_prefix("module._orig_mod."),
        lambda state: {"state_dict": state},
        lambda state: {"model_state_dict": state, "epoch": 3},
        lambda state: {"state_dict": {"model": with_prefix("module.")(state)}, "optimizer": {"lr": 1e-4}},
        lambda state: (
            {"state_dict": {n: v for n, v in state.items() if n not in SCALARS}}
            | {name: state[name] for name in SCALARS if name in state}
        ),
        lambda state: state | {"epoch": 7, "version": "1.0"},
        lambda state: {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")},
    ],
)
def test_wrappers_are_taken_off_and_entries_that_are_no_weights_left_alone(original, expected, folder, wrap):
    for file in folder.iterdir():
        change(file, wrap)
    assert torch.equal(finest(folder), expected)
    pair = torch.rand(1, 6, 64, 96, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        assert torch.equal(load_trained(folder).pose_net(pair), load_trained(original).pose_net(pair))


def test_names_of_which_some_only_begin_alike_are_not_cut(folder):
    change(folder / "depth.pth", lambda s: {("module." if "10" in n else "") + n: v for n, v in s.items()})
    with pytest.raises(UserError, match="depth.pth has no head of scale 0"):
        load_monodepth2(folder)


def posecnn(folder):
    (folder / "pose_encoder.pth").unlink()
    torch.save(
        {"net.0.weight": torch.zeros(16, 6, 7, 7), "pose_conv.weight": torch.zeros(6, 256, 1, 1)}, folder / "pose.pth"
    )


def three_images(folder):
    change(folder / "pose_encoder.pth", lambda s: s | {"encoder.conv1.weight": torch.zeros(64, 9, 7, 7)})


def damaged(folder):
    (folder / "pose.pth").write_bytes(b"no file of weights")


def absent(folder):
    (folder / "pose.pth").unlink()
    (folder / "pose_encoder.pth").unlink()


POSES = {
    "another kind": (posecnn, "its kind, shared or posecnn, is not read"),
    "of three images": (three_images, r"conv1.weight has shape \(64, 9, 7, 7\)"),
    "damaged": (damaged, "pose.pth is damaged"),
    "none": (absent, "no pose network|has none"),
}


@pytest.mark.parametrize(("spoil", "message"), POSES.values(), ids=POSES)
def test_depth_needs_no_poses_and_who_asks_for_them_is_told(expected, folder, tmp_path, spoil, message):
    spoil(folder)
    assert torch.equal(finest(folder), expected)
    load_model(folder, device="cpu")
    root = write_odometry(tmp_path / "kitti")
    (root / "poses").mkdir()
    (root / "poses" / "09.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {frame}\n" for frame in range(3)))
    (tmp_path / "09.txt").write_text("09 l 0-2\n")
    with pytest.raises(UserError, match=message):
        evaluate(
            PoseOptions(
                data_path=str(root), eval_split=str(tmp_path / "09.txt"), load_weights_folder=str(folder), device="cpu"
            )
        )
    objective = SelfSupervisedObjective(build_depth_net("resnet", "resnet18"), PoseNet(), {"photometric": 1.0})
    before = [value.clone() for value in objective.pose_net.state_dict().values()]
    (line,) = load_into(objective, folder)
    assert line.startswith("the pose network starts anew: ")
    assert all(map(torch.equal, before, objective.pose_net.state_dict().values()))
    with torch.no_grad():
        assert torch.equal(objective.depth_net.eval()(IMAGE).disparities[0], expected)


def test_a_start_with_stereo_alone_asks_for_no_poses(folder):
    posecnn(folder)
    objective = SelfSupervisedObjective(build_depth_net("resnet", "resnet18"), None, {"photometric": 1.0})
    assert load_into(objective, folder) == []


def test_poses_of_a_run_are_asked_for_only_where_they_are_used(tmp_path, monkeypatch):
    """A run's own, too: its pose network may need a package that depth does not."""
    run = save_run(tmp_path / "run")

    def refuse(*_):
        raise UserError("--pose_encoder needs timm")

    monkeypatch.setattr("depth.trained.build_pose_net", refuse)
    trained = load_trained(run)
    assert isinstance(trained.depth_net, nn.Module)
    with pytest.raises(UserError, match="needs timm"):
        trained.pose_net  # noqa: B018
    monkeypatch.undo()
    assert trained.pose_net is trained.pose_net and not trained.pose_net.training


def test_all_poses_are_there_as_before(original):
    assert load_monodepth2_poses(original).num_layers == 18
    objective = SelfSupervisedObjective(build_depth_net("resnet", "resnet18"), PoseNet(), {"photometric": 1.0})
    assert load_into(objective, original) == []
    assert torch.equal(objective.pose_net.pose.weight, load_trained(original).pose_net.pose.weight)

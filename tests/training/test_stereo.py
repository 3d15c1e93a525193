"""Stereo and mono + stereo: the sign and length of the baseline, mirrored samples, training, metric evaluation."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from datasets.core.augment import prepare
from datasets.core.frames import FrameDataset, collate
from datasets.core.splits import load_split
from datasets.kitti.ground_truth import DepthMapGroundTruth
from datasets.kitti.layout import KittiRaw
from datasets.world.making import WorldSpec, ensure_world
from depth.build import build_objective
from depth.evaluation.metrics import Scaling
from depth.geometry import disparity_to_depth
from depth.objective import PhotometricOptions, SelfSupervisedObjective
from depth.options.config import MONO_DEPTH_RANGE, Config, resolved
from depth.options.data import DataOptions
from depth.options.evaluate import EvaluationOptions
from depth.options.log import LogOptions
from depth.options.network import NetworkOptions
from depth.options.train import TrainOptions
from depth.runs.checkpoint import load_checkpoint
from depth.support.distributed import Process
from depth.types import DepthOutput
from evaluate_depth import evaluate
from train import train

HEIGHT, WIDTH = 64, 96
RANGE = (0.54, 540.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    spec = WorldSpec(height=HEIGHT, width=WIDTH, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=4)
    return ensure_world(tmp_path_factory.mktemp("world"), spec)


def config_for(world, log_dir="runs", *, frame_ids=(0,), steps=2):
    return Config(
        data=DataOptions(
            data_path=str(world), dataset="synthetic", height=HEIGHT, width=WIDTH, frame_ids=frame_ids,
            use_stereo=True, num_workers=0,
        ),
        train=TrainOptions(batch_size=2, max_steps=steps, device="cpu"),
        log=LogOptions(log_dir=str(log_dir), model_name="run", log_frequency=1),
    )  # fmt: skip


class _TrueDepth(nn.Module):
    """A depth network that knows the answer, (B,1,H,W) metres."""

    def __init__(self, depth):
        super().__init__()
        low, high = RANGE
        inverse = 1 / depth.clamp(*RANGE)
        self.disparity = (inverse - 1 / high) / (1 / low - 1 / high)

    def forward(self, image):
        return DepthOutput((self.disparity,))


def photometric(batch, depth, factor):
    """The photometric loss at the true depth, the other camera moved to `factor` times its place."""
    moved = batch.stereo_from_target.clone()
    moved[:, :3, 3] *= factor
    options = PhotometricOptions(*RANGE, scales=(0,), automask=False)
    objective = SelfSupervisedObjective(_TrueDepth(depth), None, {"photometric": 1.0}, options)
    return objective(replace(batch, stereo_from_target=moved)).loss.item()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("side", ["l", "r"])
def test_true_depth_explains_the_other_camera_at_the_true_baseline(world, side, mirrored):
    source, refs = KittiRaw(world), [r for r in load_split(world / "splits", "train") if r.side == side]
    samples = FrameDataset(source, refs, HEIGHT, WIDTH, (), use_stereo=True, augment=False)
    raw = collate([samples[i] for i in range(len(refs))])
    batch = prepare(replace(raw, flip=torch.full_like(raw.flip, mirrored)), "cpu")
    truth = DepthMapGroundTruth(source)
    depth = torch.stack([torch.from_numpy(truth(ref).dense()) for ref in refs])[:, None]
    # Sky is 0 in the depth map.
    depth = torch.where(depth > 0, depth, depth.new_tensor(RANGE[1]))
    depth = depth.flip(3) if mirrored else depth
    assert batch.offsets == (0,)
    baseline = batch.stereo_from_target[:, 0, 3]
    assert torch.allclose(baseline.abs(), torch.tensor(0.54))
    # The right camera sees a point further left: x falls by the baseline; in the mirror, the other way round.
    assert (baseline < 0).all() == ((side == "l") != mirrored)
    right = photometric(batch, depth, 1.0)
    for wrong in (-1.0, 0.0, 0.7, 1.4):
        assert right < 0.4 * photometric(batch, depth, wrong), wrong  # 0.10 to 0.34 of it


def test_the_depth_range_of_stereo_is_in_metres():
    plain, stereo = resolved(Config()), resolved(Config(data=DataOptions(use_stereo=True)))
    assert (plain.network.min_depth, plain.network.max_depth) == (0.1, 100.0)
    assert (stereo.network.min_depth, stereo.network.max_depth) == RANGE
    given = resolved(Config(data=DataOptions(use_stereo=True), network=NetworkOptions(max_depth=80.0)))
    assert (given.network.min_depth, given.network.max_depth) == (0.54, 80.0)


def test_translations_are_counted_in_the_unit_of_the_depth_range(world):
    """Monodepth2's unit is a baseline of 0.1, ours the metre: the same network means 5.4 times the translation."""
    poses = []
    for use_stereo in (False, True):
        config = config_for(world, frame_ids=(0, -1, 1))
        config = replace(config, network=NetworkOptions(initial_forward=0.0))
        config = resolved(replace(config, data=replace(config.data, use_stereo=use_stereo)))
        torch.manual_seed(0)
        pose_net = build_objective(config).pose_net.eval()
        with torch.no_grad():
            poses.append(pose_net(torch.linspace(0, 1, 6 * 64 * 96).view(1, 6, 64, 96))[0])
    assert poses[0].abs().min() > 0
    torch.testing.assert_close(poses[1][:3], poses[0][:3], rtol=1e-5, atol=0)
    torch.testing.assert_close(poses[1][3:], 5.4 * poses[0][3:], rtol=1e-5, atol=0)


@pytest.mark.parametrize("use_stereo", [False, True])
def test_the_first_motion_is_a_share_of_the_first_depth(world, use_stereo):
    config = config_for(world, frame_ids=(0, -1, 1))
    config = replace(config, network=NetworkOptions(num_layers=18, initial_forward=0.2, initial_disparity=0.1))
    config = resolved(replace(config, data=replace(config.data, use_stereo=use_stereo)))
    low, high = (0.54, 540.0) if use_stereo else (0.05, 50.0)
    depth = 1 / (1 / high + (1 / low - 1 / high) * 0.1)  # at the first disparity
    objective = build_objective(config).eval()
    with torch.no_grad():
        pair = torch.linspace(0, 1, 6 * 64 * 96).view(1, 6, 64, 96)
        # Over six starts the motion was within 0.4 % of its share, the disparity within 4.2 %.
        assert -objective.pose_net(pair)[0, 5].item() / depth == pytest.approx(0.2, rel=0.01)
        assert objective.depth_net(pair[:, :3]).disparities[0].median().item() == pytest.approx(0.1, rel=0.08)


def test_a_fresh_network_looks_into_the_other_image(world):
    """A sigmoid starts at 0.5. At Monodepth2's range of 0.1 to 100, in metres, that is 0.2 m, whose place in the other
    image lies more than a width away, where border padding leaves no gradient; at 0.54 to 540 it is 1.08 m."""
    ref = load_split(world / "splits", "train")[0]
    source = KittiRaw(world)
    focal, baseline = source.intrinsics(ref)[0][0, 0], abs(source.stereo_from(ref)[0, 3])
    network = resolved(config_for(world)).network
    shift = {}
    for name, limits in {"stereo": (network.min_depth, network.max_depth), "mono": MONO_DEPTH_RANGE}.items():
        shift[name] = focal * baseline / disparity_to_depth(torch.tensor(0.5), *limits).item() / WIDTH
    assert shift["stereo"] == pytest.approx(0.58 * 0.54 / 1.08, rel=0.01)
    assert shift["stereo"] < 0.5 and shift["mono"] > 1


def test_the_other_camera_comes_after_the_sources_in_time(world):
    source, refs = KittiRaw(world), load_split(world / "splits", "train")
    samples = FrameDataset(source, refs, HEIGHT, WIDTH, (-1, 1), use_stereo=True, augment=False)
    batch = prepare(collate([samples[0], samples[1]]), "cpu")
    objective = build_objective(resolved(config_for(world, frame_ids=(0, -1, 1))))
    output = objective(batch)
    assert batch.offsets == (-1, 1, 0) and output.synthesized.shape[1] == 3
    assert torch.equal(output.source_from_target[:, 2], batch.stereo_from_target)
    output.loss.backward()
    assert any(p.grad.abs().sum() > 0 for p in objective.pose_net.parameters() if p.grad is not None)


@pytest.mark.parametrize("frame_ids", [(0,), (0, -1, 1)])
def test_training_and_metric_evaluation(world, tmp_path, frame_ids):
    assert train(config_for(world, tmp_path, frame_ids=frame_ids), Process(0, 1, torch.device("cpu")))
    run = tmp_path / "run"
    best = load_checkpoint(run / "checkpoints" / "best.pt")
    assert ("pose" in best["networks"]) == (frame_ids != (0,))
    options = EvaluationOptions(data_path=str(world), load_weights_folder=str(run), num_workers=0, device="cpu")
    flags = {"default": {}, "stereo": {"eval_stereo": True}, "mono": {"eval_mono": True}}
    results = {name: evaluate(replace(options, **flag)).result for name, flag in flags.items()}
    assert results["default"].scaling == results["stereo"].scaling == Scaling(median=False, factor=1.0)
    assert results["mono"].scaling.median
    assert results["default"].rows == results["stereo"].rows != results["mono"].rows
    for folder, median in (("evaluation_synthetic", False), ("evaluation_synthetic_median", True)):
        assert json.loads((run / folder / "metrics.json").read_text())["scaling"]["median"] is median

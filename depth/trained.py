"""Trained networks from the disk: of a run, of a checkpoint file, of an original Monodepth2 folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from depth.build import build_pose_net, with_attention
from depth.dejavu.attention import SharedAttention
from depth.networks import build_depth_net
from depth.networks.encoder_weights import SCRATCH
from depth.networks.pose_net import PoseNet
from depth.objective import SelfSupervisedObjective
from depth.options.config import MONO_DEPTH_RANGE, STEREO_UNIT
from depth.runs.checkpoint import CheckpointFacts, find_checkpoint, load_checkpoint, load_weights
from depth.runs.contents import config_of, network_of
from depth.runs.monodepth2 import is_monodepth2_folder, load_monodepth2, load_monodepth2_poses
from depth.types import UserError


@dataclass(frozen=True)
class TrainedModel:
    """Networks for inference and what is known of them."""

    depth_net: nn.Module  # in evaluation mode
    load_pose: Callable[[], nn.Module | None]  # see `pose_net`
    height: int  # rows of the network's input, pixels
    width: int
    min_depth: float  # depth at disparity 1, in the model's unit
    max_depth: float
    metres_from: str | None  # what gave its depths a unit in training; None where nothing did
    unit_factor: float  # metres per unit of such depths
    path: Path  # the file or folder
    record: dict[str, Any]  # config, dataset and versions as saved with the run; empty for an original folder
    checkpoint: CheckpointFacts  # which one of the run's it is
    notes: tuple[str, ...] = ()  # what a training that starts from it should know

    @cached_property
    def pose_net(self) -> nn.Module | None:
        """The pose network in evaluation mode, None where there is none. Made when it is asked for.

        Depth needs none. Raises UserError where it is damaged or of a kind that is not read.
        """
        pose_net = self.load_pose()
        return None if pose_net is None else pose_net.eval()


def load_trained(place: Path, choice: str = "last") -> TrainedModel:
    """Networks from a run, a checkpoint file or an original Monodepth2 folder.

    choice: which of a run's checkpoints, "last" or "best". Raises UserError where there is no such checkpoint, or it is
    damaged, or belongs to another network.
    """
    if place.is_dir() and is_monodepth2_folder(place):
        if choice != "last":
            raise UserError(f"--checkpoint_choice {choice}: {place} is an original Monodepth2 folder and has no choice")
        return _load_original(place)
    path = find_checkpoint(place, choice)
    return trained_from(load_checkpoint(path), path)


def trained_from(state: dict[str, Any], path: Path) -> TrainedModel:
    """The networks of a loaded checkpoint. Raises UserError as `load_trained`; `path` is named there."""
    config = config_of(state, path)
    weights, pose_weights = network_of(state, "depth"), network_of(state, "pose")
    if weights is None or config.tasks.labelled:
        several = " but one of several tasks: evaluate_dense.py evaluates it" if config.tasks.labelled else ""
        raise UserError(f"{path} holds no depth network{several}")
    network = config.network
    depth_net = build_depth_net(network.depth_net, network.depth_encoder)
    depth_net = with_attention(depth_net, config)
    load_weights(depth_net, weights, "depth network", path)

    def load_pose() -> nn.Module | None:
        if pose_weights is None:
            return None
        pose_net = build_pose_net(config, SCRATCH)
        load_weights(pose_net, pose_weights, "pose network", path)
        return pose_net

    return TrainedModel(
        depth_net=depth_net.eval(),
        load_pose=load_pose,
        height=config.data.height,
        width=config.data.width,
        min_depth=network.min_depth,
        max_depth=network.max_depth,
        metres_from=config.metres_from,
        unit_factor=1.0,
        path=path,
        record={name: state.get(name) for name in ("config", "dataset", "versions", "progress")},
        checkpoint=CheckpointFacts.of(state),
    )


def _load_original(folder: Path) -> TrainedModel:
    weights = load_monodepth2(folder)
    depth_net = build_depth_net("resnet", f"resnet{weights.num_layers}")
    # Heads of scales that it was not trained with are as in a new network; nobody looks at them but a training.
    load_weights(depth_net, depth_net.state_dict() | weights.depth, "depth network", folder)
    new = ", ".join(str(scale) for scale in range(4) if scale not in weights.scales)

    def load_pose() -> nn.Module | None:
        poses = load_monodepth2_poses(folder)
        if poses is None:
            return None
        pose_net = PoseNet(f"resnet{poses.num_layers}")  # in the unit of its depths, see unit_factor
        load_weights(pose_net, poses.weights, "pose network", folder)
        return pose_net

    return TrainedModel(
        depth_net=depth_net.eval(),
        load_pose=load_pose,
        height=weights.height,
        width=weights.width,
        min_depth=MONO_DEPTH_RANGE[0],
        max_depth=MONO_DEPTH_RANGE[1],
        metres_from="the other camera's baseline" if weights.use_stereo else None,
        # The original code trains stereo with a baseline of 0.1 where KITTI's is 0.54 m.
        unit_factor=STEREO_UNIT,
        path=folder,
        record={},
        checkpoint=CheckpointFacts("original Monodepth2", None, None, None),
        notes=(f"{folder} has no heads for the scales {new}: they start anew",) if new else (),
    )


def load_into(objective: SelfSupervisedObjective, place: Path) -> list[str]:
    """Starts an objective's networks from trained ones; returns lines about what starts anew all the same.

    Raises UserError where they do not fit.
    """
    trained = load_trained(place)
    depth_net = objective.depth_net
    if isinstance(depth_net, SharedAttention) and not isinstance(trained.depth_net, SharedAttention):
        depth_net = depth_net.base  # the attention begins as no change
    load_weights(depth_net, trained.depth_net.state_dict(), "depth network", trained.path)
    if objective.pose_net is None:
        return [*trained.notes]
    try:
        pose_net = trained.pose_net
    except UserError as error:
        return [*trained.notes, f"the pose network starts anew: {error}"]
    given = None if pose_net is None else pose_net.state_dict()
    return [*trained.notes, *load_pose_into(objective.pose_net, given, trained.path)]


def load_pose_into(pose_net: nn.Module, given: dict[str, Tensor] | None, path: Path) -> list[str]:
    """Starts a pose network from another's weights; returns a line where there are none.

    The head for the intrinsics is optional: it keeps its start where the other run had none, and is left out where this
    one has none. Raises UserError where the rest does not fit.
    """
    if given is None:
        return [f"the pose network starts anew: {path} has none"]
    own = pose_net.state_dict()
    head = {name: value for name, value in own.items() if name.startswith("intrinsics.")}
    given = {name: value for name, value in given.items() if name in own or not name.startswith("intrinsics.")}
    load_weights(pose_net, head | given, "pose network", path)
    return []

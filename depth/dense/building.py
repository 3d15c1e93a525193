"""The objective of several tasks from options, and trained networks of several tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth.build import (
    branch_weights,
    build_branch,
    build_perceptual,
    build_pose_net,
    build_text,
    photometric_options,
    weighs_perceptual,
)
from depth.dense.objective import DenseObjective
from depth.dense.tasks import build_dense_net, classes_of, tasks_of
from depth.networks.dense_net import DenseNet, DepthPart
from depth.options.config import Config
from depth.runs.checkpoint import CheckpointFacts, find_checkpoint, load_checkpoint, load_weights
from depth.runs.contents import config_of, network_of
from depth.runs.monodepth2 import is_monodepth2_folder
from depth.tasks.base import Task
from depth.trained import TrainedModel, load_pose_into, load_trained, trained_from
from depth.types import Classes, UserError


def build_dense_objective(config: Config, classes: dict[str, Any] | None) -> DenseObjective:
    """Network, tasks, losses and, with --dejavu, the branch.

    Args:
        config: resolved.
        classes: of the data set, as plain values, see `classes_of`; None where it has none.

    Raises UserError where weights cannot be had or an option does not fit.
    """
    options = config.tasks
    tasks = tasks_of(config, classes_of(classes))
    net = build_dense_net(config, tasks, config.network.encoder_weights)
    posed = options.video and config.data.poses == "network" and any(config.data.frame_ids)
    pose_net = build_pose_net(config, config.network.pose_encoder_weights) if posed else None
    weights = _weights(config, tasks)
    channels = sum(tasks[name].condition_channels for name in options.conditions)
    return DenseObjective(
        net,
        tasks,
        weights,
        options.labelled,
        video=options.video,
        conditions=options.conditions,
        balance=options.balance == "uncertainty",
        options=photometric_options(config),
        pose_net=pose_net,
        dejavu=build_branch(config, channels, normalise=False) if config.dejavu.dejavu else None,
        perceptual=build_perceptual(config) if weighs_perceptual(weights) else None,
        text=build_text(config) if weights.get("text") else None,
    )


def _weights(config: Config, tasks: dict[str, Task]) -> dict[str, float]:
    """Term -> weight, of labels, video and branch. A term that has no flag weighs 1."""
    terms = [term for task in tasks.values() for term in task.terms]
    weights = {name: getattr(config.tasks, f"{name}_weight", 1.0) for name in terms}
    speed = config.loss.speed_weight if config.loss.pose_scale == "speed" else 0.0
    weights |= {"photometric": 1.0, "smoothness": config.loss.disparity_smoothness, "speed": speed}
    return weights | branch_weights(config)


def load_dense_into(objective: DenseObjective, place: Path) -> list[str]:
    """Starts an objective's networks from trained ones of the same tasks; returns lines about what starts anew.

    Raises UserError where they do not fit.
    """
    state, path = _checkpoint(place)
    load_weights(objective.depth_net, dense_from(state, path).net.state_dict(), "network", path)
    if objective.pose_net is None:
        return []
    return load_pose_into(objective.pose_net, network_of(state, "pose"), path)


@dataclass(frozen=True)
class DenseModel:
    """A trained network of several tasks and what is known of it."""

    net: DenseNet  # in evaluation mode
    tasks: dict[str, Task]
    classes: Classes | None
    config: Config
    height: int  # rows of the network's input, pixels
    width: int
    path: Path  # the checkpoint
    record: dict[str, Any]  # config, dataset, classes, versions and progress as saved with the run
    checkpoint: CheckpointFacts  # which one of the run's it is


def load_any(place: Path, choice: str = "last") -> TrainedModel | DenseModel:
    """What a run, a checkpoint file or an original folder holds. Raises UserError as `load_trained`."""
    if place.is_dir() and is_monodepth2_folder(place):
        return load_trained(place, choice)
    state, path = _checkpoint(place, choice)
    return dense_from(state, path) if config_of(state, path).tasks.labelled else trained_from(state, path)


def load_depth(place: Path, choice: str = "last") -> TrainedModel:
    """A depth network, out of a network of several tasks too. Raises UserError as `load_trained`, and without depth."""
    model = load_any(place, choice)
    if isinstance(model, TrainedModel):
        return model
    if "depth" not in model.tasks:
        raise UserError(f"{model.path} was trained for {', '.join(model.tasks)}: it holds no depth")
    network, labelled = model.config.network, "depth" in model.config.tasks.labelled
    return TrainedModel(
        depth_net=DepthPart(model.net).eval(),
        load_pose=lambda: None,
        height=model.height,
        width=model.width,
        min_depth=network.min_depth,
        max_depth=network.max_depth,
        metres_from="depth labels" if labelled else model.config.metres_from,
        unit_factor=1.0,
        path=model.path,
        record={name: value for name, value in model.record.items() if name != "classes"},
        checkpoint=model.checkpoint,
    )


def load_dense(place: Path, choice: str = "last") -> DenseModel:
    """A network of several tasks from a run or a checkpoint file.

    choice: which of a run's checkpoints, "last" or "best". Raises UserError where there is no such checkpoint, or it is
    damaged, or of depth from video alone.
    """
    return dense_from(*_checkpoint(place, choice))


def _checkpoint(place: Path, choice: str = "last") -> tuple[dict[str, Any], Path]:
    path = find_checkpoint(place, choice)
    return load_checkpoint(path), path


def dense_from(state: dict[str, Any], path: Path) -> DenseModel:
    """The network of a loaded checkpoint. Raises UserError as `load_dense`; `path` is named there."""
    config = config_of(state, path)
    if not config.tasks.labelled:
        raise UserError(f"{path} was trained for depth from video alone: evaluate_depth.py evaluates it")
    try:
        classes = classes_of(state.get("classes"))
        tasks = tasks_of(config, classes)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    net = build_dense_net(config, tasks)
    load_weights(net, network_of(state, "dense"), "network", path)
    record = {name: state.get(name) for name in ("config", "dataset", "classes", "versions", "progress")}
    return DenseModel(
        net.eval(), tasks, classes, config, config.data.height, config.data.width, path, record,
        CheckpointFacts.of(state),
    )  # fmt: skip

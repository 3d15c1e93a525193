"""Config and a data set's classes -> tasks and the network that predicts them."""

from __future__ import annotations

from typing import Any

from depth.networks import set_initial_disparity
from depth.networks.dense_net import DenseNet
from depth.networks.encoder_weights import SCRATCH
from depth.networks.encoders import build_encoder
from depth.options.config import Config
from depth.tasks import build_tasks
from depth.tasks.base import Task
from depth.types import Classes, UserError


def tasks_of(config: Config, classes: Classes | None) -> dict[str, Task]:
    """The tasks that are predicted, by name. Raises UserError where one of them needs classes and there are none."""
    network, tasks = config.network, config.tasks
    if classes is None and "semantics" in tasks.predicted:
        raise UserError(f"--tasks {' '.join(tasks.tasks)} needs a data set with classes")
    return build_tasks(
        tasks.predicted,
        classes=classes,
        hardest=tasks.semantics_hardest,
        dejavu_classes=config.dejavu.dejavu_classes,
        depth_loss=tasks.depth_loss,
        min_depth=network.min_depth,
        max_depth=network.max_depth,
    )


def build_dense_net(config: Config, tasks: dict[str, Task], encoder_weights: str = SCRATCH) -> DenseNet:
    """The network of these tasks. Raises UserError where the encoder's weights cannot be had."""
    network = config.network
    heads = {name: task.channels for name, task in tasks.items() if name != "depth"}
    encoder = build_encoder(network.depth_encoder, weights=encoder_weights)
    normed = [name for name, task in tasks.items() if task.norm]
    net = DenseNet(encoder, heads, "depth" in tasks, config.tasks.shared_decoder, normed)
    if net.depth_decoder is not None and network.initial_disparity is not None:
        set_initial_disparity(net.depth_decoder, network.initial_disparity)
    return net


def classes_of(record: dict[str, Any] | None) -> Classes | None:
    """Classes from a run's record, as datasets.labelled_sets writes them. Raises UserError where it is malformed."""
    if record is None:
        return None
    try:
        names, things = tuple(map(str, record["names"])), tuple(map(bool, record["things"]))
        colours = tuple((int(r), int(g), int(b)) for r, g, b in record["colours"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the record of the classes is malformed: {type(error).__name__}: {error}") from None
    if not len(names) == len(things) == len(colours) > 0:
        raise UserError("the record of the classes is malformed: names, things and colours are not as many")
    return Classes(names, things, colours)

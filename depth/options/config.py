"""The options of training, in groups and with their defaults by dataset, and those of the two evaluations."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_type_hints

from depth.networks.encoder_weights import PRETRAINED, SCRATCH, package_of
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions, scheduled
from depth.options.fields import check, fits, printable, shown
from depth.options.log import LogOptions
from depth.options.loss import LossOptions
from depth.options.network import NetworkOptions
from depth.options.tasks import TaskOptions
from depth.options.train import TrainOptions


@dataclass(frozen=True)
class Config:
    """Options of train.py."""

    tasks: TaskOptions = field(default_factory=TaskOptions)
    data: DataOptions = field(default_factory=DataOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    dejavu: DejaVuOptions = field(default_factory=DejaVuOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    log: LogOptions = field(default_factory=LogOptions)

    def __post_init__(self) -> None:
        known = self.data.poses == "from_file"
        check(not (known and self.loss.pose_scale == "speed"), "--poses from_file has a scale: leave --pose_scale out")
        maps = bool(self.tasks.labelled) or self.loss.depth_supervision > 0
        alone = "--pitch_jitter turns no labels and no measured depth with the cameras: leave it out"
        check(not (self.data.pitch_jitter and maps), alone)
        temporal = len(self.data.frame_ids) > 1
        check(
            temporal or self.loss.pose_scale == "none", "--pose_scale speed needs sources in time: --frame_ids 0 -1 1"
        )

    @property
    def metres_from(self) -> str | None:
        """What gives depths their metres; None where nothing does."""
        sources = {
            "the other camera's baseline": self.data.use_stereo,
            "known poses": self.data.poses == "from_file",
            "speed": self.loss.pose_scale == "speed" and self.loss.speed_weight > 0,
            "sparse depth": self.loss.depth_supervision > 0,
        }
        return " and ".join(name for name, used in sources.items() if used) or None

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, fit for JSON."""
        return asdict(self)


def config_from_dict(values: dict[str, Any]) -> Config:
    """The inverse of `Config.to_dict`. Raises UserError on unknown groups, unknown options and bad values."""
    check(
        isinstance(values, dict) and all(isinstance(v, dict) for v in values.values()), "config: not a table of groups"
    )
    unknown = sorted(map(printable, set(values) - {group.name for group in fields(Config)}))
    check(not unknown, f"config: unknown group {', '.join(unknown)}")
    groups = {}
    for group in fields(Config):
        given = values.get(group.name, {})
        given = {_RENAMED.get((group.name, name), name): value for name, value in given.items()}
        known = {f.name: f for f in fields(group.default_factory)}
        unknown = sorted(map(printable, set(given) - set(known)))
        check(not unknown, f"config: unknown option {group.name}.{', '.join(unknown)}")
        given = _OLDER.get(group.name, {}) | given
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        hints = get_type_hints(group.default_factory)
        for name, value in given.items():
            check(fits(value, hints[name]), f"config: {group.name}.{name} cannot be {shown(value)}")
        groups[group.name] = group.default_factory(**given)
    return Config(**groups)


# Options of older records: (group, name) -> today's name.
_RENAMED = {("network", "weights_init"): "encoder_weights"}
# What a record that lacks an option was trained with, where that is not today's default.
_OLDER: dict[str, dict[str, Any]] = {"data": {"pitch_jitter": 0.0}}


_DATASET_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "kitti": {
        "data": {"height": 192, "width": 640},
        "network": {"initial_forward": 0.0},
        "train": {"batch_size": 12, "num_epochs": 20, "learning_rate": 1e-4, "lr_schedule": "step"},
    },
    "synthetic": {
        "data": {"height": 64, "width": 224},
        "network": {"initial_disparity": 0.05, "initial_forward": 0.06},
        "train": {"batch_size": 4, "num_epochs": 8, "learning_rate": 2e-4, "lr_schedule": "poly"},
    },
}


# Where labels teach. Sizes are near the sets' own, in multiples of 32; Cityscapes' is half of its own.
_LABELLED_WORLD = {
    "data": {"height": 128, "width": 416},
    "network": {"initial_disparity": 0.05, "initial_forward": 0.06},
    "train": {"batch_size": 8, "num_epochs": 9, "learning_rate": 1e-3, "lr_schedule": "poly"},
    "tasks": {"depth_loss": "log"},
}
_LABELLED_SIZES = {
    "camvid": (352, 480), "cityscapes": (512, 1024), "nyud": (416, 544), "ade20k": (480, 640),
    "coco_panoptic": (480, 640),
}  # fmt: skip
_LABELLED: dict[str, dict[str, Any]] = {
    "network": {"initial_forward": 0.0},
    "train": {"batch_size": 8, "num_epochs": 60, "learning_rate": 3e-4, "lr_schedule": "poly"},
    "tasks": {"depth_loss": "l1"},
}


# Godard et al., ICCV 2019. With stereo their unit is a baseline of 0.1; KITTI's is 0.54 m, so metres are 5.4 times it.
STEREO_UNIT = 5.4  # metres
MONO_DEPTH_RANGE = (0.1, 100.0)
STEREO_DEPTH_RANGE = (0.1 * STEREO_UNIT, 100.0 * STEREO_UNIT)
# After a short training from scratch the pose network's unit is some 14 m: 0.1 of it would cut off what is near.
WORLD_DEPTH_RANGE = (0.05, 50.0)
WORLD_PITCH = 2.2  # degrees; its cameras are mounted so differently
# Its ImageNet weights come with pip, so that a first run needs no download and does not start from scratch.
WORLD_ENCODER = "timm/tf_efficientnet_lite0"


def _defaults(config: Config) -> dict[str, dict[str, Any]]:
    """Group -> option -> what it is where it was not given."""
    dataset = config.data.dataset
    if not config.tasks.labelled:
        table = _DATASET_DEFAULTS["synthetic" if dataset == "synthetic" else "kitti"]
        scratch = dataset != "synthetic" and config.network.encoder_weights == SCRATCH
        return {**table, "train": table["train"] | {"num_epochs": 30}} if scratch else table
    if dataset == "synthetic":
        return _LABELLED_WORLD
    height, width = _LABELLED_SIZES.get(dataset, (192, 640))
    return {**_LABELLED, "data": {"height": height, "width": width}}


def resolved(config: Config) -> Config:
    """The config with every dataset-dependent None filled; `config.data.dataset` is the dataset really used."""
    table = _defaults(config)
    if config.train.lr_schedule is None and config.train.scheduler_step_size is not None:
        config = replace(config, train=replace(config.train, lr_schedule="step"))
    for group, defaults in table.items():
        options = getattr(config, group)
        missing = {name: value for name, value in defaults.items() if getattr(options, name) is None}
        config = replace(config, **{group: replace(options, **missing)})
    if config.tasks.depth_weight is None:
        weight = 10.0 if config.tasks.depth_loss == "log" else 1.0  # logarithms are smaller than metres
        config = replace(config, tasks=replace(config.tasks, depth_weight=weight))
    config = _with_pitch_jitter(config)
    depth_range = WORLD_DEPTH_RANGE if config.data.dataset == "synthetic" else MONO_DEPTH_RANGE
    depth_range = STEREO_DEPTH_RANGE if config.metres_from else depth_range
    if "depth" in config.tasks.labelled:
        depth_range = MONO_DEPTH_RANGE  # metres
    for name, limit in zip(("min_depth", "max_depth"), depth_range, strict=True):
        if getattr(config.network, name) is None:
            config = replace(config, network=replace(config.network, **{name: limit}))
    network = _with_encoder_weights(_with_encoders(config.network, config.data.dataset), config.data.dataset)
    config = replace(config, network=network)
    config = replace(config, dejavu=_with_perceptual(config.dejavu, network))
    train = config.train
    if train.scheduler_step_size is None:
        config = replace(config, train=replace(train, scheduler_step_size=max(1, train.num_epochs * 3 // 4)))
    return replace(config, dejavu=scheduled(config.dejavu, train.num_epochs, train.learning_rate))


def _with_pitch_jitter(config: Config) -> Config:
    """The embedded world's cameras differ; what has metres or labels is trained as it is."""
    if config.data.pitch_jitter is not None:
        return config
    plain = not (config.tasks.labelled or config.metres_from or config.data.learn_intrinsics)
    pitch = WORLD_PITCH if plain and config.data.dataset == "synthetic" else 0.0
    return replace(config, data=replace(config.data, pitch_jitter=pitch))


def _with_encoders(network: NetworkOptions, dataset: str) -> NetworkOptions:
    """The record of an older run names its num_layers, and so keeps its ResNets.

    The pose network follows a depth encoder that pip pretrains: then nothing is fetched.
    """
    world = dataset == "synthetic" and network.num_layers is None
    encoder = WORLD_ENCODER if world and network.depth_net == "resnet" and not network.encoder else network.encoder
    packaged = encoder if encoder and package_of(encoder) else None
    pose_encoder = network.pose_encoder or packaged or (WORLD_ENCODER if world else "resnet18")
    return replace(network, encoder=encoder, num_layers=network.num_layers or 18, pose_encoder=pose_encoder)


def _with_perceptual(dejavu: DejaVuOptions, network: NetworkOptions) -> DejaVuOptions:
    """The distance of images goes with the depth network's encoder: fetched, from pip, or neither."""
    pretrained, packaged = network.encoder_weights == PRETRAINED, package_of(network.depth_encoder)
    if dejavu.perceptual is None:
        of_lpips = dejavu.lpips_weights is not None or dejavu.lpips_net != DejaVuOptions.lpips_net
        lite = pretrained and packaged and not of_lpips
        dejavu = replace(dejavu, perceptual="lite" if lite else "lpips")
    if dejavu.perceptual == "lite" or dejavu.lpips_weights is not None:
        return dejavu
    return replace(dejavu, lpips_weights="pretrained" if pretrained and not packaged else "random")


def encoders_from_scratch(config: Config) -> Config:
    """The config with encoders whose weights are neither fetched nor read.

    A run that goes on has them in its checkpoint; a file or a server of the first day may be gone.
    """
    return replace(config, network=replace(config.network, encoder_weights=SCRATCH, pose_encoder_weights=SCRATCH))


def _with_encoder_weights(network: NetworkOptions, dataset: str) -> NetworkOptions:
    """Nothing is fetched for the embedded world: there, only what comes with pip is pretrained."""

    def usual(encoder: str) -> str:
        return PRETRAINED if dataset != "synthetic" or package_of(encoder) else SCRATCH

    depth, pose = network.encoder_weights, network.pose_encoder_weights
    if pose is None:
        pose = usual(network.pose_encoder) if depth is None else depth
        same = network.depth_net == "resnet" and network.pose_encoder == network.depth_encoder
        check(
            pose in (PRETRAINED, SCRATCH) or same,
            f"--encoder_weights {depth} is for {network.depth_encoder}: say with --pose_encoder_weights how "
            f"{network.pose_encoder} begins: {PRETRAINED}, {SCRATCH} or a file",
        )
    return replace(network, encoder_weights=depth or usual(network.depth_encoder), pose_encoder_weights=pose)

"""The options of training, in groups and with their defaults by dataset, and those of the two evaluations."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from depth.dejavu_options import DejaVuOptions
from depth.options import (
    DataOptions,
    Integer,
    LogOptions,
    LossOptions,
    NetworkOptions,
    Number,
    Text,
    TrainOptions,
    check,
)


@dataclass(frozen=True)
class Config:
    """Options of train.py."""

    data: DataOptions = field(default_factory=DataOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    dejavu: DejaVuOptions = field(default_factory=DejaVuOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    log: LogOptions = field(default_factory=LogOptions)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, fit for JSON."""
        return asdict(self)


def config_from_dict(values: dict[str, Any]) -> Config:
    """The inverse of `Config.to_dict`. Raises UserError on unknown groups, unknown options and bad values."""
    check(
        isinstance(values, dict) and all(isinstance(v, dict) for v in values.values()), "config: not a table of groups"
    )
    unknown = sorted(map(_name, set(values) - {group.name for group in fields(Config)}))
    check(not unknown, f"config: unknown group {', '.join(unknown)}")
    groups = {}
    for group in fields(Config):
        given = values.get(group.name, {})
        known = {f.name: f for f in fields(group.default_factory)}
        unknown = sorted(map(_name, set(given) - set(known)))
        check(not unknown, f"config: unknown option {group.name}.{', '.join(unknown)}")
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        hints = get_type_hints(group.default_factory)
        for name, value in given.items():
            check(_fits(value, hints[name]), f"config: {group.name}.{name} cannot be {_shown(value)}")
        groups[group.name] = group.default_factory(**given)
    return Config(**groups)


def _name(name: object) -> str:
    """A name from a file, fit for a line."""
    return name[:40] if isinstance(name, str) and name.isprintable() else "(a name that cannot be printed)"


def _shown(value: Any) -> str:
    """A value from a file in a few words; a tensor's would be lines, and Python refuses to write a number of 5,000."""
    plain = isinstance(value, str | float | bool) or (isinstance(value, int) and abs(value) < 10**20)
    return repr(value)[:80] if plain else f"a value of type {type(value).__name__}"


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of an option's type; the types are those in options.py and dejavu_options.py."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:  # a tensor, which a checkpoint may hold anywhere, cannot be compared
        return isinstance(value, str | int) and value in arguments
    if origin is tuple:
        variable = arguments[-1] is ...
        return (
            isinstance(value, tuple)
            and (variable or len(value) == len(arguments))
            and all(_fits(v, arguments[0]) for v in value)
        )
    if arguments:  # X | None
        return any(_fits(value, each) for each in arguments)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


_DATASET_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "kitti": {
        "data": {"height": 192, "width": 640},
        "network": {"weights_init": "pretrained", "initial_forward": 0.0},
        "train": {"batch_size": 12, "num_epochs": 20, "learning_rate": 1e-4},
    },
    "synthetic": {
        "data": {"height": 64, "width": 224},
        "network": {"weights_init": "scratch", "initial_disparity": 0.05, "initial_forward": 0.06},
        "train": {"batch_size": 4, "num_epochs": 6, "learning_rate": 2e-4},
    },
}


# Godard et al., ICCV 2019. With stereo their unit is a baseline of 0.1; KITTI's is 0.54 m, so metres are 5.4 times it.
STEREO_UNIT = 5.4  # metres
MONO_DEPTH_RANGE = (0.1, 100.0)
STEREO_DEPTH_RANGE = (0.1 * STEREO_UNIT, 100.0 * STEREO_UNIT)
# After a short training from scratch the pose network's unit is some 14 m: 0.1 of it would cut off what is near.
WORLD_DEPTH_RANGE = (0.05, 50.0)


def resolved(config: Config) -> Config:
    """The config with every dataset-dependent None filled; `config.data.dataset` is the dataset really used."""
    table = _DATASET_DEFAULTS["synthetic" if config.data.dataset == "synthetic" else "kitti"]
    for group, defaults in table.items():
        options = getattr(config, group)
        missing = {name: value for name, value in defaults.items() if getattr(options, name) is None}
        config = replace(config, **{group: replace(options, **missing)})
    depth_range = WORLD_DEPTH_RANGE if config.data.dataset == "synthetic" else MONO_DEPTH_RANGE
    depth_range = STEREO_DEPTH_RANGE if config.data.use_stereo else depth_range
    for name, limit in zip(("min_depth", "max_depth"), depth_range, strict=True):
        if getattr(config.network, name) is None:
            config = replace(config, network=replace(config.network, **{name: limit}))
    if config.dejavu.lpips_weights is None:
        trunk = "pretrained" if config.network.weights_init == "pretrained" else "random"
        config = replace(config, dejavu=replace(config.dejavu, lpips_weights=trunk))
    train = config.train
    if train.scheduler_step_size is None:
        config = replace(config, train=replace(train, scheduler_step_size=max(1, train.num_epochs * 3 // 4)))
    return config


@dataclass(frozen=True)
class _ModelOptions:
    """What both evaluations ask for: frames and a model."""

    eval_split: str  # its default is the command's
    data_path: Text = None
    """Folder of KITTI's data. Default: $KITTI_DATA, then ./kitti_data; where neither is, the test drives of the
    embedded synthetic world."""
    load_weights_folder: Text = None
    """A run, a checkpoint file, or an original Monodepth2 folder. Default: the newest run in --log_dir."""
    log_dir: str = "runs"
    """Folder of the runs."""
    batch_size: int = 16
    """Images at a time."""
    num_workers: Integer = None
    """Loader processes. Default: one a core but one, at most 16."""
    device: Text = None
    """cuda, cuda:1 or cpu. Default: cuda if there is one."""
    cache_dir: Text = None
    """Folder for the embedded world and for ground truth made from scans. Default: $DEJAVU_CACHE, then
    ~/.cache/dejavu-depth."""

    def __post_init__(self) -> None:
        check(self.batch_size > 0, f"--batch_size {self.batch_size} is not a positive number")
        check(self.num_workers is None or self.num_workers >= 0, "--num_workers is 0 or more")


@dataclass(frozen=True)
class EvaluationOptions(_ModelOptions):
    """Options of evaluate_depth.py: what is evaluated, on what, and how."""

    eval_split: str = "eigen"
    """eigen (697 images, lidar), eigen_benchmark (652 images, improved ground truth), synthetic (the embedded world's
    test drives), or a split's folder or file."""
    eval_mono: bool = False
    """Median scaling per image; the default for models trained without stereo."""
    eval_stereo: bool = False
    """No median scaling; the default for models trained with stereo. An original Monodepth2 stereo model's
    depths are multiplied by 5.4."""
    disable_median_scaling: bool = False
    """Monocular, but without median scaling."""
    pred_depth_scale_factor: Number = None
    """What predicted depths are multiplied by. Default: 1 (5.4 for an original stereo model)."""
    post_process: bool = False
    """Averages each prediction with the mirrored image's; costs twice the time."""
    save_pred_disps: bool = False
    """Also writes disps_<split>_split.npy (with --post_process, ..._post_processed.npy): inverse depths (N,H,W),
    float32, in the model's own unit, before any scaling or factor. That is 1/m for models trained with stereo here,
    1 / 5.4 m for original stereo models."""
    ext_disp_to_eval: Text = None
    """Evaluates inverse depths from such a .npy file instead of a model's. Its unit is not in it: needs --eval_mono,
    --eval_stereo or --disable_median_scaling."""
    no_eval: bool = False
    """Only predicts; with --save_pred_disps."""
    eval_out_dir: Text = None
    """Folder for metrics.json, the table, the pictures. Default: <run>/evaluation_<split>, and what differs from the
    default settings behind it: _post_processed, _median, _no_median, _times_FACTOR, the name of a .npy file."""
    skip_missing: bool = False
    """Evaluates the images that are there, and prints how many, instead of stopping with a list."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(not (self.eval_mono and self.eval_stereo), "--eval_mono and --eval_stereo exclude each other")
        check(
            self.pred_depth_scale_factor is None or self.pred_depth_scale_factor > 0,
            "--pred_depth_scale_factor is above 0",
        )
        check(not self.no_eval or self.save_pred_disps, "--no_eval without --save_pred_disps leaves nothing to look at")
        for name in ("no_eval", "post_process", "load_weights_folder"):  # a file needs no model
            both = self.ext_disp_to_eval and getattr(self, name)
            check(not both, f"--{name} and --ext_disp_to_eval exclude each other")
        check(
            not self.ext_disp_to_eval or self.eval_mono or self.eval_stereo or self.disable_median_scaling,
            "--ext_disp_to_eval: the file does not tell its unit; add --eval_mono (median scaling) or --eval_stereo "
            "(metres, as of models trained with stereo; an original one's with --pred_depth_scale_factor 5.4)",
        )


@dataclass(frozen=True)
class PoseOptions(_ModelOptions):
    """Options of evaluate_pose.py: which trajectories are evaluated, and with what."""

    eval_split: str = "odom_9"
    """odom_9, odom_10 (KITTI's odometry data: sequences/09/image_2, sequences/09/calib.txt, poses/09.txt), synthetic
    (the embedded world's test drives), or a split's folder or file whose frames follow each other."""
    eval_out_dir: Text = None
    """Folder for trajectories, metrics.json and plot. Default: <run>/poses_<split>."""

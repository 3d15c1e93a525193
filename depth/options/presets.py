"""--preset: tables of defaults for train.py. A flag that is given counts more than the preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from depth.networks.encoders import check_encoder
from depth.options.config import Config
from depth.options.data import LABELLED_DATASETS, DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.fields import check
from depth.options.loss import LossOptions
from depth.options.tasks import TaskOptions
from depth.options.train import TrainOptions
from depth.support.cli import parse
from depth.types import UserError

# Monodepth2's settings (Godard et al., ICCV 2019); what is not here is the default: 20 epochs, 30 from scratch. Ours:
# the batches of 4, which are for the GPU's memory.
PRESETS: Mapping[str, Config] = {
    "kitti": Config(data=DataOptions(height=192, width=640), train=TrainOptions(batch_size=12, learning_rate=1e-4)),
    "kitti_hr": Config(
        data=DataOptions(height=320, width=1024),
        train=TrainOptions(batch_size=4, num_epochs=5, learning_rate=1e-5, scheduler_step_size=0),
    ),
    "small_gpu": Config(data=DataOptions(height=192, width=640), train=TrainOptions(batch_size=4)),
    "demo": Config(
        data=DataOptions(dataset="synthetic", use_stereo=True),
        dejavu=DejaVuOptions(dejavu=True, edit="spectral"),
        train=TrainOptions(num_epochs=4),
    ),
    # Labels. Sizes, windows and lengths are the usual ones: 40,000 steps of batch 8 on Cityscapes (mmsegmentation) and
    # on NYUD (ATRC, InvPT). Ours: Adam and its rate, where they have SGD, and all of CamVid's and Virtual KITTI's.
    "cityscapes": Config(
        tasks=TaskOptions(tasks=("semantics",), crop=(512, 1024), scale_range=(0.5, 2.0)),
        data=DataOptions(dataset="cityscapes", height=1024, width=2048),
        train=TrainOptions(batch_size=8, num_epochs=108, learning_rate=3e-4),
    ),
    "nyud": Config(
        tasks=TaskOptions(("depth", "semantics", "normals"), "labels", crop=(448, 576), scale_range=(1.0, 1.5)),
        data=DataOptions(dataset="nyud", height=448, width=576),
        train=TrainOptions(batch_size=8, num_epochs=404, learning_rate=1e-4),
    ),
    "camvid": Config(
        tasks=TaskOptions(tasks=("semantics",), scale_range=(0.5, 2.0)),
        data=DataOptions(dataset="camvid", height=352, width=480),
        train=TrainOptions(batch_size=8, num_epochs=150, learning_rate=3e-4),
    ),
    "vkitti2": Config(
        tasks=TaskOptions(("depth", "semantics", "panoptic"), "labels", depth_loss="log"),
        data=DataOptions(dataset="vkitti2", height=192, width=640),
        train=TrainOptions(batch_size=8, num_epochs=10, learning_rate=3e-4),
    ),
}


def _check_tasks(config: Config) -> None:
    """Raises UserError where the tasks do not fit the data, the network, or each other's options."""
    tasks, data = config.tasks, config.data
    if not tasks.labelled:
        idle = [f.name for f in fields(tasks) if getattr(tasks, f.name) != f.default]
        check(not idle, f"--{' --'.join(idle)} has no effect on depth from video alone: add --tasks, or leave it out")
    of_branch = config.dejavu.dejavu or not tasks.dejavu_tasks
    check(of_branch, "--dejavu_tasks without --dejavu has no effect: add --dejavu, or leave it out")
    check("depth" in tasks.tasks or tasks.depth_from == "video", "--depth_from without --tasks depth has no effect")
    unlabelled = data.dataset in LABELLED_DATASETS and tasks.video
    check(not unlabelled, f"--dataset {data.dataset} has no video: give --tasks, and for depth --depth_from labels")
    if not tasks.labelled:
        return
    unlearnt = ", ".join(tasks.unlearnt)
    check(not unlearnt, f"--tasks {unlearnt} with a weight of 0 is not learnt: leave it out")
    check(data.dataset != "video", "--dataset video has no labels: --tasks depth is what it can teach")
    check(config.network.depth_net == "resnet", f"--depth_net {config.network.depth_net} is for --tasks depth alone")
    attention = config.dejavu.dejavu_attention
    check(not attention, "--dejavu_attention is for --tasks depth from video alone: leave it out (--dejavu is for all)")
    unread = [name for name in ("split", "cache") if getattr(data, name) != getattr(DataOptions, name)]
    check(not unread, f"--{' --'.join(unread)} has no effect on tasks with labels: leave it out")
    if tasks.video:
        check(tasks.crop is None, "--crop is for labels alone: video needs whole frames (--depth_from labels)")
        check(tasks.scale_range == (1.0, 1.0), "--scale_range is for labels alone: video needs whole frames")
        sparse = config.loss.depth_supervision > 0
        check(
            not sparse, "--depth_supervision is for --tasks depth alone: --depth_from both learns from depth's labels"
        )
    else:
        check(not data.use_stereo and not data.learn_intrinsics, "--use_stereo and --learn_intrinsics need video")
        check(config.metres_from is None, f"metres from {config.metres_from} need depth from video")


def _check_read(config: Config) -> None:
    """Raises UserError for options that nothing reads beside the others."""
    loss, train = config.loss, config.train
    weighed = loss.pose_scale == "speed" or loss.speed_weight == LossOptions.speed_weight
    check(weighed, "--speed_weight without --pose_scale speed has no effect: leave it out")
    seen = "semantics" in config.tasks.conditions or config.dejavu.dejavu_classes == DejaVuOptions.dejavu_classes
    check(seen, "--dejavu_classes without semantics in --tasks or --dejavu_tasks has no effect: leave it out")
    falls = train.lr_schedule != "poly" or not train.scheduler_step_size
    check(falls, "--scheduler_step_size has no effect with --lr_schedule poly, which falls every epoch: leave it out")


def parse_training(description: str, arguments: Sequence[str] | None = None, of_one: bool = True) -> Config:
    """The flags of train.py, with --preset's defaults under them.

    of_one: False where they are common to several runs, of which some have the branch: its flags may be given then.

    Raises:
        UserError: a flag or a value that is not known, an encoder too, a preset for a run that is resumed, or options
            that nothing reads, as those of the DejaVu branch without it.
        SystemExit: after --help.
    """
    config = parse(Config, description, arguments)
    if config.train.preset is not None:
        if config.log.resume:
            raise UserError("--preset has no place beside --resume: a run goes on with its own options")
        config = parse(Config, description, arguments, PRESETS[config.train.preset])
        check(
            config.train.preset != "kitti_hr" or config.log.load_weights_folder is not None,
            "--preset kitti_hr asks for --load_weights_folder with a trained 640x192 model: as published, 1024x320 "
            "goes on from one, for 5 epochs at 1e-5; without one leave the preset out and give --height 320 "
            "--width 1024 --batch_size 4",
        )
    if of_one:
        config.dejavu.check_used()
    _check_read(config)
    for encoder in filter(None, (config.network.depth_encoder, config.network.pose_encoder)):
        check_encoder(encoder)
    _check_tasks(config)
    return config

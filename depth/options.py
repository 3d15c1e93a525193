"""The options of a training: frozen dataclasses, one documented and checked field per flag.

Fields that are None depend on the dataset; depth.config.resolved fills them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from depth.types import UserError

Integer = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
Number = Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="")]
Text = Annotated[str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="")]
PresetName = Annotated[
    Literal["kitti", "kitti_hr", "small_gpu", "demo"] | None,
    tyro.conf.arg(metavar="{kitti,kitti_hr,small_gpu,demo}", help_behavior_hint=""),
]


def check(condition: bool, message: str) -> None:
    """Raises UserError with the message where the condition does not hold."""
    if not condition:
        raise UserError(message)


@dataclass(frozen=True)
class DataOptions:
    """Where the frames come from and what a sample is."""

    data_path: Text = None
    """Folder of KITTI's data, or the footage for --dataset video. Default: $KITTI_DATA, then ./kitti_data; where
    neither is, the embedded synthetic world is used and named in everything that is written."""
    dataset: Literal["kitti", "synthetic", "video"] = "kitti"
    """What the data is; synthetic is the embedded world, video is footage of your own: --data_path is then a video, a
    folder of images, or a folder of clips."""
    split: str = "eigen_zhou"
    """Name of a split in splits/, or a folder or file of your own; odom reads KITTI's odometry layout."""
    height: Integer = None
    """Rows of the network's input in pixels, a multiple of 32. Default: 192 (64 on the embedded world; with video, as
    the clip's aspect asks for)."""
    width: Integer = None
    """Columns of the network's input in pixels, a multiple of 32. Default: 640 (224 on the embedded world; with video,
    as the clip's aspect asks for)."""
    frame_ids: tuple[int, ...] = (0, -1, 1)
    """Frames of a sample as offsets in time; 0, the target, comes first."""
    intrinsics: Text = None
    """video: JSON file {"width", "height", "fx", "fy", "cx", "cy"} in pixels of the original image."""
    fov: Number = None
    """video: horizontal field of view in degrees, where there is no --intrinsics."""
    learn_intrinsics: bool = False
    """Learns the camera's intrinsics with the poses, instead of taking them from a file or the calibration."""
    keep_still: bool = False
    """video: keeps the frames in which the camera stands or turns on the spot."""
    use_stereo: bool = False
    """Adds the other camera as a source, with the real baseline in metres; --frame_ids 0 leaves it alone."""
    skip_missing: bool = False
    """Goes on with the frames that are there, and prints how much that is, instead of stopping with a list."""
    on_bad_sample: Literal["stop", "skip"] = "stop"
    """What becomes of a training frame that cannot be read: stop with its name, or skip takes another one, says so,
    counts, and stops above 1 % of an epoch."""
    num_workers: Integer = None
    """Loader processes. Default: one a core but one, at most 16."""
    cache: Text = None
    """Folder in which the frames are kept decoded and at training size, 0.37 MB each at 640x192; written before the
    first epoch, and used again while split, size and files stay. Default: frames are decoded each time."""
    cache_dir: Text = None
    """Folder for the embedded world, for ground truth made from scans, and for the frames of videos. Default:
    $DEJAVU_CACHE, then ~/.cache/dejavu-depth."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            check(
                value is None or (value >= 64 and value % 32 == 0),
                f"--{name} {value} is not a multiple of 32, or below 64",
            )
        check(len(self.frame_ids) > 0 and self.frame_ids[0] == 0, "--frame_ids begins with 0, the target")
        check(len(set(self.frame_ids)) == len(self.frame_ids), f"--frame_ids {self.frame_ids} names a frame twice")
        check(len(self.frame_ids) > 1 or self.use_stereo, "--frame_ids 0 alone needs --use_stereo")
        check(self.num_workers is None or self.num_workers >= 0, "--num_workers is 0 or more")
        self._check_camera()

    def _check_camera(self) -> None:
        video = self.dataset == "video"
        check(not video or self.data_path is not None, "--dataset video needs --data_path: a video or a folder")
        check(not (video and self.use_stereo), "--dataset video has one camera: --use_stereo needs KITTI's layout")
        check(video or not (self.intrinsics or self.fov is not None), "--intrinsics and --fov need --dataset video")
        given = (self.intrinsics is not None) + (self.fov is not None) + self.learn_intrinsics
        check(given <= 1, "--intrinsics, --fov and --learn_intrinsics exclude each other")
        check(not self.learn_intrinsics or len(self.frame_ids) > 1, "--learn_intrinsics needs sources in time")


@dataclass(frozen=True)
class NetworkOptions:
    """The networks."""

    depth_net: Literal["resnet", "packnet", "packnet_slim"] = "resnet"
    """Depth network: ResNet U-Net (Monodepth2), PackNet01, or a slim PackNet for small machines."""
    num_layers: Literal[18, 34, 50, 101] = 18
    """Layers of the depth network's ResNet encoder; the pose network's has 18."""
    weights_init: Annotated[Literal["pretrained", "scratch"] | None, tyro.conf.arg(metavar="{pretrained,scratch}")] = (
        None
    )
    """Encoders from ImageNet or at random. Default: pretrained (scratch on the embedded world)."""
    scales: tuple[int, ...] = (0, 1, 2, 3)
    """Decoder scales that take part in the loss."""
    min_depth: Number = None
    """Depth at disparity 1, in metres or the model's unit. Default: 0.1 (0.05 on the embedded world; 0.54 with
    --use_stereo, where 0.1 m would put every pixel outside the other image, without a gradient)."""
    max_depth: Number = None
    """Depth at disparity 0, in metres or the model's unit. Default: 100 (50 on the embedded world; 540 with
    --use_stereo)."""
    initial_disparity: Number = None
    """What the untrained depth network predicts everywhere, in (0,1). Default: the network's own start, about 0.5
    (0.05 on the embedded world, where training from scratch is short)."""
    initial_forward: Number = None
    """How far forward the untrained pose network moves the camera from frame to frame, as a share of the untrained
    depth. With none, a pose network from scratch must first find out that the camera moves, and depth learns nothing
    meanwhile. Default: 0, as in Monodepth2 (0.06 on the embedded world)."""

    def __post_init__(self) -> None:
        check(
            self.initial_forward is None or 0 <= self.initial_forward < 1,
            f"--initial_forward {self.initial_forward} is a share of the depth: from 0 to below 1",
        )
        check(
            self.depth_net == "resnet" or self.num_layers == 18,
            f"--num_layers {self.num_layers} belongs to --depth_net resnet; {self.depth_net} has one size",
        )
        check(
            self.initial_disparity is None or 0 < self.initial_disparity < 1, "--initial_disparity lies between 0 and 1"
        )
        limits = [limit for limit in (0, self.min_depth, self.max_depth) if limit is not None]
        check(sorted(set(limits)) == limits, "0 < --min_depth < --max_depth is needed")
        check(
            len(self.scales) > 0 and self.scales[0] == 0 and sorted(set(self.scales) & {0, 1, 2, 3}) == [*self.scales],
            "--scales are some of 0 1 2 3, in order, with 0",
        )


@dataclass(frozen=True)
class LossOptions:
    """The photometric objective."""

    disparity_smoothness: float = 1e-3
    """Weight of the edge-aware smoothness; halved at each coarser scale."""
    disable_automasking: bool = False
    """Keeps, in the loss, the pixels that do not move from frame to frame."""
    avg_reprojection: bool = False
    """Averages the error over the sources instead of taking the minimum."""
    no_ssim: bool = False
    """Photometric error of L1 alone, without SSIM."""

    def __post_init__(self) -> None:
        check(self.disparity_smoothness >= 0, "--disparity_smoothness is 0 or more")


@dataclass(frozen=True)
class TrainOptions:
    """The schedule and the machine."""

    preset: PresetName = None
    """Other defaults, over which flags still count. kitti: 640x192 as Monodepth2; kitti_hr: 1024x320, batch 4;
    small_gpu: 640x192, batch 4; demo: what `make demo` trains on the embedded world."""
    batch_size: Integer = None
    """Samples a step, with torchrun for each process. Default: 12 (4 on the embedded world)."""
    num_epochs: Integer = None
    """Passes over the training samples. Default: 20 (6 on the embedded world)."""
    max_steps: Integer = None
    """Stops after so many optimiser steps, if that comes first."""
    learning_rate: Number = None
    """Adam's step size. Default: 1e-4 (2e-4 on the embedded world, where nothing is pretrained)."""
    scheduler_step_size: Integer = None
    """Epochs after which the learning rate falls to a tenth. Default: three quarters of the epochs."""
    seed: int = 0
    """Seed of every random draw; runs on a CPU repeat bit by bit."""
    device: Text = None
    """cuda, cuda:1 or cpu. Default: cuda if there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the networks; geometry, SSIM and DCT are always float32. auto is bfloat16 on a GPU, float32 on a CPU."""
    compile: bool = False
    """Compiles networks, warp and photometric loss with torch.compile: minutes at the start, for GPUs."""
    accumulate: int = 1
    """Parts in which a batch goes through the networks one after another: less memory, the same gradient but for
    batch norm, which sees the parts."""
    clip_grad_norm: float = 0.0
    """Largest gradient norm; 0 does not clip."""
    freeze_norm: bool = False
    """Keeps the batch norms' running statistics and uses them in training."""
    sync_batch_norm: bool = False
    """With torchrun on GPUs, batch norm over the batches of all processes."""
    max_bad_steps: int = 10
    """Steps in a row with a loss or gradient that is not finite before the run stops; each is skipped, named, and its
    batch kept in <run>/bad_steps."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "num_epochs", "max_steps", "scheduler_step_size"):
            value = getattr(self, name)
            check(value is None or value > 0, f"--{name} {value} is not a positive number")
        check(0 <= self.seed < 2**32, f"--seed {self.seed} is not from 0 to 2^32 - 1")
        check(self.learning_rate is None or self.learning_rate > 0, "--learning_rate is above 0")
        check(self.clip_grad_norm >= 0, "--clip_grad_norm is 0 or more")
        check(self.accumulate > 0, "--accumulate is a number of parts")
        check(self.max_bad_steps > 0, "--max_bad_steps is a number of steps")


@dataclass(frozen=True)
class LogOptions:
    """Runs: what is written where."""

    log_dir: str = "runs"
    """Folder of the runs."""
    model_name: Text = None
    """Name of this run's folder. Default: date, time and what is trained."""
    resume: Text = None
    """A run's folder: go on where it stopped, with its options; --num_epochs, --max_steps and --data_path may be
    changed, and --device, --num_workers, --cache and --cache_dir are this command's."""
    load_weights_folder: Text = None
    """A run, a checkpoint or an original Monodepth2 folder whose weights are the start."""
    log_frequency: int = 25
    """Steps between scalars in TensorBoard."""
    image_frequency: Integer = None
    """Steps between pictures of the fixed validation frames. Default: once an epoch."""
    checkpoint_minutes: float = 10.0
    """Longest time between checkpoints in minutes; the end of an epoch writes one too."""
    val_samples: int = 400
    """Validation samples after each epoch, spread evenly over the split; 0 uses all."""

    def __post_init__(self) -> None:
        check(self.log_frequency > 0, "--log_frequency is a number of steps")
        check(self.image_frequency is None or self.image_frequency > 0, "--image_frequency is a number of steps")
        check(self.val_samples >= 0, "--val_samples is 0 or more")
        check(self.checkpoint_minutes >= 0, "--checkpoint_minutes is 0 or more")
        name = self.model_name
        check(
            name is None or (Path(name).name == name and name not in ("", "..")),
            f"--model_name {name!r} is not a plain folder name",
        )

"""The options of evaluate_depth.py, evaluate_dense.py and evaluate_pose.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from depth.options.data import LABELLED_DATASETS
from depth.options.fields import CheckpointChoice, Integer, Number, Text, check

ProtocolName = Annotated[Literal["frames", "make3d", "ddad"] | None, tyro.conf.arg(metavar="{frames,make3d,ddad}")]
CropName = Annotated[Literal["none", "garg", "eigen"] | None, tyro.conf.arg(metavar="{none,garg,eigen}")]
MANIFEST_PARTS = ("train", "val", "test", "all")
_NOT_SUBMITTED = "gt_path gt_scale min_depth max_depth crop save_pred_disps ext_disp_to_eval no_eval".split()


def _check_manifest(dataset: str, data_path: str | None, eval_split: str | None) -> None:
    """Raises UserError for a manifest without a path, or a part that no manifest has."""
    frames = dataset == "frames"
    check(not frames or data_path is not None, "--dataset frames needs --data_path: a manifest")
    known = not frames or eval_split in (None, *MANIFEST_PARTS)
    check(known, f"--eval_split {eval_split}: with --dataset frames one of {', '.join(MANIFEST_PARTS)}")


@dataclass(frozen=True)
class _ModelOptions:
    """What both evaluations ask for: frames and a model."""

    eval_split: str  # its default is the command's
    data_path: Text = None
    """Folder of KITTI's data, or the file for --dataset frames. Default: $KITTI_DATA, then ./kitti_data; where neither
    is, the test drives of the embedded synthetic world."""
    load_weights_folder: Text = None
    """A run, a checkpoint file, or an original Monodepth2 folder. Default: the newest run in --log_dir."""
    checkpoint_choice: CheckpointChoice = "last"
    """Which of a run's checkpoints: last, as published numbers are, or best, the one with the lowest Abs Rel against
    the validation frames' ground truth (photometric loss where there is none): good to use, flattering to report."""
    log_dir: str = "runs"
    """Folder of the runs."""
    batch_size: int = 16
    """Images at a time."""
    num_workers: Integer = None
    """Loader processes. Default: one a core but one, at most 16."""
    device: Text = None
    """cuda, cuda:1, mps or cpu. Default: cuda if there is one."""
    cache_dir: Text = None
    """Folder for the embedded world and for ground truth made from scans. Default: $DEJAVU_CACHE, then
    ~/.cache/dejavu-depth."""

    def __post_init__(self) -> None:
        check(self.batch_size > 0, f"--batch_size {self.batch_size} is not a positive number")
        check(self.num_workers is None or self.num_workers >= 0, "--num_workers is 0 or more")


@dataclass(frozen=True)
class EvaluationOptions(_ModelOptions):
    """Options of evaluate_depth.py: what is evaluated, on what, and how."""

    dataset: Literal["kitti", "frames"] = "kitti"
    """What the data is; frames is any data set in one file: --data_path is then a manifest (docs/MANIFEST.md)."""
    eval_split: Text = None
    """eigen (697 images, lidar), eigen_benchmark (652 images, improved ground truth), benchmark (writes a submission to
    KITTI's depth prediction benchmark), synthetic (the embedded world's test drives), or a split's folder or file; with
    --dataset frames train, val, test or all. Default: eigen; test."""
    protocol: ProtocolName = None
    """How a manifest is evaluated. make3d: the middle of the image at 2:1, below 70 m (C1); ddad: up to 200 m, no crop;
    frames: from 1 mm to 80 m, no crop. Default: frames."""
    gt_path: Text = None
    """Ground truth of your own: a folder with a 16-bit .png, .npy or .npz per image, called as the image is; or a .npz
    or .npy (images, height, width) in the split's order, as Monodepth2's gt_depths.npz."""
    gt_scale: Number = None
    """What stands in --gt_path for a metre. Default: 256 in PNGs, 1 in others."""
    min_depth: Number = None
    """Ground truth counts above this many metres, and predictions are clamped to it. Default: the protocol's."""
    max_depth: Number = None
    """Ground truth counts below this many metres, and predictions are clamped to it: the cap. Default: the protocol's,
    80 on KITTI."""
    crop: CropName = None
    """Part of the image that counts: none, garg (as published on eigen), or eigen. Default: the protocol's."""
    eval_mono: bool = False
    """Median scaling per image; the default for models whose training gave depths no unit."""
    eval_stereo: bool = False
    """No median scaling; the default for models trained with stereo, known poses, speed or sparse depth. An original
    Monodepth2 stereo model's depths are multiplied by 5.4."""
    disable_median_scaling: bool = False
    """Monocular, but without median scaling."""
    pred_depth_scale_factor: Number = None
    """What predicted depths are multiplied by. Default: 1 (5.4 for an original stereo model)."""
    post_process: bool = False
    """Averages each prediction with the mirrored image's; costs twice the time."""
    save_pred_disps: bool = False
    """Also writes disps_<split>_split.npy (_best and _post_processed in its name as below): inverse depths (N,H,W),
    float32, in the model's own unit, before any scaling or factor. That is 1/m for models trained with stereo here,
    1 / 5.4 m for original stereo models."""
    ext_disp_to_eval: Text = None
    """Evaluates inverse depths from such a .npy file instead of a model's. Its unit is not in it: needs --eval_mono,
    --eval_stereo or --disable_median_scaling."""
    no_eval: bool = False
    """Only predicts; with --save_pred_disps."""
    eval_out_dir: Text = None
    """Folder for metrics.json, the table, the pictures. Default: <run>/evaluation_<split>, and what differs from the
    default settings behind it: _best, _post_processed, _median, _no_median, _times_FACTOR, the name of a .npy file."""
    skip_missing: bool = False
    """Evaluates the images that are there, and prints how many, instead of stopping with a list."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_protocol()
        check(not (self.eval_mono and self.eval_stereo), "--eval_mono and --eval_stereo exclude each other")
        check(
            self.pred_depth_scale_factor is None or self.pred_depth_scale_factor > 0,
            "--pred_depth_scale_factor is above 0",
        )
        for name in _NOT_SUBMITTED:
            idle = self.eval_split == "benchmark" and getattr(self, name) not in (None, False)
            check(not idle, f"--{name} has no place beside --eval_split benchmark, which writes a submission alone")
        check(not self.no_eval or self.save_pred_disps, "--no_eval without --save_pred_disps leaves nothing to look at")
        for name in ("no_eval", "post_process", "load_weights_folder", "checkpoint_choice"):  # a file needs no model
            both = self.ext_disp_to_eval and getattr(self, name) not in (None, False, "last")
            check(not both, f"--{name} and --ext_disp_to_eval exclude each other")
        check(
            not self.ext_disp_to_eval or self.eval_mono or self.eval_stereo or self.disable_median_scaling,
            "--ext_disp_to_eval: the file does not tell its unit; add --eval_mono (median scaling) or --eval_stereo "
            "(metres, as of models trained with stereo; an original one's with --pred_depth_scale_factor 5.4)",
        )

    def _check_protocol(self) -> None:
        _check_manifest(self.dataset, self.data_path, self.eval_split)
        check(
            self.dataset == "frames" or self.protocol is None, "--protocol needs --dataset frames: a split has its own"
        )
        check(self.gt_scale is None or self.gt_path is not None, "--gt_scale needs --gt_path")
        check(self.gt_scale is None or self.gt_scale > 0, "--gt_scale is above 0")
        limits = [limit for limit in (0, self.min_depth, self.max_depth) if limit is not None]
        check(sorted(set(limits)) == limits, "0 < --min_depth < --max_depth is needed")


@dataclass(frozen=True)
class PoseOptions(_ModelOptions):
    """Options of evaluate_pose.py: which trajectories are evaluated, and with what."""

    dataset: Literal["kitti", "frames"] = "kitti"
    """What the data is; frames is a manifest with poses (docs/MANIFEST.md)."""
    eval_split: Text = None
    """odom_9, odom_10 (KITTI's odometry data: sequences/09/image_2, sequences/09/calib.txt, poses/09.txt), synthetic
    (the embedded world's test drives), or a split's folder or file whose frames follow each other; with --dataset
    frames train, val, test or all. Default: odom_9; test."""
    eval_out_dir: Text = None
    """Folder for trajectories, metrics.json and plot. Default: <run>/poses_<split>, with --checkpoint_choice best
    <run>/poses_<split>_best."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_manifest(self.dataset, self.data_path, self.eval_split)


@dataclass(frozen=True)
class DenseOptions(_ModelOptions):
    """Options of evaluate_dense.py: which labelled images, and what is written."""

    eval_split: Literal["train", "val", "test"] = "val"
    """Part of the labelled set."""
    dataset: Annotated[
        Literal["synthetic", "frames", *LABELLED_DATASETS] | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")
    ] = None
    """Which labelled set; frames is a manifest (docs/MANIFEST.md). Default: the one that the model was trained on; all
    but synthetic need --data_path."""
    against: tuple[str, ...] = ()
    """Evaluated single-task runs, one for each of the model's tasks: prints the multi-task gain over them."""
    save_predictions: bool = False
    """Also writes semantics as PNGs of the set's label ids (Cityscapes' format) and panoptic as PNGs with a JSON
    (COCO's)."""
    eval_out_dir: Text = None
    """Folder for metrics.json, the table, the pictures. Default: <run>/dense_<split>, with --checkpoint_choice best
    <run>/dense_<split>_best."""
    skip_missing: bool = False
    """Evaluates the images whose labels are there, and prints how many, instead of stopping."""

"""The options of predict.py and of depth.export: frozen dataclasses, one documented and checked field per flag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from depth.options.fields import CheckpointChoice, Integer, Number, Text, check

Range = Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="NEAR FAR")]
Kind = Literal["png", "npy", "colour"]
ScaleKind = Literal["auto", "none", "stereo", "factor", "camera_height"]


@dataclass(frozen=True)
class ScaleChoice:
    """Where metres come from."""

    kind: ScaleKind
    value: float = 1.0  # of factor and camera_height


def parse_scale(text: str | None) -> ScaleChoice:
    """--scale_from's text. Raises UserError where it is not one of none, stereo, factor=X, camera_height=X."""
    if text is None:
        return ScaleChoice("auto")
    name, equals, number = text.partition("=")
    complaint = f"--scale_from {text} is not one of none, stereo, factor=5.4, camera_height=1.65"
    if name == "none" and not equals:
        return ScaleChoice("none")
    if name == "stereo" and not equals:
        return ScaleChoice("stereo")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    check(0 < value < float("inf"), complaint)
    if name == "factor":
        return ScaleChoice("factor", value)
    check(name == "camera_height", complaint)
    return ScaleChoice("camera_height", value)


@dataclass(frozen=True)
class PredictOptions:
    """Options of predict.py: what is predicted, with which model, and what is written."""

    inputs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="INPUT...")] = ()
    """Images, folders of images or videos, globs in quotes, videos, manifests (.jsonl), or a camera's number."""
    checkpoint: Text = None
    """A run, a checkpoint file, or an original Monodepth2 folder. Default: the newest run in --log_dir."""
    checkpoint_choice: CheckpointChoice = "last"
    """Which of a run's checkpoints: the last, or the best on validation."""
    log_dir: str = "runs"
    """Folder of the runs."""
    out: str = "predictions"
    """Folder for what is written; files that are there already are replaced."""
    write: tuple[Kind, ...] = ("png", "npy", "colour")
    """Files per frame: png is 16-bit depth (value / 256 is metres; up to scale, value / 4096), npy float32 depth,
    colour a picture to look at."""
    video: Literal["auto", "yes", "no"] = "auto"
    """A side-by-side mp4 of image and depth per clip; auto writes it for videos and cameras."""
    ply: bool = False
    """A coloured point cloud per frame; needs --intrinsics or --fov."""
    ply_max_depth: Number = None
    """Leaves points that are farther away out, in the unit of the depth. Default: all stay."""
    poses: bool = False
    """Also writes each clip's trajectory, in KITTI's and in TUM's format, in the unit of the depths; needs a model with
    a pose network, and frames as far apart as those it was trained on."""
    scale_from: Text = None
    """none, stereo, factor=5.4 (metres per unit of the network), or camera_height=1.65 (metres above the road, which
    is found in the picture; needs --intrinsics or --fov). Default: stereo for models whose training knew
    metres, else none."""
    intrinsics: Text = None
    """A JSON with fx, fy, cx, cy, width, height: the camera in pixels of images of that size."""
    fov: Number = None
    """Horizontal field of view in degrees, instead of --intrinsics."""
    colour_range: Range = None
    """Depths at the bright and the dark end of the colours. Default: from a clip's first frames, then fixed."""
    colours: Literal["magma", "inferno", "viridis", "turbo", "grey"] = "magma"
    """Colour map; near is bright."""
    max_frames: Integer = None
    """Stops after so many frames of each clip; a camera runs until Ctrl-C otherwise."""
    batch_size: int = 4
    """Images at a time."""
    threads: int = 2
    """Threads that read, and as many that write, while the network runs."""
    device: Text = None
    """cuda, cuda:1, mps or cpu. Default: cuda if there is one."""

    def __post_init__(self) -> None:
        check(len(self.inputs) > 0, "nothing to predict: name images, folders, videos or a camera's number")
        manifest = any(text.endswith(".jsonl") for text in self.inputs)  # which has cameras of its own
        has_camera = self.intrinsics is not None or self.fov is not None or manifest
        check(self.intrinsics is None or self.fov is None, "--intrinsics and --fov exclude each other")
        check(self.fov is None or 5 <= self.fov <= 170, f"--fov {self.fov} is not between 5 and 170 degrees")
        check(has_camera or not self.ply, "--ply needs --intrinsics FILE.json or --fov DEGREES")
        kind = parse_scale(self.scale_from).kind
        check(
            has_camera or kind != "camera_height",
            "--scale_from camera_height needs --intrinsics FILE.json or --fov DEGREES",
        )
        for name in ("max_frames", "batch_size", "threads", "ply_max_depth"):
            value = getattr(self, name)
            check(value is None or value > 0, f"--{name} {value} is not above 0")
        near, far = self.colour_range or (1.0, 2.0)
        check(0 < near < far, f"--colour_range {near} {far} is not two depths 0 < near < far")
        some = bool(self.write) or self.ply or self.poses or self.video == "yes"
        check(some, "--write nothing, no --ply, no --video: no output")


@dataclass(frozen=True)
class ExportOptions:
    """Options of depth.export: what is exported, and as what."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run, a checkpoint file, or an original Monodepth2 folder."""
    format: Literal["onnx", "torchscript"] = "onnx"
    """onnx needs the packages of pip install -e ".[export]"."""
    output: Text = None
    """The file. Default: model.onnx or model.torchscript.pt in the run."""
    checkpoint_choice: CheckpointChoice = "last"
    """Which of a run's checkpoints: the last, or the best on validation."""

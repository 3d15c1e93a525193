"""A clip's predictions as files: its frames', its video, its trajectory, and the sidecar that says what they mean."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from depth.options.predict import PredictOptions, parse_scale
from depth.prediction.api import DepthModel, full_size
from depth.prediction.files import Colouring, FrameFiles, SideBySide, colouring_of, frame_record, write_sidecar
from depth.prediction.metric_scale import Scale, scale_of_height, scale_of_model
from depth.prediction.pointcloud import camera_height
from depth.prediction.trajectory import write_trajectory
from depth.support.files import make_folder
from depth.support.threads import WriteBehind
from depth.types import UserError

_HEAD = 16  # first frames of a clip, from which its colours and its metric scale are taken
_ORDERS = {"folder": "natural order of the names", "manifest": "the manifest's order", "image": "a single picture"}


class Clip(Protocol):
    """What is asked of a clip: datasets.footage.media.Pictures."""

    name: str
    source: str
    kind: str
    fps: float
    notes: list[str]
    pixel_aspect: float


class Frame(Protocol):
    """What is asked of a frame: datasets.footage.media.Frame."""

    name: str
    path: Path | None


@dataclass(frozen=True)
class Predicted:
    """A frame and what the networks made of it."""

    clip: Clip
    frame: Frame
    picture: np.ndarray  # uint8 (H,W,3) RGB
    inverse_depth: np.ndarray  # float32 (h,w), 1 / the network's unit
    intrinsics: np.ndarray | None  # K, (3,3), in the picture's pixels; None where no camera is known
    straightened: bool = False  # whether a lens was taken out of the picture
    motion: np.ndarray | None = None  # float64 (4,4), before_from_this, the network's unit; None without --poses


def write_clip(options: PredictOptions, model: DepthModel, frames: Iterator[Predicted], writer: WriteBehind) -> Path:
    """Hands a clip's frames, at least one, to the writer, and writes its sidecar; returns that.

    Raises UserError where files cannot be written, or the scale cannot be told.
    """
    head = list(itertools.islice(frames, _HEAD))
    clip, scale = head[0].clip, _scale(options, model, head)
    single = clip.kind == "image"
    folder = Path(options.out) if single else Path(options.out) / clip.name
    make_folder(folder)
    kinds = frozenset(options.write) | (frozenset({"ply"}) if options.ply else frozenset())
    files = FrameFiles(folder, kinds, _colouring(options, head, scale), options.ply_max_depth)
    wanted = options.video == "yes" or (options.video == "auto" and clip.kind in ("video", "camera"))
    video_path = folder / f"{Path(clip.name).name}_side_by_side.mp4"
    video = SideBySide(video_path, clip.fps, clip.pixel_aspect) if wanted else None
    facts, records, motions = _facts(model, head[0], scale, files, video), [], []
    path = folder / (f"{clip.name}.json" if single else "clip.json")
    # Written at once, so that no depth lies there without its unit, and again with all frames at the end.
    write_sidecar(path, facts)
    try:
        for each in itertools.chain(head, frames):
            records.append(frame_record(each.frame.name, each.frame.path, each.picture, each.intrinsics))
            motions.append(each.motion)
            show = None if video is None else partial(video.add, each.picture)
            writer.submit(partial(_write_frame, files, each, scale), show)
        if video is not None:
            writer.wait()
            video.finish()
    finally:
        if video is not None:
            video.close()
    if options.poses:
        facts |= {"trajectory": write_trajectory(folder, motions, scale, clip.fps)}
    write_sidecar(path, facts | {"frames": records, "notes": clip.notes})
    for note in clip.notes:
        tqdm.write(f"note: {note}")
    return path


def _write_frame(files: FrameFiles, each: Predicted, scale: Scale) -> np.ndarray:
    height, width = each.picture.shape[:2]
    prediction = full_size(each.inverse_depth, height, width, scale.factor, scale.unit)
    return files.write(each.frame.name, each.picture, prediction, each.intrinsics)


def _scale(options: PredictOptions, model: DepthModel, head: list[Predicted]) -> Scale:
    choice = parse_scale(options.scale_from)
    if choice.kind != "camera_height":
        return scale_of_model(choice, model)
    heights = []
    for each in head:
        if each.intrinsics is None:
            raise UserError("--scale_from camera_height needs a camera: --intrinsics FILE.json or --fov DEGREES")
        height, width = each.picture.shape[:2]
        depth = full_size(each.inverse_depth, height, width, 1.0, "").depth
        heights.append(camera_height(depth, each.intrinsics))
    return scale_of_height(choice.value, heights, head[0].clip.source)


def _colouring(options: PredictOptions, head: list[Predicted], scale: Scale) -> Colouring:
    if options.colour_range is not None:
        return Colouring(options.colours, *options.colour_range)
    return colouring_of([each.inverse_depth / scale.factor for each in head], options.colours)


def _facts(
    model: DepthModel, first: Predicted, scale: Scale, files: FrameFiles, video: SideBySide | None
) -> dict[str, Any]:
    """The sidecar's entries but for the frames."""
    trained, clip = model.trained, first.clip
    return {
        "unit": scale.unit,
        "scale": {"factor": scale.factor, "from": scale.origin},
        "files": files.describe(scale.unit) | ({video.path.name: "image | depth"} if video is not None else {}),
        "source": clip.source,
        "order": _ORDERS.get(clip.kind, "as recorded"),
        "pictures": "straightened" if first.straightened else "as given",
        "model": str(trained.path),
        "checkpoint": str(trained.checkpoint),
        "trained_on": trained.record.get("dataset") or "unknown",
        "network_input": {"width": model.width, "height": model.height},
        "depth_limits": [trained.min_depth * scale.factor, trained.max_depth * scale.factor],
    }

"""Predicts depth for your own images, folders, globs, videos or a camera.

    python predict.py photo.jpg
    python predict.py clip.mp4 "frames/*.png" --checkpoint runs/NAME
    python predict.py clip.mp4 --ply --fov 80 --scale_from camera_height=1.65

Per frame it writes 16-bit and .npy depth and a colour picture, per clip a side-by-side video, and beside them a JSON
that says what unit and scale the numbers have.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor, stack
from tqdm import tqdm

from datasets.core.intrinsics import CameraFile, intrinsics_from_fov, read_intrinsics
from datasets.footage.media import Frame, Pictures, find_pictures
from depth.evaluation.report import trained_on
from depth.options.predict import PredictOptions, parse_scale
from depth.prediction.api import DepthModel, full_size, load_model
from depth.prediction.files import Colouring, FrameFiles, SideBySide, colouring_of, frame_record, write_sidecar
from depth.prediction.metric_scale import Scale, scale_of_height, scale_of_model
from depth.prediction.pictures import read_picture, resize_picture
from depth.prediction.pointcloud import camera_height
from depth.runs.checkpoint import newest_run
from depth.support.cli import parse, run
from depth.support.files import make_folder
from depth.support.stop_signal import StopSignal
from depth.support.threads import WriteBehind, read_ahead
from depth.types import UserError

_HEAD = 16  # first frames of a clip, from which its colours and its metric scale are taken


@dataclass(frozen=True)
class Predicted:
    """A frame and what the network made of it."""

    clip: Pictures
    frame: Frame
    picture: np.ndarray  # uint8 (H,W,3) RGB
    inverse_depth: np.ndarray  # float32 (h,w), 1 / the network's unit


@dataclass
class Summary:
    """What a run did, filled in as it goes."""

    frames: int = 0
    network_seconds: float = 0.0
    seconds: float = 0.0
    sidecars: list[Path] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        each, network = (1000 * total / max(1, self.frames) for total in (self.seconds, self.network_seconds))
        return f"{self.frames} frames, {each:.1f} ms per frame, of which the network {network:.1f} ms"


@dataclass(frozen=True)
class Job:
    """All that stays the same over a run."""

    options: PredictOptions
    model: DepthModel
    camera: CameraFile | None

    def intrinsics(self, each: Predicted) -> np.ndarray | None:
        """K, (3,3), in the picture's pixels; None where no camera was given. Raises UserError where it does not fit."""
        (height, width), aspect = each.picture.shape[:2], each.clip.pixel_aspect
        if self.camera is not None:
            return self.camera.scaled_to(width, height, aspect)
        return None if self.options.fov is None else intrinsics_from_fov(self.options.fov, width, height, aspect)


def main() -> None:
    """Predicts everything that was given and writes the files. Raises UserError for bad input."""
    options = parse(PredictOptions, __doc__)
    with StopSignal() as stop:
        summary = predict(options, stop)
    print(summary)
    names = [*map(str, summary.sidecars[:3]), *(["..."] if len(summary.sidecars) > 3 else [])]
    print(f"written: {options.out}/; unit and scale: {' '.join(names)}")


def predict(options: PredictOptions, stop: StopSignal | None = None) -> Summary:
    """Everything from options to files.

    Args:
        options: what, with which model, and what is written.
        stop: a signal ends the run after the current batch; files and sidecars are complete then.

    Raises:
        UserError: any input that cannot be used.
    """
    camera = read_intrinsics(Path(options.intrinsics)) if options.intrinsics else None
    clips = find_pictures(options.inputs)
    job = Job(options, load_model(_checkpoint(options), options.device), camera)
    if parse_scale(options.scale_from).kind != "camera_height":
        scale_of_model(parse_scale(options.scale_from), job.model)  # complains before any work is done
    facts = [f"{job.model.width}x{job.model.height}", trained_on(job.model.trained.record.get("dataset"))]
    print(f"model: {', '.join([str(job.model.trained.path), *filter(None, facts)])}, on {job.model.device}")
    make_folder(Path(options.out))
    # Its threads would fight with the network's; ours already keep the cores busy.
    cv2.setNumThreads(1)
    summary, start = Summary(), time.perf_counter()
    with WriteBehind(options.threads, behind=4 * options.threads) as writer:
        predictions = _predictions(job, clips, summary, stop or StopSignal())
        for clip, frames in itertools.groupby(predictions, key=lambda each: each.clip):
            _write_clip(job, clip, frames, writer, summary)
        writer.wait()
    summary.seconds = time.perf_counter() - start
    return summary


def _checkpoint(options: PredictOptions) -> Path:
    if options.checkpoint:
        return Path(options.checkpoint)
    try:
        return newest_run(Path(options.log_dir))
    except UserError:
        raise UserError(
            f"no run with a checkpoint in {options.log_dir}/: train first, or name a model with --checkpoint"
        ) from None


def _predictions(job: Job, clips: list[Pictures], summary: Summary, stop: StopSignal) -> Iterator[Predicted]:
    """All clips' frames in order, read ahead and predicted in batches that may span clips."""
    options, model = job.options, job.model
    frames = ((clip, frame) for clip in clips for frame in itertools.islice(clip.frames(), options.max_frames))
    load = partial(_load, height=model.height, width=model.width, camera=job.camera)
    loaded = read_ahead(frames, load, options.threads, ahead=2 * options.batch_size)
    limit = options.max_frames
    counts = [limit if clip.count is None else min(clip.count, limit or clip.count) for clip in clips]
    total = None if None in counts else sum(counts)
    with tqdm(total=total, unit="frame", leave=False, disable=None) as bar:
        while stop.number is None and (batch := list(itertools.islice(loaded, options.batch_size))):
            start = time.perf_counter()
            inverse_depths = model.inverse_depth(stack([resized for *_, resized in batch]))
            summary.network_seconds += time.perf_counter() - start
            summary.frames += len(batch)
            bar.update(len(batch))
            for (clip, frame, picture, _), inverse_depth in zip(batch, inverse_depths, strict=True):
                yield Predicted(clip, frame, picture, inverse_depth)


def _load(
    item: tuple[Pictures, Frame], height: int, width: int, camera: CameraFile | None
) -> tuple[Pictures, Frame, np.ndarray, Tensor]:
    """Where it belongs, the frame, picture uint8 (H,W,3), straight, and the network's input uint8 (3,height,width)."""
    clip, frame = item
    picture = frame.pixels if frame.path is None else read_picture(frame.path)
    lens = None if camera is None else camera.lens_for(picture.shape[1], picture.shape[0], clip.pixel_aspect)
    picture = picture if lens is None else lens.straighten_pixels(picture)
    return clip, frame, picture, resize_picture(picture, height, width)


def _write_clip(job: Job, clip: Pictures, frames: Iterator[Predicted], writer: WriteBehind, summary: Summary) -> None:
    """Hands a clip's frames to the writer, and writes its sidecar."""
    options = job.options
    head = list(itertools.islice(frames, _HEAD))
    note = job.model.note_on_shape(*head[0].picture.shape[:2], clip.pixel_aspect)
    if note and note not in summary.notes:
        summary.notes.add(note)
        tqdm.write(note)
    scale = _scale(job, clip, head)
    single = clip.kind == "image"
    folder = Path(options.out) if single else Path(options.out) / clip.name
    make_folder(folder)
    kinds = frozenset(options.write) | (frozenset({"ply"}) if options.ply else frozenset())
    files = FrameFiles(folder, kinds, _colouring(options, head, scale), options.ply_max_depth)
    wanted = options.video == "yes" or (options.video == "auto" and clip.kind in ("video", "camera"))
    video = SideBySide(folder / f"{folder.name}_side_by_side.mp4", clip.fps, clip.pixel_aspect) if wanted else None
    facts, records = _facts(job, clip, scale, files, video), []
    path = folder / (f"{clip.name}.json" if single else "clip.json")
    # Written at once, so that no depth lies there without its unit, and again with all frames at the end.
    write_sidecar(path, facts)
    try:
        for each in itertools.chain(head, frames):
            intrinsics = job.intrinsics(each)
            records.append(frame_record(each.frame.name, each.frame.path, each.picture, intrinsics))
            show = None if video is None else partial(video.add, each.picture)
            writer.submit(partial(_write_frame, files, each, scale, intrinsics), show)
        if video is not None:
            writer.wait()
            video.finish()
    finally:
        if video is not None:
            video.close()
    write_sidecar(path, facts | {"frames": records, "notes": clip.notes})
    for note in clip.notes:
        tqdm.write(f"note: {note}")
    summary.sidecars.append(path)


def _write_frame(files: FrameFiles, each: Predicted, scale: Scale, intrinsics: np.ndarray | None) -> np.ndarray:
    height, width = each.picture.shape[:2]
    prediction = full_size(each.inverse_depth, height, width, scale.factor, scale.unit)
    return files.write(each.frame.name, each.picture, prediction, intrinsics)


def _scale(job: Job, clip: Pictures, head: list[Predicted]) -> Scale:
    choice = parse_scale(job.options.scale_from)
    if choice.kind != "camera_height":
        return scale_of_model(choice, job.model)
    heights = []
    for each in head:
        height, width = each.picture.shape[:2]
        depth = full_size(each.inverse_depth, height, width, 1.0, "").depth
        intrinsics = job.intrinsics(each)
        assert intrinsics is not None  # the options see to that
        heights.append(camera_height(depth, intrinsics))
    return scale_of_height(choice.value, heights, clip.source)


def _colouring(options: PredictOptions, head: list[Predicted], scale: Scale) -> Colouring:
    if options.colour_range is not None:
        return Colouring(options.colours, *options.colour_range)
    return colouring_of([each.inverse_depth / scale.factor for each in head], options.colours)


def _facts(job: Job, clip: Pictures, scale: Scale, files: FrameFiles, video: SideBySide | None) -> dict[str, Any]:
    """The sidecar's entries but for the frames."""
    trained = job.model.trained
    return {
        "unit": scale.unit,
        "scale": {"factor": scale.factor, "from": scale.origin},
        "files": files.describe(scale.unit) | ({video.path.name: "image | depth"} if video is not None else {}),
        "source": clip.source,
        "pictures": "straightened" if job.camera and job.camera.lens else "as given",
        "model": str(trained.path),
        "trained_on": trained.record.get("dataset") or "unknown",
        "network_input": {"width": job.model.width, "height": job.model.height},
        "depth_limits": [trained.min_depth * scale.factor, trained.max_depth * scale.factor],
    }


if __name__ == "__main__":
    run(main)

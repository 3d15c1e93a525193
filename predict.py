"""Predicts depth for your own images, folders, globs, videos, a manifest or a camera.

    python predict.py photo.jpg
    python predict.py clip.mp4 "frames/*.png" --checkpoint runs/NAME
    python predict.py clip.mp4 --ply --fov 80 --scale_from camera_height=1.65
    python predict.py frames.jsonl --poses

Per frame it writes 16-bit and .npy depth and a colour picture, per clip a side-by-side video, and beside them a JSON
that says what unit and scale the numbers have.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor, stack
from tqdm import tqdm

from datasets.core.intrinsics import CameraFile, intrinsics_from_fov, read_intrinsics
from datasets.footage.media import Frame, Pictures, find_pictures, unique_name
from datasets.tools.manifest_pictures import manifest_pictures
from depth.dense.building import DenseModel, load_any
from depth.evaluation.report import trained_on
from depth.options.predict import PredictOptions, parse_scale
from depth.prediction.api import DepthModel
from depth.prediction.clips import Predicted, write_clip
from depth.prediction.metric_scale import scale_of_model
from depth.prediction.pictures import read_picture, resize_picture
from depth.prediction.tasks import TaskModel, predict_tasks
from depth.prediction.trajectory import Tracker
from depth.runs.checkpoint import model_place
from depth.support.cli import parse, run
from depth.support.distributed import choose_device
from depth.support.files import make_folder
from depth.support.stop_signal import StopSignal
from depth.support.threads import WriteBehind, read_ahead
from depth.types import UserError


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
class Loaded:
    """A frame that is read, and what the networks see of it."""

    clip: Pictures
    frame: Frame
    picture: np.ndarray  # uint8 (H,W,3) RGB, straight
    resized: Tensor  # uint8 (3,h,w)
    intrinsics: np.ndarray | None  # K, (3,3), in the picture's pixels; None where no camera is known
    straightened: bool


def main() -> None:
    """Predicts everything that was given and writes the files. Raises UserError for bad input."""
    options = parse(PredictOptions, __doc__)
    model = load(options)
    with StopSignal() as stop:
        if isinstance(model, TaskModel):
            print(predict_tasks(_clips(options.inputs), options, model, stop))
            return
        summary = predict(options, model, stop)
    print(summary)
    names = [*map(str, summary.sidecars[:3]), *(["..."] if len(summary.sidecars) > 3 else [])]
    print(f"written: {options.out}/; unit and scale: {' '.join(names)}")


def load(options: PredictOptions) -> DepthModel | TaskModel:
    """The model that is named, or the newest run's. Raises UserError where there is none."""
    trained = load_any(model_place(options.checkpoint, options.log_dir), options.checkpoint_choice)
    kind = TaskModel if isinstance(trained, DenseModel) else DepthModel
    return kind(trained, choose_device(options.device))


def predict(options: PredictOptions, model: DepthModel, stop: StopSignal | None = None) -> Summary:
    """Everything from options to files.

    Args:
        options: what, and what is written.
        model: with which model.
        stop: a signal ends the run after the current batch; files and sidecars are complete then.

    Raises:
        UserError: any input that cannot be used.
    """
    camera = read_intrinsics(Path(options.intrinsics)) if options.intrinsics else None
    clips = _clips(options.inputs)
    if parse_scale(options.scale_from).kind != "camera_height":
        scale_of_model(parse_scale(options.scale_from), model)  # complains before any work is done
    alone = next((clip for clip in clips if clip.kind == "image"), None) if options.poses else None
    if alone:
        raise UserError(f"--poses: {alone.source} is a single picture; frames in a row are a folder, a glob, a video")
    if options.poses and model.trained.pose_net is None:
        raise UserError(f"--poses: {model.trained.path} has no pose network")
    trained = model.trained
    known = trained_on(trained.record.get("dataset"))
    facts = [trained.path, trained.checkpoint, f"{model.width}x{model.height}", known]
    print(f"model: {', '.join(str(fact) for fact in facts if fact)}, on {model.device}")
    make_folder(Path(options.out))
    # Its threads would fight with the network's; ours already keep the cores busy.
    cv2.setNumThreads(1)
    summary, start = Summary(), time.perf_counter()
    with WriteBehind(options.threads, behind=4 * options.threads) as writer:
        predictions = _predictions(options, model, camera, clips, summary, stop or StopSignal())
        for _, frames in itertools.groupby(predictions, key=lambda each: each.clip):
            summary.sidecars.append(write_clip(options, model, frames, writer))
        writer.wait()
    summary.seconds = time.perf_counter() - start
    return summary


def _clips(inputs: tuple[str, ...]) -> list[Pictures]:
    """The clips of what was named, then the sequences of manifests."""
    manifests = [Path(text) for text in inputs if text.endswith(".jsonl")]
    pictures = [text for text in inputs if not text.endswith(".jsonl")]
    clips = find_pictures(pictures)
    names = {clip.name for clip in clips}  # sequences of two manifests may have one
    for path in manifests:
        clips += [replace(clip, name=unique_name(clip.name, names)) for clip in manifest_pictures(path)]
    return clips


def _predictions(
    options: PredictOptions,
    model: DepthModel,
    camera: CameraFile | None,
    clips: list[Pictures],
    summary: Summary,
    stop: StopSignal,
) -> Iterator[Predicted]:
    """All clips' frames in order, read ahead and predicted in batches that may span clips."""
    frames = ((clip, frame) for clip in clips for frame in itertools.islice(clip.frames(), options.max_frames))
    load = partial(_load, height=model.height, width=model.width, camera=camera, fov=options.fov)
    loaded = read_ahead(frames, load, options.threads, ahead=2 * options.batch_size)
    tracker = Tracker(model) if options.poses else None
    limit = options.max_frames
    counts = [limit if clip.count is None else min(clip.count, limit or clip.count) for clip in clips]
    total = None if None in counts else sum(counts)
    with tqdm(total=total, unit="frame", leave=False, disable=None) as bar:
        while stop.number is None and (batch := list(itertools.islice(loaded, options.batch_size))):
            start = time.perf_counter()
            images = stack([each.resized for each in batch])
            inverse_depths = model.inverse_depth(images)
            motions = tracker.motions(images, [each.clip for each in batch]) if tracker else [None] * len(batch)
            summary.network_seconds += time.perf_counter() - start
            summary.frames += len(batch)
            bar.update(len(batch))
            for each, inverse_depth, motion in zip(batch, inverse_depths, motions, strict=True):
                _note_shape(model, each, summary)
                facts = (each.intrinsics, each.straightened, motion)
                yield Predicted(each.clip, each.frame, each.picture, inverse_depth, *facts)


def _note_shape(model: DepthModel, each: Loaded, summary: Summary) -> None:
    note = model.note_on_shape(*each.picture.shape[:2], each.clip.pixel_aspect)
    if note and note not in summary.notes:
        summary.notes.add(note)
        tqdm.write(note)


def _load(
    item: tuple[Pictures, Frame], height: int, width: int, camera: CameraFile | None, fov: float | None
) -> Loaded:
    """Reads a frame; its own camera, as a manifest's frames have one, counts more than the command's."""
    clip, frame = item
    picture = frame.pixels if frame.path is None else read_picture(frame.path)
    size, camera = (picture.shape[1], picture.shape[0], clip.pixel_aspect), frame.camera or camera
    lens = None if camera is None else camera.lens_for(*size)
    picture = picture if lens is None else lens.straighten_pixels(picture)
    intrinsics = None
    if camera is not None:
        intrinsics = camera.scaled_to(*size)
    elif fov is not None:
        intrinsics = intrinsics_from_fov(fov, *size)
    return Loaded(clip, frame, picture, resize_picture(picture, height, width), intrinsics, lens is not None)


if __name__ == "__main__":
    run(main)

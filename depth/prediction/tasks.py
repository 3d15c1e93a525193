"""Predictions of several tasks for pictures of one's own: the Python API, and the files that predict.py writes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from depth.dense.building import DenseModel, load_dense
from depth.options.predict import PredictOptions
from depth.prediction.files import write_sidecar
from depth.prediction.pictures import as_picture, read_picture, resize_picture
from depth.support.distributed import choose_device
from depth.support.files import make_folder, write_file
from depth.support.stop_signal import StopSignal
from depth.types import UserError

_JPEG_QUALITY = 95
# Options that are about depth and its files, and what they are where they were not given.
_DEPTH_ONLY = "write ply ply_max_depth poses scale_from intrinsics fov colour_range colours".split()
_USUAL = {each.name: each.default for each in fields(PredictOptions)}


def load_tasks(
    path: str | os.PathLike[str], device: str | None = None, checkpoint_choice: Literal["last", "best"] = "last"
) -> TaskModel:
    """A trained network of several tasks, ready to predict.

    Args:
        path: a run's folder or a checkpoint file.
        device: cuda, cuda:1 or cpu; default: cuda if there is one.
        checkpoint_choice: which of a run's checkpoints, the last or the best on validation.

    Raises:
        UserError: there is no such checkpoint, it is damaged, of depth from video alone, or the device is not there.
    """
    return TaskModel(load_dense(Path(path).expanduser(), checkpoint_choice), choose_device(device))


class TaskModel:
    """A network of several tasks with its input size.

    Attributes:
        tasks: name -> task; depth from video has no unit here: depth.load_model is for it.
        classes: of the data set that it was trained on, or None.
    """

    def __init__(self, trained: DenseModel, device: torch.device) -> None:
        self.trained, self.device = trained, device
        self.tasks = {name: task for name, task in trained.tasks.items() if name in trained.config.tasks.labelled}
        self.classes = trained.classes
        self.net = trained.net.to(device, memory_format=torch.channels_last)

    def predict(self, image: str | os.PathLike[str] | np.ndarray | Tensor) -> dict[str, np.ndarray]:
        """Results of one image at its own size, by task.

        semantics: uint8 (H,W) class ids; normals: float32 (H,W,3), unit, x right, y down, z forward; depth: float32
        (H,W), metres; panoptic: int64 (H,W), class * 1000 + number, 0 for stuff, -1 for none.

        Args:
            image: as depth.prediction.api.DepthModel.predict takes it.

        Raises:
            UserError: the file cannot be read, or the array is no image.
        """
        picture = read_picture(Path(image)) if isinstance(image, str | os.PathLike) else as_picture(image)
        resized = resize_picture(picture, self.trained.height, self.trained.width)
        with torch.inference_mode():
            images = resized[None].to(self.device).contiguous(memory_format=torch.channels_last).float() / 255
            outputs = self.net(images).outputs()
            size = picture.shape[:2]
            return {name: task.results(outputs, size)[0] for name, task in self.tasks.items()}


def write_results(model: TaskModel, folder: Path, stem: str, results: dict[str, np.ndarray]) -> None:
    """Writes <stem>_<task>.png, which `describe` explains, and <stem>_<task>_colour.jpg. Raises UserError."""
    make_folder((folder / stem).parent)  # names out of a glob hold folders
    for name, result in results.items():
        task = model.tasks[name]
        png = cv2.imencode(".png", task.stored(result))[1]
        write_file(folder / f"{stem}_{name}.png", png.tobytes(), flush=False)
        picture = np.ascontiguousarray(task.picture(result)[..., ::-1])
        jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))[1]
        write_file(folder / f"{stem}_{name}_colour.jpg", jpeg.tobytes(), flush=False)


class Clip(Protocol):
    """Frames that belong together, see datasets.footage.media.Pictures."""

    name: str
    kind: str  # "image" is a clip of one
    pixel_aspect: float

    def frames(self) -> Iterator[Any]:
        """Frames with `name`, `path` or `pixels`, uint8 (H,W,3), and `camera`, a CameraFile or None."""


def predict_tasks(clips: Sequence[Clip], options: PredictOptions, model: TaskModel, stop: StopSignal) -> str:
    """Predicts and writes all frames, and a JSON a clip that says what the files mean; returns what was done.

    A signal ends it after the current frame; files and JSON are complete then. Raises UserError for options that are
    for depth alone, and for input that cannot be used.
    """
    idle = [name for name in _DEPTH_ONLY if getattr(options, name) != _USUAL[name]]
    if idle or options.video == "yes":
        given = " ".join(f"--{name}" for name in [*idle, *(["video yes"] if options.video == "yes" else [])])
        raise UserError(f"{given} is for depth from video; this model predicts several tasks")
    count = 0
    for clip in clips:
        if stop.number is not None:
            break
        single = clip.kind == "image"
        folder = Path(options.out) if single else Path(options.out) / clip.name
        frames = itertools.takewhile(lambda _: stop.number is None, itertools.islice(clip.frames(), options.max_frames))
        sidecar = folder / (f"{clip.name}.json" if single else "clip.json")
        count += _predict_clip(model, sidecar, frames, clip.pixel_aspect)
    return f"{count} frames: {', '.join(model.tasks)}; written: {options.out}/, what the files mean in its .json"


def _predict_clip(model: TaskModel, sidecar: Path, frames: Iterable[Any], pixel_aspect: float) -> int:
    """Predicts and writes a clip's frames, and its JSON beside them; returns how many there were."""
    make_folder(sidecar.parent)
    names, straightened = [], False
    for frame in frames:
        picture = frame.pixels if frame.path is None else read_picture(frame.path)
        size = picture.shape[1], picture.shape[0], pixel_aspect
        lens = None if frame.camera is None else frame.camera.lens_for(*size)
        straightened |= lens is not None
        results = model.predict(picture if lens is None else lens.straighten_pixels(picture))
        write_results(model, sidecar.parent, frame.name, results)
        names.append(frame.name)
    trained = model.trained
    classes = {} if model.classes is None else {"classes": dict(enumerate(model.classes.names))}
    facts = {
        "files": {f"*_{name}.png": task.meaning for name, task in model.tasks.items()},
        "model": str(trained.path),
        "trained_on": trained.record.get("dataset") or "unknown",
        "network_input": {"width": trained.width, "height": trained.height},
        "pictures": "straightened" if straightened else "as given",
        "frames": names,
    }
    write_sidecar(sidecar, facts | classes)
    return len(names)

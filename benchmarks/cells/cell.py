"""One cell of a grid: a training that can go on after an interruption, and what is measured of its model."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from datasets.core.augment import prepare
from datasets.core.evaluated import EvalDataset
from datasets.core.frames import FrameDataset, collate
from datasets.kitti.ground_truth import DepthMapGroundTruth
from datasets.locate import DataPlace
from datasets.sets import open_source, split_frames
from depth.build import build_objective
from depth.dejavu.attention import SharedAttention
from depth.evaluation.analysis import boundary_errors, term_gradients, texture_copy
from depth.evaluation.metrics import METRICS, Predictor, Scaling, align, depth_errors
from depth.evaluation.predictors import ConstantPrior, NetworkPredictor
from depth.evaluation.protocols import PROTOCOLS, prepare_sample
from depth.options.config import Config, resolved
from depth.runs.checkpoint import load_checkpoint, load_resumable, load_weights
from depth.runs.run_folder import read_run, versions
from depth.support.distributed import Process
from depth.trained import load_trained
from depth.types import EvalSample, UserError
from train import train

Part = Literal["val", "test"]
EXTRA = ("edge_abs_rel", "rest_abs_rel", "texture_energy", "texture_correlation")
_MACHINE = ("data_path", "cache_dir", "cache", "num_workers", "device", "log")
_GRADIENT_BATCHES = 4
_PROTOCOL = PROTOCOLS["synthetic"]


def settings_of(config: Config) -> dict[str, Any]:
    """What decides a result, as plain values: the resolved config without what belongs to the machine."""
    values = json.loads(json.dumps(resolved(config).to_dict()))
    return _without_machine(values)


def _without_machine(values: dict[str, Any]) -> dict[str, Any]:
    return {
        group: {name: value for name, value in options.items() if name not in _MACHINE}
        for group, options in values.items()
        if group not in _MACHINE
    }


def train_cell(config: Config, folder: Path, process: Process) -> float | None:
    """Trains to the end in folder/run, from where an interrupted training stood.

    Returns the seconds it took; NaN where it did not begin or end in this call; None where a signal ended it.
    Raises UserError where the folder holds a training with other settings.
    """
    run = folder / "run"
    log = replace(config.log, log_dir=str(folder), model_name="run")
    begun = any((run / "checkpoints" / name).is_file() for name in ("last.pt", "previous.pt"))
    if begun:
        found = _without_machine(read_run(run).get("config", {}))
        if found != settings_of(config):
            raise UserError(f"{run} was trained with other settings: choose another --out, or remove it")
        if last_checkpoint(run)[1] >= config.train.max_steps:
            return float("nan")
        log = replace(log, resume=str(run))
    elif run.exists():
        shutil.rmtree(run)  # ended before its first checkpoint
    started = time.monotonic()
    if not train(replace(config, log=log), process):
        return None
    return float("nan") if begun else time.monotonic() - started


def last_checkpoint(run: Path) -> tuple[Path, int]:
    """A run's newest checkpoint that can be read, and its steps. Raises UserError where there is none."""
    path, state = load_resumable(run)
    return path, state["progress"]["step"]


def measure_cell(config: Config, run: Path, place: DataPlace, part: Part, device: torch.device) -> dict[str, Any]:
    """Everything that is measured of a run's last model: its last and not its best, since all have equal steps."""
    config = resolved(config)
    path, steps = last_checkpoint(run)
    model = load_trained(path)
    depth_net = model.depth_net.to(device)
    predictor = NetworkPredictor(depth_net, device, model.min_depth, model.max_depth)
    return {
        "steps": steps,
        "settings": settings_of(config),
        "versions": versions(),
        "inference_parameters": sum(p.numel() for p in depth_net.parameters()),
        "per_image": measure(predictor, place, part, (model.height, model.width)),
        "gradients": gradients(config, path, place, device),
    }


def measure(predictor: Predictor, place: DataPlace, part: Part, size: tuple[int, int]) -> dict[str, list[Any]]:
    """METRICS and EXTRA of each image, median-scaled, and "name"; NaN where an image has nothing to measure.

    size: rows and columns of the predictor's input.
    """
    refs = split_frames(place, "synthetic", part)
    source = open_source(place, refs)
    samples = EvalDataset(source, refs, *size, DepthMapGroundTruth(source))
    rows: dict[str, list[Any]] = {name: [] for name in ("name", *METRICS, *EXTRA)}
    for index, ref in enumerate(refs):
        sample = samples[index]
        inverse = predictor([sample], index)[0]
        values = _image_values(inverse, sample, source.image_path(ref))
        for name, value in {"name": sample.name, **values}.items():
            rows[name].append(value)
    return rows


def _image_values(inverse: np.ndarray, sample: EvalSample, image_path: Path) -> dict[str, float]:
    prepared = prepare_sample(sample, _PROTOCOL)
    depth, _ = align(inverse, prepared, _PROTOCOL, Scaling())
    predicted = replace(prepared.truth, depth=depth).dense()  # 0 where no error counts
    values = dict(zip(METRICS, depth_errors(prepared.truth.depth, depth), strict=True))
    values["edge_abs_rel"], values["rest_abs_rel"] = boundary_errors(sample.truth.dense(), predicted, predicted > 0)
    values["texture_energy"] = values["texture_correlation"] = float("nan")
    drive = image_path.parent.parent.parent
    labels = drive / "semantics" / "surface_02" / image_path.name
    if labels.is_file():  # a world that was written with them
        surfaces = cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)
        grey = cv2.imread(str(image_path), cv2.IMREAD_GRAYSCALE) / 255.0
        full = cv2.resize(np.ascontiguousarray(inverse), surfaces.shape[::-1], interpolation=cv2.INTER_LINEAR)
        copied = texture_copy(full, grey, surfaces)
        if copied is not None:
            values["texture_energy"], values["texture_correlation"] = copied.energy, copied.correlation
    return values


def gradients(config: Config, path: Path, place: DataPlace, device: torch.device) -> dict[str, dict[str, float]]:
    """Norm of each weighted term's gradient in the depth network, and its cosine with the photometric one's.

    Means over a few batches of validation frames, in training mode, at the trained weights; the shared attention's
    own parameters are left out, so that all models are asked the same.
    """
    objective = build_objective(config)
    load_weights(objective, load_checkpoint(path)["objective"], "model", path)
    objective.to(device).train()
    depth_net = objective.depth_net.base if isinstance(objective.depth_net, SharedAttention) else objective.depth_net
    parameters = [p for p in depth_net.parameters() if p.requires_grad]
    refs = split_frames(place, "synthetic", "val")
    data, size = config.data, config.train.batch_size
    offsets = tuple(offset for offset in data.frame_ids if offset)
    frames = FrameDataset(
        open_source(place, refs), refs, data.height, data.width, offsets, data.use_stereo, augment=False
    )
    found = []
    torch.manual_seed(0)  # of edits and of the auto-mask's noise
    for first in range(0, min(len(refs), _GRADIENT_BATCHES * size), size):
        batch = prepare(collate([frames[i] for i in range(first, min(first + size, len(refs)))]), device)
        terms = objective(batch).terms.values
        found.append(term_gradients(terms, objective.weights, parameters, "photometric"))
    return {
        term: {key: float(np.mean([one[term][key] for one in found])) for key in ("norm", "cosine")}
        for term in found[0]
    }


def constant_prior(config: Config, place: DataPlace, part: Part) -> dict[str, list[Any]]:
    """`measure` of the map that is the same for every image."""
    data = resolved(config).data
    refs = split_frames(place, "synthetic", "train")
    source = open_source(place, refs)
    samples = EvalDataset(source, refs, data.height, data.width, DepthMapGroundTruth(source))
    size = (data.height, data.width)
    prior = ConstantPrior.fit((prepare_sample(samples[i], _PROTOCOL) for i in range(len(refs))), size)
    return measure(prior, place, part, size)

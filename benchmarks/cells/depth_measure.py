"""What a grid measures of depth from video: errors against the embedded world's exact depth, edges, texture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.cells.cell import last_checkpoint
from benchmarks.cells.measure import Part
from datasets.core.augment import prepare
from datasets.core.evaluated import EvalDataset
from datasets.core.frames import FrameDataset, collate
from datasets.kitti.ground_truth import DepthMapGroundTruth
from datasets.locate import DataPlace, find_data
from datasets.sets import open_source, split_frames
from datasets.world.making import WorldSpec
from depth.build import build_objective
from depth.dejavu.attention import SharedAttention
from depth.evaluation.analysis import boundary_errors, term_gradients, texture_copy
from depth.evaluation.metrics import METRICS, Predictor, Scaling, align, depth_errors
from depth.evaluation.predictors import ConstantPrior, NetworkPredictor
from depth.evaluation.protocols import PROTOCOLS, prepare_sample
from depth.options.config import Config, resolved
from depth.runs.checkpoint import load_checkpoint, load_weights
from depth.trained import load_trained
from depth.types import EvalSample, UserError

# The embedded world's own training drives, with labels and with more drives to measure on: frames of one drive are
# alike, so it is drives that intervals are made of.
WORLD = WorldSpec(labels=True, val_drives=8, test_drives=16)

EXTRA = ("edge_abs_rel", "rest_abs_rel", "texture_energy", "texture_correlation")
_GRADIENT_BATCHES = 4
_PROTOCOL = PROTOCOLS["synthetic"]


class DepthMeasure:
    """Median-scaled errors of a run's last model."""

    columns: Mapping[str, str] = {
        "abs_rel": "Abs Rel",
        "sq_rel": "Sq Rel",
        "rmse": "RMSE",
        "d1": "δ<1.25",
        "edge_abs_rel": "Abs Rel at edges",
        "rest_abs_rel": "elsewhere",
        "texture_energy": "texture energy",
        "texture_correlation": "texture correlation",
    }
    drawn = ("abs_rel", "edge_abs_rel", "rest_abs_rel", "texture_energy")
    means = "means over the images, median-scaled"

    def place(self, config: Config, cache_dir: Path) -> DataPlace:
        """The embedded world. Raises UserError where the folder is another set."""
        place = find_data(config.data.data_path, "synthetic", cache_dir, WORLD)
        if place.kind != "synthetic":
            raise UserError(f"{place.root}: the ablation measures against exact depth, which the embedded world has")
        return place

    def training_images(self, config: Config, place: DataPlace) -> int:
        """Samples of an epoch."""
        return len(split_frames(place, "synthetic", "train"))

    def result(
        self, config: Config, folder: Path, place: DataPlace, part: Part, device: torch.device
    ) -> dict[str, Any]:
        """Each image's errors and each term's gradient, of a run's last model."""
        config = resolved(config)
        path, _ = last_checkpoint(folder / "run")
        model = load_trained(path)
        depth_net = model.depth_net.to(device)
        predictor = NetworkPredictor(depth_net, device, model.min_depth, model.max_depth)
        return {
            "inference_parameters": sum(p.numel() for p in depth_net.parameters()),
            "per_image": measure(predictor, place, part, (model.height, model.width)),
            "gradients": gradients(config, path, place, device),
        }

    def prior(
        self, config: Config, place: DataPlace, part: Part, results: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """`result` of the map that is the same for every image."""
        data = resolved(config).data
        refs = split_frames(place, "synthetic", "train")
        source = open_source(place, refs)
        samples = EvalDataset(source, refs, data.height, data.width, DepthMapGroundTruth(source))
        size = (data.height, data.width)
        prior = ConstantPrior.fit((prepare_sample(samples[i], _PROTOCOL) for i in range(len(refs))), size)
        return {"per_image": measure(prior, place, part, size)}


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

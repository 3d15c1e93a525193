"""What is evaluated: a model, or disparities from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from depth.dense.building import load_depth
from depth.evaluation.metrics import Predictor, Scaling
from depth.evaluation.predictors import NetworkPredictor, StoredPredictions
from depth.evaluation.scaling import scaling_of, suffix_of
from depth.options.evaluate import EvaluationOptions
from depth.runs.checkpoint import newest_run

_STORED_SIZE = (192, 640)  # rows, columns of the input pictures beside disparities that come from a file


@dataclass(frozen=True)
class Source:
    """What is evaluated: a model, or disparities from a file."""

    path: Path
    home: Path  # folder in which results are written by default
    size: tuple[int, int]  # rows, columns of the images
    scaling: Scaling
    predictor: Callable[[int], Predictor]  # number of images in the split -> predictor
    checkpoint: str | None  # which one, in words; None for a file
    record: dict[str, Any]  # plain values for metrics.json
    trained_on: str | None  # dataset, where it is known
    suffix: str  # of the folder for results: what differs from the usual settings


def evaluated_model(options: EvaluationOptions, device: torch.device) -> Source:
    """The model that is named, or the newest run's. Raises UserError where there is none."""
    place = Path(options.load_weights_folder) if options.load_weights_folder else newest_run(Path(options.log_dir))
    model = load_depth(place, options.checkpoint_choice)
    depth_net = model.depth_net.to(device)
    predictor = NetworkPredictor(depth_net, device, model.min_depth, model.max_depth, flip=options.post_process)
    return Source(
        path=model.path,
        home=place if place.is_dir() else place.parent,
        size=(model.height, model.width),
        scaling=scaling_of(options, model),
        predictor=lambda count: predictor,
        checkpoint=str(model.checkpoint),
        record={"post_process": options.post_process, "checkpoint": asdict(model.checkpoint), "trained": model.record},
        trained_on=model.record.get("dataset"),
        suffix=suffix_of(options, model),
    )


def stored_predictions(options: EvaluationOptions) -> Source:
    """Disparities from --ext_disp_to_eval."""
    path = Path(options.ext_disp_to_eval)
    return Source(
        path=path,
        home=path.parent,
        size=_STORED_SIZE,
        scaling=scaling_of(options, None),
        predictor=lambda count: StoredPredictions(path, count),
        checkpoint=None,
        record={},
        trained_on=None,
        suffix=f"_{path.stem}{suffix_of(options, None)}",
    )

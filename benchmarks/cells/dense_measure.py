"""What a grid measures of tasks from labels: evaluate_dense.py's figures, of the whole set and of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.cells.measure import Part
from datasets.labelled_sets import evaluation_images
from datasets.locate import DataPlace, find_data, find_manifest
from datasets.world.making import LABELLED_WORLD
from depth.dense.building import load_dense
from depth.options.config import Config
from depth.options.evaluate import DenseOptions
from depth.options.fields import check
from depth.support.distributed import Process
from depth.support.parts import constructor_of
from depth.tasks import TASKS
from evaluate_dense import evaluate


class DenseMeasure:
    """Figures of a run's last model, a task after the other."""

    means = "figures of the whole set"

    def __init__(self, config: Config) -> None:
        check(not config.tasks.video, "a grid of tasks learns from labels alone: --depth_from labels")
        self.kinds = config.tasks.label_kinds
        self.figures = {name: constructor_of(TASKS, name, "task").figures for name in config.tasks.labelled}
        self.columns = {
            f"{name}/{figure}": f"{name} {figure}" for name, all_ in self.figures.items() for figure in all_
        }
        self.drawn = tuple(f"{name}/{all_[0]}" for name, all_ in self.figures.items())

    def place(self, config: Config, cache_dir: Path) -> DataPlace:
        """The labelled set that the flags name; the embedded world without any."""
        data = config.data
        if data.dataset == "frames":
            return find_manifest(data.data_path, data.skip_missing)
        return find_data(data.data_path, data.dataset, cache_dir, LABELLED_WORLD)

    def training_images(self, config: Config, place: DataPlace) -> int:
        """Samples of an epoch."""
        return len(evaluation_images(place, "train", self.kinds, config.data.skip_missing)[1])

    def result(
        self, config: Config, folder: Path, place: DataPlace, part: Part, device: torch.device
    ) -> dict[str, Any]:
        """Figures of the set and of each image; the best constant prediction's beside them."""
        data = config.data
        path = str(place.root) if place.own is None else data.data_path
        report = evaluate(
            DenseOptions(
                part, data_path=path, load_weights_folder=str(folder / "run"), num_workers=data.num_workers,
                dataset=place.kind, eval_out_dir=str(folder / f"dense_{part}"), skip_missing=data.skip_missing,
            ),
            Process(0, 1, device),
        )  # fmt: skip
        net = load_dense(folder / "run", "last").net
        return {
            "inference_parameters": sum(p.numel() for p in net.parameters()),
            "per_image": {"name": list(report.names)}
            | {key: [row[key] for row in report.rows] for key in self.columns},
            "whole": self._flat(report.results),
            "constant": self._flat(report.constant),
            "gradients": {},
        }

    def prior(
        self, config: Config, place: DataPlace, part: Part, results: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """What the first result found of it."""
        return {"whole": results[0]["constant"]} if results else {}

    def _flat(self, results: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        return {f"{name}/{figure}": results[name][figure] for name, all_ in self.figures.items() for figure in all_}

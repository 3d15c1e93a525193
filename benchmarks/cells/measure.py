"""What a grid's models are measured by: depth from video and tasks from labels have one each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from datasets.locate import DataPlace
from depth.options.config import Config

Part = Literal["val", "test"]


class Measure(Protocol):
    """Where a grid's data is, and what of a trained cell goes into its tables."""

    columns: Mapping[str, str]  # figure -> heading
    drawn: Sequence[str]  # figures with a panel
    means: str  # what the first table's figures are, in words

    def place(self, config: Config, cache_dir: Path) -> DataPlace:
        """The data of all cells. Raises UserError where it cannot be measured on."""

    def training_images(self, config: Config, place: DataPlace) -> int:
        """Samples of an epoch."""

    def result(
        self, config: Config, folder: Path, place: DataPlace, part: Part, device: torch.device
    ) -> dict[str, Any]:
        """What is kept of the training in folder/run: "per_image", a list a figure, and "name"; "gradients" by term;
        "inference_parameters"; where the set has figures that are no means over images, "whole"."""

    def prior(
        self, config: Config, place: DataPlace, part: Part, results: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """ "per_image" or "whole" of the best prediction that is the same for every image; empty where not known."""

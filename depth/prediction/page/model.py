"""What the page shows of a model: depth, the tasks' pictures, and DejaVu itself on a picture."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from depth.build import build_branch
from depth.dejavu.edits import EDITS, build_edit, default_block
from depth.dense.building import dense_from
from depth.options.dejavu import DejaVuOptions
from depth.prediction.api import METRES, UP_TO_SCALE, DepthModel, full_size
from depth.prediction.pictures import resize_picture
from depth.runs.checkpoint import find_checkpoint, load_checkpoint, load_weights
from depth.runs.contents import config_of
from depth.runs.monodepth2 import is_monodepth2_folder
from depth.support.parts import constructor_of
from depth.tasks.base import Outputs
from depth.trained import load_trained, trained_from
from depth.types import UserError

_LONG_SIDE = 640  # of the depth that is sent to the page, pixels
_SETTINGS = ("keep", "block", "drop", "cutoff", "band")
_DIFFERENCE_GAIN = 4.0


@dataclass(frozen=True)
class Seen:
    """What a model makes of a picture."""

    depth: np.ndarray | None  # float32 (h,w), long side at most 640; None where the model predicts none
    unit: str
    pictures: dict[str, np.ndarray]  # a task's prediction, uint8 (H,W,3) RGB


class PageModel:
    """A run, a checkpoint or an original folder, for the page. Raises UserError where it cannot be loaded.

    `choice`: which of a run's checkpoints, "last" or "best". The regeneration module is taken from the training's
    checkpoint, where there is one; inference never loads it.
    """

    def __init__(self, place: Path, device: torch.device, choice: str = "last") -> None:
        self.place, self.device = place, device
        original = place.is_dir() and is_monodepth2_folder(place)
        path = place if original else find_checkpoint(place, choice)
        self.state = {} if original else load_checkpoint(path)
        self.config = None if original else config_of(self.state, path)
        if self.config is not None and self.config.tasks.labelled:
            dense = dense_from(self.state, path)
            self.checkpoint = dense.checkpoint
            self.tasks, self.net = dense.tasks, dense.net.to(device)
            self.depth: DepthModel | None = None
            self.height, self.width = dense.height, dense.width
        else:
            trained = load_trained(place, choice) if original else trained_from(self.state, path)
            self.tasks, self.depth = {}, DepthModel(trained, device)
            self.checkpoint = self.depth.trained.checkpoint
            self.net = self.depth.depth_net
            self.height, self.width = self.depth.height, self.depth.width
        self._branch: Any = None

    def look(self, picture: np.ndarray) -> Seen:
        """What the model makes of uint8 (H,W,3) RGB."""
        height, width = picture.shape[:2]
        shrink = min(1.0, _LONG_SIDE / max(height, width))
        size = (max(2, round(height * shrink)), max(2, round(width * shrink)))
        resized = resize_picture(picture, self.height, self.width)
        if self.depth is not None:
            inverse = self.depth.inverse_depth(resized[None])[0]
            return Seen(full_size(inverse, *size, self.depth.scale, self.depth.unit).depth, self.depth.unit, {})
        with torch.inference_mode():
            results = self._results(self.net(self._input(resized)).outputs(), size)
        pictures = {name: self.tasks[name].picture(result) for name, result in results.items() if name != "depth"}
        return Seen(results.get("depth"), METRES if self._metric else UP_TO_SCALE, pictures)

    def _results(self, outputs: Outputs, size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {name: task.results(outputs, size)[0] for name, task in self.tasks.items()}

    @property
    def _metric(self) -> bool:
        """Whether a depth beside other tasks has metres."""
        return "depth" in self.config.tasks.labelled or self.config.metres_from is not None

    def edits(self) -> dict[str, list[str]]:
        """Edit -> the settings it takes."""
        return {name: _settings_of(constructor_of(EDITS, name, "edit")) for name in EDITS}

    def usual(self) -> dict[str, Any]:
        """The training's edit and its settings, with which the page begins; the defaults without DejaVu."""
        options = DejaVuOptions() if self.config is None else self.config.dejavu
        found = {name: getattr(options, f"edit_{name}") for name in _SETTINGS}
        return found | {"edit": options.edit, "block": found["block"] or default_block(self.width)}

    def dejavu(self, picture: np.ndarray, edit: str, settings: dict[str, Any]) -> dict[str, np.ndarray]:
        """Redacted, regenerated, their difference to the picture, and what the module is told, uint8 (h,w,3) RGB.

        Args:
            picture: uint8 (H,W,3) RGB.
            edit: one of EDITS.
            settings: see depth.dejavu.edits.build_edit; those that are not there are the training's.

        Raises UserError for a model without a regeneration module, an unknown edit, or a setting out of range.
        """
        if self.config is None or not self.config.dejavu.dejavu:
            raise UserError("this model was trained without DejaVu: train with --dejavu to see it at work")
        image = self._input(resize_picture(picture, self.height, self.width))
        given = {name: value for name, value in self.usual().items() if name != "edit"} | settings
        branch = self._loaded_branch(image)
        branch.edit = build_edit(edit, **given | {"block": int(given["block"])})
        torch.manual_seed(0)  # the same blocks for the same picture
        with torch.inference_mode():
            outputs = self._outputs(image)
            prediction = self._condition(outputs)
            found = branch(image, prediction)
        difference = (found.regenerated - image).abs() * _DIFFERENCE_GAIN
        pictures = {"picture": image, "redacted": found.redacted, "regenerated": found.regenerated}
        shown = {name: _bytes(each[0]) for name, each in pictures.items()}
        shown[f"difference, times {_DIFFERENCE_GAIN:g}"] = _bytes(difference[0])
        if not self.tasks:
            return shown | {"what the module is told": _magma(prediction[0, 0].cpu().numpy())}
        results = self._results(outputs, tuple(image.shape[-2:]))
        told = {name: self.tasks[name].picture(results[name]) for name in self.config.tasks.conditions}
        return shown | {f"what the module is told: {name}": each for name, each in told.items()}

    def _loaded_branch(self, image: Tensor) -> Any:
        """The branch with the weights of the training's checkpoint."""
        if self._branch is None:
            objective = self.state.get("objective")
            if objective is None and self.place.is_dir():
                last = self.place / "checkpoints" / "last.pt"
                objective = load_checkpoint(last).get("objective") if last.is_file() else None
            mine = {k.removeprefix("dejavu."): v for k, v in (objective or {}).items() if str(k).startswith("dejavu.")}
            if not mine:
                raise UserError("the regeneration module is in a run's last.pt alone: give the run's folder")
            with torch.inference_mode():
                channels = self._condition(self._outputs(image)).shape[1]
            branch = build_branch(self.config, channels, normalise=not self.tasks)
            load_weights(branch, mine, "regeneration module", self.place)
            self._branch = branch.to(self.device).eval()
        return self._branch

    def _outputs(self, image: Tensor) -> Outputs:
        """What the network says, by task."""
        output = self.net(image)
        return output.outputs() if self.tasks else {"depth": output.disparities[0].float()}

    def _condition(self, outputs: Outputs) -> Tensor:
        """What the regeneration module is given: (B,C,h,w)."""
        if not self.tasks:
            return outputs["depth"]
        return torch.cat([self.tasks[name].condition(outputs) for name in self.config.tasks.conditions], 1)

    def _input(self, resized: Tensor) -> Tensor:
        return resized[None].to(self.device).float() / 255


def _settings_of(constructor: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(constructor).parameters if name in _SETTINGS]


def _bytes(image: Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _magma(values: np.ndarray) -> np.ndarray:
    levels = np.clip(values / max(float(np.quantile(values, 0.95)), 1e-6), 0, 1)
    return cv2.applyColorMap((255 * levels).astype(np.uint8), cv2.COLORMAP_MAGMA)[..., ::-1]

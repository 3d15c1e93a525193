"""What an exported file computes, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from depth.dense.building import DenseModel, load_any
from depth.geometry import disparity_to_inverse_depth
from depth.trained import TrainedModel

MARK = "normalisation is inside"  # in the description that every exported file holds


@dataclass(frozen=True)
class Exported:
    """What is written: a network with the names of its outputs, its input's size, and what the file says of itself."""

    net: nn.Module  # image -> a tensor for each name: alone, or as a tuple
    names: tuple[str, ...]
    height: int
    width: int
    facts: dict[str, str]


class ExportedNet(nn.Module):
    """A depth network as other runtimes see it: one tensor in, one tensor out.

    Args:
        trained: the model; its depth network may return any DepthOutput.
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        self.depth_net = trained.depth_net
        self.min_depth, self.max_depth = trained.min_depth, trained.max_depth
        self.factor = trained.unit_factor if trained.metres_from else 1.0

    def forward(self, image: Tensor) -> Tensor:
        """Image (B,3,H,W), RGB in [0,1] -> inverse depth (B,1,H,W), 1/m, or 1/unit of a monocular model."""
        disparity = self.depth_net(image).disparities[0][:, :1]
        return disparity_to_inverse_depth(disparity, self.min_depth, self.max_depth) / self.factor


class ExportedTasks(nn.Module):
    """A network of several tasks as other runtimes see it: one tensor in, a tensor a task out.

    Args:
        trained: the model.
    """

    def __init__(self, trained: DenseModel) -> None:
        super().__init__()
        self.net, self.tasks = trained.net, trained.tasks

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Image (B,3,H,W), RGB in [0,1] -> each task's `exported`, (B,c,H,W)."""
        outputs = self.net(image).outputs()
        return tuple(task.exported(outputs) for task in self.tasks.values())


def exported(place: Path, choice: str = "last") -> Exported:
    """What a run, a checkpoint or an original folder is exported as; of a run, its "last" or "best" checkpoint.

    Raises UserError where there is no model.
    """
    trained = load_any(place, choice)
    return _exported_tasks(trained) if isinstance(trained, DenseModel) else _exported_depth(trained)


def _exported_depth(trained: TrainedModel) -> Exported:
    names = ("inverse_depth",)
    return Exported(ExportedNet(trained).eval(), names, trained.height, trained.width, description(trained))


def _exported_tasks(model: DenseModel) -> Exported:
    size = f"{model.height},{model.width}"
    facts = {
        "input": f"image: float32 (batch,3,{size}), RGB in [0,1], resized to this size; {MARK}",
        "output": "; ".join(f"{name}: {task.export_meaning}" for name, task in model.tasks.items()),
        "height": str(model.height),
        "width": str(model.width),
        "classes": ", ".join(model.classes.names) if model.classes else "",
        "trained_on": str(model.record.get("dataset") or "unknown"),
        "model": model.path.name,
        "checkpoint": str(model.checkpoint),
    }
    return Exported(ExportedTasks(model).eval(), tuple(model.tasks), model.height, model.width, facts)


def description(trained: TrainedModel) -> dict[str, str]:
    """What a user of the file must know, as text by name; it is stored in the file."""
    unit = "metres" if trained.metres_from else "the model's unit, up to scale"
    factor = trained.unit_factor if trained.metres_from else 1.0
    size = f"{trained.height},{trained.width}"
    return {
        "input": f"image: float32 (batch,3,{size}), RGB in [0,1], resized to this size; {MARK}",
        "output": f"inverse_depth: float32 (batch,1,{size}), 1 / {unit}; depth = 1 / inverse_depth",
        "height": str(trained.height),
        "width": str(trained.width),
        "min_depth": repr(trained.min_depth * factor),
        "max_depth": repr(trained.max_depth * factor),
        "unit": unit,
        "trained_on": str(trained.record.get("dataset") or "unknown"),
        "model": trained.path.name,
        "checkpoint": str(trained.checkpoint),
    }

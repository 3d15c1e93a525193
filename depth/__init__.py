"""Self-supervised monocular depth with DejaVu.

model = depth.load_model("runs/NAME")
out = model.predict("photo.jpg")
out.depth  # float32 (H,W), in out.unit

depth.load_tasks("runs/NAME").predict("photo.jpg")["semantics"]  # of a network of several tasks
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from depth.prediction.api import DepthModel
    from depth.prediction.tasks import TaskModel

__all__ = ["load_model", "load_tasks"]


def load_model(
    path: str | os.PathLike[str],
    device: str | None = None,
    scale: float | None = None,
    checkpoint_choice: Literal["last", "best"] = "last",
) -> DepthModel:
    """A trained model, ready to predict; see `depth.prediction.api.load_model`, which this calls."""
    # torch takes seconds to import; `import depth` alone must stay cheap.
    from depth.prediction.api import load_model as load

    return load(path, device, scale, checkpoint_choice)


def load_tasks(
    path: str | os.PathLike[str], device: str | None = None, checkpoint_choice: Literal["last", "best"] = "last"
) -> TaskModel:
    """A trained network of several tasks; see `depth.prediction.tasks.load_tasks`, which this calls."""
    from depth.prediction.tasks import load_tasks as load

    return load(path, device, checkpoint_choice)

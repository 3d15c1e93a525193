"""Where metres come from: the training, a number the user knows, or the camera's height above the road."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depth.options.predict import ScaleChoice
from depth.prediction.api import METRES, UP_TO_SCALE, DepthModel
from depth.types import UserError


@dataclass(frozen=True)
class Scale:
    """What the network's depths are multiplied by, and why."""

    factor: float
    unit: str  # of the product
    origin: str  # for the sidecar


def scale_of_model(choice: ScaleChoice, model: DepthModel) -> Scale:
    """The scale of any choice but camera_height. Raises UserError for stereo where the model was trained without."""
    trained = model.trained
    if choice.kind == "factor":
        return Scale(choice.value, METRES, f"factor={choice.value:g}, given by the user")
    if choice.kind == "none" or (choice.kind == "auto" and trained.metres_from is None):
        metric = trained.metres_from is not None and trained.unit_factor == 1
        return Scale(1.0, METRES if metric else UP_TO_SCALE, "none: the network's own numbers")
    if trained.metres_from is None:
        raise UserError(
            f"--scale_from stereo: {trained.path} was trained without anything in metres, its depths have no unit; "
            "use factor=X or camera_height=X"
        )
    return Scale(trained.unit_factor, METRES, f"the training: {trained.metres_from}, factor {trained.unit_factor:g}")


def scale_of_height(metres: float, heights: Sequence[float | None], what: str) -> Scale:
    """The scale at which the camera hangs `metres` above the road.

    Args:
        metres: the true height.
        heights: the camera's height over the road in the network's unit, per frame; None where no road was found.
        what: the clip, for messages.

    Raises:
        UserError: not a single frame shows a road.
    """
    found = [height for height in heights if height is not None]
    if not found:
        raise UserError(
            f"--scale_from camera_height: no road found in {what}, in the lower middle of the picture; use factor=X"
        )
    median = float(np.median(found))
    spread = float(np.quantile(found, 0.75) - np.quantile(found, 0.25)) / median
    return Scale(
        metres / median,
        METRES,
        f"camera_height={metres:g}: the road lies {median:.4g} network units below the camera, median of "
        f"{len(found)} of {len(heights)} frames, interquartile range {spread:.1%}",
    )

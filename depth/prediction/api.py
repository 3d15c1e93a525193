"""The Python API: a trained model from disk, an image in, depth at the image's own size out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from depth.dense.building import load_depth
from depth.geometry import disparity_to_inverse_depth
from depth.prediction.pictures import as_picture, read_picture, resize_picture
from depth.support.distributed import choose_device
from depth.trained import TrainedModel
from depth.types import UserError

_SQUEEZE = 1.25  # ratio of aspects from which it is worth a note
METRES, UP_TO_SCALE = "metres", "up to scale"


@dataclass(frozen=True)
class Prediction:
    """Depth of one image, at its own size."""

    depth: np.ndarray  # float32 (H,W), in `unit`
    inverse_depth: np.ndarray  # float32 (H,W), 1 / depth
    unit: str  # "metres" or "up to scale"


def load_model(
    path: str | os.PathLike[str],
    device: str | None = None,
    scale: float | None = None,
    checkpoint_choice: Literal["last", "best"] = "last",
) -> DepthModel:
    """A trained model, ready to predict.

    Args:
        path: a run's folder, a checkpoint file, or an original Monodepth2 folder.
        device: cuda, cuda:1 or cpu; default: cuda if there is one.
        scale: metres per unit of the network. Default: what the training brought along (stereo, known poses, speed);
            without, depths stay up to scale.
        checkpoint_choice: which of a run's checkpoints, the last or the best on validation.

    Raises:
        UserError: there is no such checkpoint, it is damaged, the device is not there, or scale is not above 0.
    """
    return DepthModel(load_depth(Path(path).expanduser(), checkpoint_choice), choose_device(device), scale)


class DepthModel:
    """A depth network with its input size and its unit.

    Args:
        trained: the networks and what is known of them.
        device: where the network runs.
        scale: metres per unit of the network; None: the model's own, if its training gave it one.

    Raises:
        UserError: scale is not above 0.
    """

    def __init__(self, trained: TrainedModel, device: torch.device, scale: float | None = None) -> None:
        if scale is not None and not 0 < scale < float("inf"):
            raise UserError(f"scale {scale} is not above 0")
        self.trained, self.device = trained, device
        self.height, self.width = trained.height, trained.width  # rows and columns of the network's input
        # On a CPU the default ResNet takes a fifth less time in this layout (190 -> 154 ms on one core).
        self.depth_net = trained.depth_net.to(device, memory_format=torch.channels_last)
        self.unit = METRES if scale is not None or trained.metres_from else UP_TO_SCALE
        self.scale = scale or (trained.unit_factor if trained.metres_from else 1.0)

    def note_on_shape(self, height: int, width: int, pixel_aspect: float = 1.0) -> str | None:
        """A line where the network sees pictures of this size squeezed by more than a quarter, else None.

        `pixel_aspect` is the width of a pixel by its height.
        """
        ratio = (width * pixel_aspect / height) / (self.width / self.height)
        if max(ratio, 1 / ratio) <= _SQUEEZE:
            return None
        return f"note: {width}x{height} pictures are squeezed into the model's {self.width}x{self.height}"

    def predict(self, image: str | os.PathLike[str] | np.ndarray | Tensor) -> Prediction:
        """Depth of one image.

        Args:
            image: a path; or numpy (H,W,3) RGB, uint8 (also grey, with alpha, uint16, or floats in [0,1]); or a
                tensor (3,H,W) of the same types.

        Raises:
            UserError: the file cannot be read, or the array is no image.
        """
        is_path = isinstance(image, str | os.PathLike)
        picture = read_picture(Path(image).expanduser()) if is_path else as_picture(image)
        resized = resize_picture(picture, self.height, self.width)
        inverse_depth = self.inverse_depth(resized[None])[0]
        return full_size(inverse_depth, picture.shape[0], picture.shape[1], self.scale, self.unit)

    def inverse_depth(self, images: Tensor) -> np.ndarray:
        """The network alone: uint8 (B,3,h,w) RGB at its input size -> float32 (B,h,w), 1 / the network's unit."""
        with torch.inference_mode():
            inputs = images.to(self.device).contiguous(memory_format=torch.channels_last).float() / 255
            disparity = self.depth_net(inputs).disparities[0][:, 0].float()
            return disparity_to_inverse_depth(disparity, self.trained.min_depth, self.trained.max_depth).cpu().numpy()


def full_size(inverse_depth: np.ndarray, height: int, width: int, scale: float, unit: str) -> Prediction:
    """A network's inverse depth (h,w) at the image's size: resized bilinearly as in evaluation, then scaled.

    Args:
        inverse_depth: float32 (h,w), 1 / the network's unit.
        height, width: of the image, pixels.
        scale: what depths are multiplied by.
        unit: of the result.
    """
    resized = cv2.resize(inverse_depth, (width, height), interpolation=cv2.INTER_LINEAR) / np.float32(scale)
    return Prediction(1 / resized, resized, unit)

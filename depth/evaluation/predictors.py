"""Where a split's inverse depths come from: a network, a file, or a prior that never looks at the image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import torch
from torch import Tensor

from depth.evaluation.metrics import Predictor
from depth.geometry import disparity_to_inverse_depth
from depth.types import DepthOutput, EvalSample, UserError, reason_of


class NetworkPredictor:
    """Inverse depth of a network, at its own resolution.

    Args:
        depth_net: images float32 (B,3,h,w) in [0,1] on `device` -> DepthOutput.
        device: where the images go.
        min_depth, max_depth: the network's range, metres or the unit of a monocular model.
        flip: also predicts the mirrored images and blends both (`blend_mirrored`).
    """

    def __init__(
        self,
        depth_net: Callable[[Tensor], DepthOutput],
        device: torch.device | str,
        min_depth: float,
        max_depth: float,
        flip: bool = False,
    ) -> None:
        self.depth_net, self.device, self.flip = depth_net, device, flip
        self.min_depth, self.max_depth = min_depth, max_depth

    def __call__(self, samples: Sequence[EvalSample], first: int) -> np.ndarray:
        """Inverse depth, float32 (B,h,w), 1/m. See depth.evaluation.metrics.Predictor."""
        with torch.no_grad():
            images = torch.stack([sample.image for sample in samples]).to(self.device).float() / 255
            inverse_depth = self._inverse_depth(images)
            if self.flip:
                inverse_depth = blend_mirrored(inverse_depth, self._inverse_depth(images.flip(3)).flip(2))
            return inverse_depth.cpu().numpy()

    def _inverse_depth(self, images: Tensor) -> Tensor:
        disparity = self.depth_net(images).disparities[0][:, 0].float()
        return disparity_to_inverse_depth(disparity, self.min_depth, self.max_depth)


def blend_mirrored(left: Tensor, right: Tensor) -> Tensor:
    """The post-processing of Godard et al., CVPR 2017.

    The mean of both, but from one alone where the other has no view: a ramp over the outer 5 to 10 % of the width
    takes the left border from the mirrored prediction and the right border from the direct one.

    Args:
        left: (B,h,w) inverse depth of the images.
        right: (B,h,w) inverse depth of the mirrored images, mirrored back.

    Returns:
        (B,h,w).
    """
    position = torch.linspace(0, 1, left.shape[-1], device=left.device)
    left_border = 1 - (20 * (position - 0.05)).clamp(0, 1)
    right_border = left_border.flip(0)
    return right_border * left + left_border * right + (1 - left_border - right_border) * 0.5 * (left + right)


class StoredPredictions:
    """Inverse depths from a .npy file (N,h,w), in the split's order: Monodepth2's disps_<split>_split.npy.

    Args:
        path: the file.
        count: number of images in the split.

    Raises:
        UserError: the file cannot be read, holds objects, or is not (count,h,w) of real numbers.
    """

    def __init__(self, path: Path, count: int) -> None:
        try:
            self.values = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {reason_of(error)}") from None
        except Exception as error:  # NumPy hands its header to a parser of Python, which trips in many ways
            raise UserError(f"{path} is damaged or not a .npy file of plain numbers: {reason_of(error)}") from None
        if not isinstance(self.values, np.ndarray):
            raise UserError(f"{path} is an archive, not a .npy file")
        shape = self.values.shape
        if len(shape) != 3 or min(shape[1:]) < 2 or not np.issubdtype(self.values.dtype, np.floating):
            raise UserError(f"{path}: expected floats of shape (images, height, width), found {shape}")
        if shape[0] != count:
            raise UserError(f"{path} holds {shape[0]} predictions, the split has {count} images here")

    def __call__(self, samples: Sequence[EvalSample], first: int) -> np.ndarray:
        """Inverse depth, float32 (B,h,w), 1/m. See depth.evaluation.metrics.Predictor."""
        return np.ascontiguousarray(self.values[first : first + len(samples)], dtype=np.float32)


class PredictionWriter:
    """Passes a predictor's inverse depths on and writes them as .npy float32 (N,h,w); a context manager.

    The file appears under its name at the end, and only if all images have been predicted.

    Args:
        predictor: the one that is recorded; it must keep to one size.
        path: the file.
        count: number of images in the split.
    """

    def __init__(self, predictor: Predictor, path: Path, count: int) -> None:
        self.predictor, self.path, self.count = predictor, path, count
        self.aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.file: BinaryIO | None = None
        self.written = 0

    def __call__(self, samples: Sequence[EvalSample], first: int) -> np.ndarray:
        """Inverse depth, float32 (B,h,w), 1/m. See depth.evaluation.metrics.Predictor."""
        predictions = self.predictor(samples, first)
        try:
            if self.file is None:
                self.file = self.aside.open("wb")
                header = {"descr": "<f4", "fortran_order": False, "shape": (self.count, *predictions.shape[1:])}
                np.lib.format.write_array_header_1_0(self.file, header)
            self.file.write(np.ascontiguousarray(predictions, "<f4"))
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}") from None
        self.written += len(samples)
        return predictions

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Raises ValueError where the evaluation ended well and yet not all images came by."""
        if self.file is None:
            return
        try:
            self.file.close()
            if kind is None and self.written == self.count:
                os.replace(self.aside, self.path)
        except OSError as problem:
            raise UserError(f"{self.path} cannot be written: {problem.strerror}") from None
        finally:
            self.aside.unlink(missing_ok=True)
        if kind is None and self.written != self.count:
            raise ValueError(f"{self.written} of {self.count} predictions came by, {self.path} is not written")


class ConstantPrior:
    """The same depth map for every image: the baseline that knows the camera and the street, but not the image."""

    def __init__(self, depth: np.ndarray) -> None:
        """`depth`: (h,w), positive; metres."""
        self.inverse_depth = (1 / depth).astype(np.float32)

    @classmethod
    def fit(cls, samples: Iterable[EvalSample], size: tuple[int, int]) -> ConstantPrior:
        """Per-pixel median over the training images' ground truth on a common grid.

        Each image's valid pixels are averaged over the grid cells they fall into; cells that no image has seen
        take the value of the nearest cell that was seen.

        Args:
            samples: training images, prepared with the protocol that will be used.
            size: (h,w) of the grid.

        Raises:
            UserError: no sample has a valid pixel.
        """
        maps = [_cell_means(sample, size) for sample in samples if sample.truth.depth.size]
        if not maps:
            raise UserError("the constant prior needs training images with ground truth, and there is none")
        # NaN sorts last: the first `seen` entries of each cell are its depths in order.
        ordered = np.sort(np.stack(maps, axis=-1), axis=-1)
        seen = np.count_nonzero(~np.isnan(ordered), axis=-1)
        middle = np.stack([np.maximum(seen - 1, 0) // 2, seen // 2], axis=-1)
        median = np.take_along_axis(ordered, middle, axis=-1).mean(-1)
        return cls(_fill_holes(median, seen > 0))

    def __call__(self, samples: Sequence[EvalSample], first: int) -> np.ndarray:
        """Inverse depth, float32 (B,h,w), 1/m. See depth.evaluation.metrics.Predictor."""
        return np.broadcast_to(self.inverse_depth, (len(samples), *self.inverse_depth.shape))


def _cell_means(sample: EvalSample, size: tuple[int, int]) -> np.ndarray:
    """Mean depth of the valid pixels in each cell of a grid over the image: float32 (h,w), NaN where there is none."""
    height, width = size
    truth = sample.truth
    cell = truth.rows * height // truth.shape[0] * width + truth.columns * width // truth.shape[1]
    count = np.bincount(cell, minlength=height * width)
    total = np.bincount(cell, truth.depth, minlength=height * width)
    with np.errstate(invalid="ignore"):
        return (total / count).astype(np.float32).reshape(size)


def _fill_holes(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Gives unknown cells the value of (about) the nearest known cell: (h,w) and bool (h,w) -> (h,w)."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.zeros(labels.max() + 1, values.dtype)
    by_label[labels[known]] = values[known]
    return by_label[labels]

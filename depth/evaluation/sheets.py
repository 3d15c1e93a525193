"""One picture of a split's best, median and worst frames: image, prediction, ground truth, error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from depth.evaluation.metrics import EvaluationResult, ImageResult, Predictor, align
from depth.types import DepthPixels, EvalSample

_TILE_WIDTH = 480  # pixels
_CAPTION_HEIGHT = 24
_LARGEST_ERROR = 0.5  # relative error at the bright end of the error picture
_EMPTY = 40  # grey of pixels without ground truth


@dataclass(frozen=True)
class ShownFrame:
    """A frame with its place in the ranking."""

    rank: str  # "best", "median", "worst"
    row: ImageResult
    sample: EvalSample
    inverse_depth: np.ndarray  # float32 (h,w), 1/m


def choose_frames(
    result: EvaluationResult, predictor: Predictor, load: Callable[[int], EvalSample]
) -> list[ShownFrame]:
    """Predicts the best, the median and the worst frame by Abs Rel once more; `load` gives the split's i-th sample."""
    shown = []
    for rank, row in result.extremes().items():
        sample = load(row.index)
        shown.append(ShownFrame(rank, row, sample, predictor([sample], row.index)[0]))
    return shown


def frame_sheet(frames: list[ShownFrame], result: EvaluationResult, headline: str) -> np.ndarray:
    """uint8 BGR (H,W,3): the headline, then a captioned row of four tiles per frame. Text is ASCII."""
    columns = "input | predicted disparity | ground truth (1/depth) | relative error, 0 to 0.5".split(" | ")
    header = np.concatenate([caption(name, _TILE_WIDTH) for name in columns], 1)
    rows = [caption(headline, header.shape[1]), header]
    for frame in frames:
        errors = frame.row.errors
        label = f"{frame.rank}: {frame.row.name}   Abs Rel {errors[0]:.3f}   RMSE {errors[2]:.2f} m"
        rows += [caption(f"{label}   scale ratio {frame.row.ratio:.3f}", header.shape[1]), _tiles(frame, result)]
    return np.concatenate(rows)


def _tiles(frame: ShownFrame, result: EvaluationResult) -> np.ndarray:
    sample, pixels = frame.sample, frame.sample.truth
    size = _TILE_WIDTH, round(_TILE_WIDTH * pixels.shape[0] / pixels.shape[1])
    depth, _ = align(frame.inverse_depth, sample, result.protocol, result.scaling)
    error = np.abs(depth - pixels.depth) / pixels.depth
    image = sample.image.permute(1, 2, 0).numpy()[..., ::-1]
    disparity = _to_levels(frame.inverse_depth, np.quantile(frame.inverse_depth, 0.95))
    truth = 1 / pixels.depth
    return np.concatenate(
        [
            cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA),
            cv2.applyColorMap(cv2.resize(disparity, size), cv2.COLORMAP_MAGMA),
            _points(_to_levels(truth, np.quantile(truth, 0.95)), pixels, size, cv2.COLORMAP_MAGMA),
            _points(_to_levels(error, _LARGEST_ERROR), pixels, size, cv2.COLORMAP_TURBO),
        ],
        1,
    )


def _to_levels(values: np.ndarray, largest: float) -> np.ndarray:
    """Values in [0, largest] -> uint8 in [1, 255]; 0 is left for "nothing here"."""
    return (1 + 254 * np.clip(values / largest, 0, 1)).astype(np.uint8)


def _points(levels: np.ndarray, pixels: DepthPixels, size: tuple[int, int], colours: int) -> np.ndarray:
    """The valid pixels (P,) on grey; a scan's, which are sparse, as dots of 3x3 pixels."""
    width, height = (min(own, tile) for own, tile in zip(pixels.shape[::-1], size, strict=True))
    canvas = np.zeros((height, width), np.uint8)
    canvas[pixels.rows * height // pixels.shape[0], pixels.columns * width // pixels.shape[1]] = levels
    canvas = cv2.resize(canvas, size, interpolation=cv2.INTER_NEAREST)
    if 2 * pixels.depth.size < pixels.shape[0] * pixels.shape[1]:
        canvas = cv2.dilate(canvas, np.ones((3, 3), np.uint8))
    picture = cv2.applyColorMap(canvas, colours)
    picture[canvas == 0] = _EMPTY
    return picture


def caption(text: str, width: int) -> np.ndarray:
    """uint8 BGR, a strip of that width with a line of text."""
    strip = np.full((_CAPTION_HEIGHT, width, 3), 255, np.uint8)
    cv2.putText(strip, text, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return strip

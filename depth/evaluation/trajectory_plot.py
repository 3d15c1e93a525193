"""A sheet of trajectories seen from above: the true one and the aligned predictions, a tile a sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_TILE, _MARGIN = 380, 46  # pixels
_COLUMNS = 3
_TRUTH = (40, 40, 40)
_COLOURS = ((40, 40, 220), (200, 110, 20), (60, 150, 40))  # BGR, as the predictions come
_GRID, _TEXT = (225, 225, 225), (90, 90, 90)


@dataclass(frozen=True)
class Track:
    """One tile: positions (N,3) in one unit, x right, y down, z forward."""

    title: str
    truth: np.ndarray | None  # None where nobody knows it
    predictions: Mapping[str, np.ndarray]  # label -> positions


def trajectory_sheet(tracks: Sequence[Track]) -> np.ndarray:
    """uint8 (H,W,3) BGR: x to the right and z upwards, in equal units, with a grid in them."""
    tiles = [_tile(track) for track in tracks]
    rows = max(map(len, tiles))  # one line less where the truth is not known
    tiles = [np.pad(tile, ((0, rows - len(tile)), (0, 0), (0, 0)), constant_values=255) for tile in tiles]
    columns = min(_COLUMNS, len(tiles))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)])


def _tile(track: Track) -> np.ndarray:
    lines = ({} if track.truth is None else {"truth": track.truth}) | dict(track.predictions)
    points = np.concatenate(list(lines.values()))[:, [0, 2]]
    low, high = points.min(0), points.max(0)
    span = max(float((high - low).max()), 1e-3) * 1.1
    corner = (low + high) / 2 - span / 2
    canvas = np.full((_TILE + 22 * (1 + len(lines)), _TILE, 3), 255, np.uint8)

    def pixels(positions: np.ndarray) -> np.ndarray:
        unit = (positions - corner) / span * (_TILE - 2 * _MARGIN)
        return np.stack([_MARGIN + unit[:, 0], _TILE - _MARGIN - unit[:, 1]], 1)

    _grid(canvas, corner, span, pixels)
    for row, (label, positions) in enumerate(lines.items()):
        colour = _TRUTH if label == "truth" else _COLOURS[(row - 1) % len(_COLOURS)]
        corners = np.rint(pixels(positions[:, [0, 2]]) * 16).astype(np.int32)  # in sixteenths of a pixel
        cv2.polylines(canvas, [corners], False, colour, 2 if label == "truth" else 1, cv2.LINE_AA, 4)
        y = _TILE + 22 * row + 4
        cv2.line(canvas, (_MARGIN, y), (_MARGIN + 26, y), colour, 2, cv2.LINE_AA)
        _write(canvas, label, (_MARGIN + 36, y + 4))
    _write(canvas, track.title, (_MARGIN, 20))
    return canvas


def _grid(canvas: np.ndarray, corner: np.ndarray, span: float, pixels) -> None:
    """Lines at round distances, about five a side, with their metres."""
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 6)
    for axis in (0, 1):
        for index in range(math.ceil(corner[axis] / step), math.floor((corner[axis] + span) / step) + 1):
            ends = np.tile(corner, (2, 1))
            ends[1, 1 - axis] += span
            ends[:, axis] = index * step
            first, last = (tuple(map(int, np.rint(end))) for end in pixels(ends))
            cv2.line(canvas, first, last, _GRID, 1)
            text = f"{index * step:g}"
            _write(canvas, text, (first[0] - 4 * len(text), first[1] + 14) if axis == 0 else (4, first[1] + 4))


def _write(canvas: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _TEXT, 1, cv2.LINE_AA)

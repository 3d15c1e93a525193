"""What all writers share: the file that appears whole and is read back, and small tools for poses and times."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets.core.images import image_size
from datasets.manifest.source import Manifest
from depth.support.files import read_text, written_aside
from depth.types import UserError

Line = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """What a writer found: cameras by name, a line a frame with paths as they are, and what is worth saying."""

    cameras: dict[str, dict[str, Any]]
    lines: Iterable[Line]
    notes: tuple[str, ...] = ()
    header: dict[str, Any] = field(default_factory=dict)  # more of its entries: classes, void


def write_manifest(found: Written, path: Path) -> Manifest:
    """Writes the file, with paths relative to it, and reads it back with all its checks.

    Raises UserError where it cannot be written, holds no frame, or something in it is wrong.
    """
    home = path.absolute().parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            with aside.open("w", encoding="utf-8") as file:
                file.write(_dump({"manifest": 1, "cameras": found.cameras} | found.header))
                for line in found.lines:
                    file.write(_dump(_relative(line, home)))
            _read_back(aside, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
    return Manifest(path)


def _read_back(aside: Path, path: Path) -> None:
    try:
        Manifest(aside)
    except UserError as error:
        raise UserError(str(error).replace(str(aside), str(path))) from None


def _dump(values: Line) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(", ", ": ")) + "\n"


def _relative(value: Any, home: Path) -> Any:
    if isinstance(value, Path):
        return os.path.relpath(value.absolute(), home).replace(os.sep, "/")
    if isinstance(value, np.ndarray):
        return value.tolist()
    return {key: _relative(each, home) for key, each in value.items()} if isinstance(value, dict) else value


def camera_entry(matrix: np.ndarray, size: tuple[int, int], **lens: Any) -> dict[str, Any]:
    """A camera for the header: K (3,3), (width, height), and a lens's entries."""
    places = {"fx": (0, 0), "fy": (1, 1), "cx": (0, 2), "cy": (1, 2)}
    values = {key: float(matrix[place]) for key, place in places.items()}
    return values | {"width": size[0], "height": size[1]} | lens


def camera_of_file(intrinsics: Path, image: Path) -> dict[str, Any]:
    """A camera's file as a header's entry, for images of its own size. Raises UserError where that is another."""
    try:
        values = json.loads(read_text(intrinsics, "the camera"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{intrinsics} is not JSON: {error}") from None
    size = image_size(image)
    if isinstance(values, dict) and (values.get("width"), values.get("height")) != size:
        raise UserError(f"{intrinsics} is not for images of {size[0]}x{size[1]}, as {image} has")
    return values


def rigid(rotation: np.ndarray, translation: Sequence[float]) -> np.ndarray:
    """[R t; 0 0 0 1], float64 (4,4)."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


def rotation_of(w: float, x: float, y: float, z: float) -> np.ndarray:
    """The rotation of a quaternion, (3,3). Raises ValueError for one of length 0 or not finite."""
    q = np.array([w, x, y, z], float)
    length = np.linalg.norm(q)
    if not 0 < length < np.inf:
        raise ValueError("a quaternion of length 0")
    w, x, y, z = q / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def nearest(times: np.ndarray, wanted: float, within: float) -> int | None:
    """The place in rising times of the one nearest to `wanted`, None where it is farther than `within`, seconds."""
    if not len(times):
        return None
    right = int(np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1)))
    place = min((right - 1, min(right, len(times) - 1)), key=lambda at: abs(times[at] - wanted))
    return place if abs(times[place] - wanted) <= within else None


def table(path: Path, columns: int, separator: str | None = None) -> list[list[str]]:
    """A text file's rows of at least so many words, without what begins with #. Raises UserError with file and line."""
    rows = []
    for number, line in enumerate(read_text(path, "the list").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            words = [word.strip() for word in line.split(separator)]
            if len(words) < columns:
                raise UserError(f"{path}, line {number}: expected {columns} values, found {len(words)}")
            rows.append(words)
    return rows


def numbers(path: Path, words: Sequence[str]) -> list[float]:
    """Words as numbers. Raises UserError naming the file."""
    try:
        return [float(word) for word in words]
    except ValueError:
        raise UserError(f"{path}: {' '.join(words)[:60]!r} are not numbers") from None


def load_json(path: Path) -> Any:
    """A JSON file. Raises UserError."""
    try:
        return json.loads(read_text(path, "the table"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from None

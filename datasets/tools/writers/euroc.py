"""EuRoC MAV: mav0/cam0/data.csv, its sensor.yaml, and the state's ground truth (Burri et al., IJRR 2016)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from datasets.tools.writers.writing import (
    Line,
    Written,
    camera_entry,
    nearest,
    numbers,
    rigid,
    rotation_of,
    table,
)
from depth.support.files import read_text
from depth.types import UserError

_APART = 0.02  # seconds
_TRUTH = "state_groundtruth_estimate0"


def lines(root: Path) -> Written:
    """A sequence, or a folder of sequences; the left camera, with its lens. Raises UserError where there is none."""
    folders = [root] if (root / "mav0").is_dir() else sorted(path.parent for path in root.glob("*/mav0"))
    if not folders:
        raise UserError(f"{root} is not in EuRoC's layout: there is no mav0")
    cameras, found = {}, []
    for folder in folders:
        name = folder.resolve().name
        cameras[name], body_from_camera = _camera(folder / "mav0/cam0/sensor.yaml")
        found += _lines(folder / "mav0", name, body_from_camera)
    return Written(cameras, found)


def _camera(path: Path) -> tuple[dict, np.ndarray]:
    text = read_text(path, "the camera")
    (fx, fy, cx, cy), size = _list(path, text, "intrinsics", 4), _list(path, text, "resolution", 2)
    lens = {"model": "pinhole", "distortion": _list(path, text, "distortion_coefficients", 4)}
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    camera = camera_entry(matrix, (int(size[0]), int(size[1])), **lens)
    return camera, np.array(_list(path, text, "data", 16)).reshape(4, 4)


def _list(path: Path, text: str, key: str, count: int) -> list[float]:
    """A YAML list of numbers; the files have no other kind of value that is needed."""
    match = re.search(rf"^\s*{key}\s*:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    values = numbers(path, [word.strip() for word in match[1].split(",")]) if match else []
    if len(values) != count:
        raise UserError(f"{path}: {key} is not a list of {count} numbers")
    return values


def _lines(folder: Path, name: str, body_from_camera: np.ndarray) -> list[Line]:
    truth = folder / _TRUTH / "data.csv"
    rows = sorted(table(truth, 8, ",")) if truth.is_file() else []
    times = np.array([1e-9 * numbers(truth, row[:1])[0] for row in rows])
    found = []
    for row in table(folder / "cam0/data.csv", 2, ","):
        time = 1e-9 * numbers(folder / "cam0/data.csv", row[:1])[0]
        line: Line = {"image": folder / "cam0/data" / row[1], "sequence": name, "time": time, "camera": name}
        place = nearest(times, time, _APART)
        if place is not None:
            x, y, z, w, qx, qy, qz = numbers(truth, rows[place][1:8])
            line["pose"] = rigid(rotation_of(w, qx, qy, qz), (x, y, z)) @ body_from_camera
        found.append(line)
    return found

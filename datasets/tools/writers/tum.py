"""TUM RGB-D: rgb.txt, depth.txt and groundtruth.txt with times of their own (Sturm et al., IROS 2012)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.core.images import image_size
from datasets.tools.writers.writing import (
    Line,
    Written,
    camera_entry,
    camera_of_file,
    nearest,
    numbers,
    rigid,
    rotation_of,
    table,
)
from depth.types import UserError

_APART = 0.02  # seconds; the benchmark's own tool takes as much
_SCALE = 5000  # of the depth PNGs
# The benchmark's calibration of its colour cameras: fx fy cx cy, and k1 k2 p1 p2 k3.
_KNOWN = {
    "freiburg1": ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "freiburg2": ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "freiburg3": ((535.4, 539.2, 320.1, 247.6), ()),
}


def lines(root: Path, intrinsics: Path | None) -> Written:
    """A sequence, or a folder of sequences. Raises UserError where there is none, or its camera is not known."""
    folders = [root] if (root / "rgb.txt").is_file() else sorted(path.parent for path in root.glob("*/rgb.txt"))
    if not folders:
        raise UserError(f"{root} is not in TUM RGB-D's layout: there is no rgb.txt")
    cameras, found = {}, []
    for folder in folders:
        name = folder.resolve().name
        mine = list(_lines(folder, name))
        cameras[name] = _camera(folder, name, intrinsics, mine[0]["image"]) if mine else None
        found += mine
    return Written({name: camera for name, camera in cameras.items() if camera}, found)


def _camera(folder: Path, name: str, intrinsics: Path | None, image: Path) -> dict:
    if intrinsics is not None:
        return camera_of_file(intrinsics, image)
    match = re.search(r"freiburg[123]", name)
    if match is None:
        raise UserError(f"{folder}: of which camera? --intrinsics FILE.json, or a folder with freiburg1 in its name")
    (fx, fy, cx, cy), distortion = _KNOWN[match[0]]
    lens = {"model": "pinhole", "distortion": list(distortion)} if distortion else {}
    return camera_entry(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), image_size(image), **lens)


def _lines(folder: Path, name: str) -> Iterator[Line]:
    depths = _timed(folder / "depth.txt", 2)
    poses = _timed(folder / "groundtruth.txt", 8)
    for time, row in sorted(_timed(folder / "rgb.txt", 2).items()):
        line: Line = {"image": folder / row[1], "sequence": name, "time": time, "camera": name}
        depth, pose = (_near(each, time) for each in (depths, poses))
        if depth is not None:
            line["depth"] = {"path": folder / depth[1], "scale": _SCALE}
        if pose is not None:
            x, y, z, qx, qy, qz, qw = numbers(folder / "groundtruth.txt", pose[1:8])
            try:
                line["pose"] = rigid(rotation_of(qw, qx, qy, qz), (x, y, z))
            except ValueError as error:
                raise UserError(f"{folder / 'groundtruth.txt'}, time {time}: {error}") from None
        yield line


def _timed(path: Path, columns: int) -> dict[float, list[str]]:
    return {numbers(path, row[:1])[0]: row for row in table(path, columns)} if path.is_file() else {}


def _near(rows: dict[float, list[str]], time: float) -> list[str] | None:
    times = np.array(sorted(rows))
    place = nearest(times, time, _APART)
    return None if place is None else rows[times[place]]

"""DDAD: its scenes are JSON files; depth is made of the lidar's points (Guizilini et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from datasets.tools.writers.writing import Line, Written, camera_entry, load_json, rigid, rotation_of
from depth.support.files import make_folder, written_aside
from depth.types import UserError, reason_of

_PARTS = {"0": "train", "1": "val", "2": "test"}
_LIDAR = "LIDAR"


def lines(root: Path, depth_to: Path | None) -> Written:
    """All cameras of all scenes of ddad.json. `depth_to` is a folder for depth maps of the lidar; None makes none.

    Raises UserError where a file is missing or malformed.
    """
    table = root / "ddad.json"
    if not table.is_file():
        raise UserError(f"{root} has no ddad.json")
    cameras: dict = {}
    found: list[Line] = []
    try:
        for number, split in load_json(table)["scene_splits"].items():
            for name in split["filenames"]:
                scene = root / name
                found += _scene(scene, load_json(scene), _PARTS.get(str(number)), cameras, depth_to)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{table}: its scenes are not as DDAD's ({type(error).__name__}: {error})") from None
    notes = () if depth_to else ("no depth: --depth_to FOLDER makes it of the lidar's points",)
    return Written(cameras, found, notes)


def _scene(path: Path, scene: dict, part: str | None, cameras: dict, depth_to: Path | None) -> Iterator[Line]:
    data = {each["key"]: each for each in scene["data"]}
    calibrations: dict = {}
    for order, sample in enumerate(scene["samples"]):
        key = sample["calibration_key"]
        if key not in calibrations:
            calibration = load_json(path.parent / "calibration" / f"{key}.json")
            calibrations[key] = dict(zip(calibration["names"], calibration["intrinsics"], strict=True))
        shots = {data[each]["id"]["name"]: data[each]["datum"] for each in sample["datum_keys"]}
        points = _points(path.parent, shots[_LIDAR]["point_cloud"]) if depth_to and _LIDAR in shots else None
        time = _seconds(sample["id"]["timestamp"])
        for sensor, datum in sorted(shots.items()):
            if "image" in datum:
                image = datum["image"]
                name = f"{path.parent.name}/{sensor}"
                k = calibrations[key][sensor]
                matrix = np.array([[k["fx"], k.get("skew", 0), k["cx"]], [0, k["fy"], k["cy"]], [0, 0, 1]], float)
                size = (int(image["width"]), int(image["height"]))
                cameras.setdefault(name, camera_entry(matrix, size))
                pose = _pose(image["pose"])
                line: Line = {"image": path.parent / image["filename"], "sequence": name, "order": order}
                line |= {"time": time, "camera": name, "pose": pose} | ({"split": part} if part else {})
                if points is not None:
                    file = depth_to / name / f"{Path(image['filename']).stem}.npz"
                    _write_depth(file, points, pose, matrix, size)
                    line["depth"] = {"path": file, "key": "depth"}
                yield line


def _pose(value: dict) -> np.ndarray:
    """world_from_sensor."""
    t, q = value["translation"], value["rotation"]
    return rigid(rotation_of(q["qw"], q["qx"], q["qy"], q["qz"]), (t["x"], t["y"], t["z"]))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _points(folder: Path, cloud: dict) -> np.ndarray:
    """The lidar's points, (N,3), metres in world axes."""
    path = folder / cloud["filename"]
    try:
        with np.load(path, allow_pickle=False) as archive:
            points = archive["data"][:, :3].astype(np.float64)
    except Exception as error:  # NumPy's readers trip over damaged files in many ways
        raise UserError(f"{path} cannot be read: {reason_of(error)}") from None
    pose = _pose(cloud["pose"])
    return points @ pose[:3, :3].T + pose[:3, 3]


def _write_depth(path: Path, points: np.ndarray, pose: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> None:
    """A sparse depth map, float32 (H,W): the nearest point of each pixel. Raises UserError."""
    seen = (points - pose[:3, 3]) @ pose[:3, :3]
    seen = seen[seen[:, 2] > 0]
    columns, rows = np.rint((seen @ matrix.T)[:, :2] / seen[:, 2:]).T
    inside = (columns >= 0) & (columns < size[0]) & (rows >= 0) & (rows < size[1])
    depth = np.full((size[1], size[0]), np.inf, np.float32)
    np.minimum.at(depth, (rows[inside].astype(int), columns[inside].astype(int)), seen[inside, 2].astype(np.float32))
    make_folder(path.parent)
    try:
        with written_aside(path) as aside:
            np.savez_compressed(aside, depth=np.where(np.isfinite(depth), depth, np.float32(0)))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None

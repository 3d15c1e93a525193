"""nuScenes: its tables are JSON, and are read as they are (Caesar et al., CVPR 2020).

A sequence is a scene seen by one camera, with all frames between the annotated ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.tools.writers.writing import Line, Written, camera_entry, load_json, rigid, rotation_of
from depth.types import UserError

_TABLES = ("scene", "sample", "sample_data", "calibrated_sensor", "sensor", "ego_pose")


def lines(root: Path) -> Written:
    """All cameras of the version that lies there. Raises UserError where its tables are missing or malformed."""
    versions = sorted(path.parent for path in root.glob("v1.0-*/sample_data.json"))
    if len(versions) != 1:
        raise UserError(f"{root} holds {len(versions)} versions of nuScenes' tables (v1.0-*/sample_data.json), not one")
    try:
        tables = {name: {row["token"]: row for row in load_json(versions[0] / f"{name}.json")} for name in _TABLES}
        cameras: dict = {}
        return Written(cameras, list(_lines(root, tables, cameras)))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{versions[0]}: its tables do not fit together ({type(error).__name__}: {error})") from None


def _lines(root: Path, tables: dict, cameras: dict) -> Iterator[Line]:
    for shot in tables["sample_data"].values():
        mount = tables["calibrated_sensor"][shot["calibrated_sensor_token"]]
        if tables["sensor"][mount["sensor_token"]]["modality"] != "camera":
            continue
        scene = tables["scene"][tables["sample"][shot["sample_token"]]["scene_token"]]["name"]
        name = f"{scene}/{tables['sensor'][mount['sensor_token']]['channel']}"
        matrix = np.array(mount["camera_intrinsic"], float).reshape(3, 3)
        cameras.setdefault(name, camera_entry(matrix, (int(shot["width"]), int(shot["height"]))))
        pose = _pose(tables["ego_pose"][shot["ego_pose_token"]]) @ _pose(mount)
        time = 1e-6 * shot["timestamp"]
        yield {"image": root / shot["filename"], "sequence": name, "time": time, "camera": name, "pose": pose}


def _pose(row: dict) -> np.ndarray:
    return rigid(rotation_of(*row["rotation"]), row["translation"])

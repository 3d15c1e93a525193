"""The facts about whatever lies at a path."""

from __future__ import annotations

import re
from pathlib import Path

from datasets.core.splits import split_names
from datasets.footage.camera import CameraChoice
from datasets.kitti.layout import odometry_home
from datasets.labelled import beside
from datasets.tools.clips import own_footage
from datasets.tools.facts import Facts
from datasets.tools.recordings import recordings
from depth.types import UserError

_RAW_DATE = re.compile(r"[0-9]{4}_[0-9]{2}_[0-9]{2}")


def gather(path: Path, split: str | None, choice: CameraChoice, use_stereo: bool = False) -> Facts:
    """The facts about whatever lies at the path.

    split: None is the one that goes with the data. On the embedded world names that come with the software mean its
        own, as in training.

    Raises UserError where it is nothing that can be read, and for an unknown split.
    """
    if path.is_dir() and (path / "world.json").is_file():
        own = split is None or split in split_names()
        return recordings(path, "embedded world", path / "splits" if own else split, use_stereo)
    if path.is_dir() and (odometry_home(path) / "sequences").is_dir():
        return recordings(path, "KITTI odometry", split or "odom", use_stereo)
    if path.is_dir() and any(_RAW_DATE.fullmatch(p.name) for p in path.iterdir() if p.is_dir()):
        return recordings(path, "KITTI raw", split or "eigen_zhou", use_stereo)
    if use_stereo:
        raise UserError(f"--use_stereo: {path} is not in one of KITTI's layouts, which have two cameras")
    hint = beside(path)
    try:
        facts = own_footage(path, choice)
    except UserError as error:
        raise UserError(f"{error}; {hint}" if hint else str(error)) from None
    facts.notes[:0] = [hint] if hint else []
    return facts

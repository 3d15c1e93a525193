"""True poses: KITTI odometry's poses/09.txt, the embedded world's poses.txt, and the sequences they belong to."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from datasets.core.sequences import PoseSequence
from datasets.core.splits import FrameRef
from depth.support.files import read_text
from depth.types import UserError

# KITTI prints seven digits, so that its matrices are rotations to about 1e-6.
_ROTATION_TOLERANCE = 1e-3
_LAST_WITH_POSES = 10  # of the sequences 00 to 21


def poses_path(root: Path, folder: str) -> Path:
    """Where a sequence's true poses are: <root>/poses/09.txt for odometry, <root>/<folder>/poses.txt for drives."""
    return root / "poses" / f"{int(folder):02d}.txt" if folder.isdecimal() else root / folder / "poses.txt"


def read_poses(path: Path) -> np.ndarray:
    """Poses in KITTI's format, a row of 3x4 numbers a frame: float64 (N,4,4), frame0_from_frame, metres.

    KITTI's are those of camera 0, which is 6 cm beside the left colour camera; published evaluations take them for
    the colour camera's, and so does this project.

    Raises:
        UserError: the file cannot be read, or a row is not a rigid transform (with file and line).
    """
    lines = read_text(path, "the poses").rstrip().splitlines()
    poses = np.tile(np.eye(4), (len(lines), 1, 1))
    for number, line in enumerate(lines, start=1):
        try:
            poses[number - 1, :3] = np.array([float(word) for word in line.split()]).reshape(3, 4)
        except ValueError:
            raise UserError(f"{path}, line {number}: a pose is 12 numbers, this is {line[:60]!r}") from None
        rotation = poses[number - 1, :3, :3]
        error = np.abs(rotation.T @ rotation - np.eye(3)).max()
        if not (np.isfinite(poses[number - 1]).all() and error < _ROTATION_TOLERANCE and np.linalg.det(rotation) > 0):
            raise UserError(f"{path}, line {number}: the first three columns are not a rotation")
    return poses


def format_poses(poses: np.ndarray) -> str:
    """(N,4,4) -> the text of a file in KITTI's format."""
    return "".join(" ".join(f"{value:.9e}" for value in pose[:3].ravel()) + "\n" for pose in poses)


def load_sequences(root: Path, refs: list[FrameRef]) -> list[PoseSequence]:
    """The split's frames as sequences with their true poses, one per folder and camera in the split's order.

    KITTI publishes the poses of the sequences 00 to 10; others, and drives without a file, have no truth.

    Args:
        root: the data path.
        refs: the frames; those of a folder are consecutive.

    Raises:
        UserError: frames that do not follow each other, a sequence of one, or poses that are missing, malformed or
            too few.
    """
    sequences = []
    for (folder, _), group in groupby(refs, key=lambda ref: (ref.folder, ref.side)):
        frames = tuple(group)
        for before, after in pairwise(frames):
            if after.frame != before.frame + 1:
                raise UserError(f"poses need frames in a row, and in {folder} {after.frame} follows {before.frame}")
        if len(frames) < 2:
            raise UserError(f"poses need two frames at least, and the split has one of {folder}")
        sequences.append(PoseSequence(folder.rpartition("/")[2], frames, _truth(root, frames)))
    return sequences


def _truth(root: Path, frames: tuple[FrameRef, ...]) -> np.ndarray | None:
    """See PoseSequence. Raises UserError where KITTI has poses and they are not there, malformed or too few."""
    folder, path = frames[0].folder, poses_path(root, frames[0].folder)
    if not path.is_file():
        if folder.isdecimal() and int(folder) <= _LAST_WITH_POSES:
            raise UserError(f"no poses {path}: unpack data_odometry_poses.zip (KITTI odometry) under {root}")
        return None
    poses = read_poses(path)
    if len(poses) <= frames[-1].frame:
        raise UserError(f"{path} has {len(poses):,} poses, the split asks for frame {frames[-1].frame:,}")
    poses = poses[frames[0].frame : frames[-1].frame + 1]
    return np.linalg.inv(poses[0]) @ poses

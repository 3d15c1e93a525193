"""KITTI odometry: both colour cameras of its sequences, with times and, where they are there, poses."""

from __future__ import annotations

from pathlib import Path

from datasets.core.images import image_size
from datasets.kitti.calibration import read_odometry_cameras
from datasets.kitti.poses import poses_path, read_poses
from datasets.tools.recordings import is_frame
from datasets.tools.writers.writing import Line, Written, camera_entry, numbers, table
from depth.types import UserError


def lines(root: Path) -> Written:
    """All sequences. Raises UserError where there is none, or a file of theirs is malformed."""
    root = root / "dataset" if (root / "dataset" / "sequences").is_dir() else root
    folders = sorted(path.parent for path in root.glob("sequences/*/image_2"))
    if not folders:
        raise UserError(f"{root} is not in KITTI odometry's layout: there is no sequences/*/image_2")
    cameras: dict = {}
    found: list[Line] = []
    for folder in folders:
        images = sorted(filter(is_frame, (folder / "image_2").iterdir()))
        if images:
            pair = read_odometry_cameras(folder / "calib.txt", image_size(images[0]))
            cameras[folder.name] = camera_entry(pair.left.intrinsics, (pair.left.width, pair.left.height))
            found += _lines(root, folder, images, pair.other_from_this("l").tolist())
    return Written(cameras, found)


def _lines(root: Path, folder: Path, images: list[Path], other_from_this: list) -> list[Line]:
    path = poses_path(root, folder.name)
    poses = read_poses(path) if path.is_file() else []
    clock = folder / "times.txt"
    times = [numbers(clock, row[:1])[0] for row in table(clock, 1)] if clock.is_file() else []
    found = []
    for image in images:
        number = int(image.stem)
        line: Line = {"image": image, "sequence": folder.name, "order": number, "camera": folder.name}
        line |= {"time": times[number]} if number < len(times) else {}
        line |= {"pose": poses[number]} if number < len(poses) else {}
        other = folder / "image_3" / image.name
        line |= {"other_camera": {"image": other, "other_from_this": other_from_this}} if other.is_file() else {}
        found.append(line)
    return found

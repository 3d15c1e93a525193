"""Where the frames are: --data_path, $KITTI_DATA, ./kitti_data, the embedded world, or footage of one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from datasets.core.sources import OwnSource
from datasets.footage.camera import CameraChoice
from datasets.footage.video import open_footage
from datasets.manifest.source import Manifest
from datasets.world.making import WorldSpec, ensure_world
from depth.types import UserError


@dataclass(frozen=True)
class DataPlace:
    """A folder of frames and what it is called in every file that is written."""

    root: Path
    kind: str  # "kitti", "synthetic", "video" or "frames"
    note: str  # one line for the top of the output
    own: OwnSource | None = None  # a source that divides its frames itself, instead of a split's file


def default_cache_dir() -> Path:
    """$DEJAVU_CACHE, else ~/.cache/dejavu-depth."""
    return Path(os.environ.get("DEJAVU_CACHE") or "~/.cache/dejavu-depth").expanduser()


def find_data(data_path: str | None, dataset: str, cache_dir: Path, world: WorldSpec = WorldSpec()) -> DataPlace:
    """The frames to work on; the embedded world is written first where it is needed and not there.

    Args:
        data_path: what the user gave; must exist then.
        dataset: "kitti", "synthetic", or a labelled set, which needs a path.
        cache_dir: where the embedded world is kept.
        world: which embedded world.

    Raises:
        UserError: a path that was given, by flag or by $KITTI_DATA, is no folder.
    """
    if data_path is not None:
        return _given(Path(data_path), dataset, "--data_path")
    if dataset not in ("kitti", "synthetic"):
        raise UserError(f"--dataset {dataset} needs --data_path, its folder")
    if dataset != "synthetic":
        if variable := os.environ.get("KITTI_DATA"):  # an empty one is none, as with $DEJAVU_CACHE
            return _given(Path(variable).expanduser(), dataset, "$KITTI_DATA")
        if Path("kitti_data").is_dir():
            return _given(Path("kitti_data"), dataset, "./kitti_data")
    why = "" if dataset == "synthetic" else "no --data_path, $KITTI_DATA or ./kitti_data: "
    root = ensure_world(cache_dir, world)
    return DataPlace(root, "synthetic", f"dataset: SYNTHETIC ({why}embedded world, not KITTI; its numbers are its own)")


def _given(path: Path, dataset: str, origin: str) -> DataPlace:
    if not path.is_dir():
        raise UserError(f"{origin} {path} is not a folder")
    if (path / "world.json").is_file():
        return DataPlace(path, "synthetic", f"dataset: SYNTHETIC (embedded world in {path}; its numbers are its own)")
    if dataset == "synthetic":
        raise UserError(f"{origin} {path} holds no embedded world (no world.json)")
    return DataPlace(path, dataset, f"dataset: {dataset} in {path} ({origin})")


def find_manifest(data_path: str, skip_missing: bool = False) -> DataPlace:
    """The frames of a manifest, which is read from end to end.

    Args:
        data_path: the file.
        skip_missing: leaves lines out whose files are not there.

    Raises:
        UserError: it is no file, or anything in it is wrong.
    """
    path = Path(data_path)
    if not path.is_file():
        raise UserError(f"--data_path {path} is not a file: --dataset frames takes a manifest, see docs/MANIFEST.md")
    return DataPlace(path, "frames", f"dataset: frames of {path}", Manifest(path, skip_missing))


def find_footage(
    data_path: str, cache_dir: Path, camera: CameraChoice, keep_still: bool = False, progress: bool = True
) -> DataPlace:
    """One's own footage; its frames are read into the cache first where they are not there.

    Args:
        data_path: a video, a folder of images, or a folder of clips.
        cache_dir: holds what is read.
        camera: what the user said about the camera.
        keep_still: keeps the frames without parallax; see `datasets.footage.motion.pick`.
        progress: shows a bar while reading.

    Raises:
        UserError: there are no clips, they cannot be read, or nothing is known of the camera.
    """
    footage = open_footage(Path(data_path), cache_dir, camera, keep_still, progress)
    return DataPlace(Path(data_path), "video", f"dataset: video ({data_path})", footage)

"""Hostile files for every reader: nothing but UserError may come out.

    python tests/faults/fuzz.py --inputs 100000

Inputs are valid files with a few edits, or bytes of no meaning; for checkpoints also well-formed archives whose pickle
or whose values are nonsense.
"""

import argparse
import io
import os
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

import depth.build
import depth.trained
from datasets.core.depth_files import read_depth
from datasets.core.images import read_depth_png, read_image
from datasets.core.intrinsics import read_intrinsics
from datasets.core.splits import parse_split
from datasets.kitti.calibration import read_odometry_cameras, read_raw_cameras, read_raw_velodyne
from datasets.kitti.ground_truth import read_scan, velodyne_depth
from datasets.kitti.poses import read_poses
from datasets.manifest.labels import ManifestLabels
from datasets.manifest.source import Manifest
from depth.evaluation.predictors import StoredPredictions
from depth.options.config import config_from_dict
from depth.runs.checkpoint import load_checkpoint, load_resumable
from depth.runs.run_folder import read_run
from depth.types import UserError
from tests.faults.hostile_files import (
    ARCHIVE,
    CALIBRATION,
    CAMERA,
    CLASS,
    CONFIG,
    DEPTH,
    IMAGE,
    MANIFEST,
    PICKLE,
    PROJECTION,
    ROTATION,
    SCAN,
    edited,
    jpeg,
    npy,
    npz,
    odd_states,
    replaced,
)
from tests.faults.small_train import small_networks


def _read_scan(path):
    path.with_name("calibration.txt").write_bytes(CALIBRATION)
    cameras = read_raw_cameras(path.with_name("calibration.txt"))
    velodyne_depth(read_scan(path), cameras, np.eye(4), "l")


def _read_raw(path):
    pair = read_raw_cameras(path)
    pair.other_from_this("l")


def _read_config(path):
    (path.parent / "config.json").write_bytes(path.read_bytes())
    config_from_dict(read_run(path.parent).get("config", {}))


def _read_resumable(path):
    folder = path.parent / "checkpoints"
    folder.mkdir(exist_ok=True)
    (folder / "last.pt").write_bytes(path.read_bytes())
    load_resumable(path.parent, say=False)


def _read_predictions(path):
    npy = path.with_suffix(".npy")
    npy.write_bytes(path.read_bytes())
    StoredPredictions(npy, 3)([None, None], 0)


def _read_array(path):
    for suffix in (".npy", ".npz"):
        path.with_suffix(suffix).write_bytes(path.read_bytes())
        read_depth(path.with_suffix(suffix), 2.0)


def _read_manifest(path):
    """The files that its lines name are there."""
    for name, content in {"image.png": IMAGE, "class.png": CLASS, "depth.png": DEPTH, "d.npy": npy(16, 24)}.items():
        (path.parent / name).write_bytes(content)
    source = Manifest(path)
    truth, labels = source.ground_truth(None, None), ManifestLabels(source)
    for ref in source.frames("all"):
        source.image_path(ref)
        source.intrinsics(ref)
        source.counted(ref)
        if truth and truth.has(ref):
            truth(ref)
        for kind in filter(partial(source.knows, ref), set(labels.kinds) - {"depth"}):
            labels.read(ref.name, kind)
    source.frames("train", (-1, 1))
    source.frames("val", (0,))
    source.notes()


def _load_trained(path):
    with small_networks():
        depth.trained.load_trained(path)


# name -> (files, reader of a path)
TARGETS = {
    "calibration, raw": (edited(CALIBRATION), _read_raw),
    "calibration, lidar": (edited(f"R: {ROTATION}\nT: 0.1 0.2 0.3\n".encode()), read_raw_velodyne),
    "calibration, odometry": (
        edited(f"P2: {PROJECTION}\nP3: {PROJECTION}\n".encode()),
        lambda path: read_odometry_cameras(path, (60, 20)),
    ),
    "split": (edited(b"a/b lr 1-15,17,19-20\na/b 473 r\n# no\n\nc l 3\n"), parse_split),
    "scan": (edited(SCAN, SCAN + struct.pack("<4f", float("nan"), 1e38, -1e38, 0)), _read_scan),
    "poses": (edited(b"1 0 0 0 0 1 0 0 0 0 1 0\n" * 3), read_poses),
    "camera sidecar": (edited(CAMERA), lambda path: read_intrinsics(path).scaled_to(60, 20)),
    "config.json": (edited(CONFIG), _read_config),
    "manifest": (edited(MANIFEST), _read_manifest),
    "image": (edited(IMAGE, jpeg()), read_image),
    "depth map": (edited(DEPTH), read_depth_png),
    "depth array": (edited(npy(4, 5), npz()), _read_array),
    "predictions": (edited(npy(3, 4, 5)), _read_predictions),
    "checkpoint, bytes": (edited(ARCHIVE), load_checkpoint),
    "checkpoint, pickle": (
        edited(zipfile.ZipFile(io.BytesIO(ARCHIVE)).read(PICKLE)).map(lambda p: replaced(ARCHIVE, PICKLE, p)),
        _read_resumable,
    ),
    "checkpoint, values": (odd_states(), _load_trained),
}


def fuzz(name, inputs):
    """Tries so many inputs on a target: Counter of "read" and "refused". Any exception but UserError comes through."""
    files, read = TARGETS[name]
    outcome = Counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder) / "file.pt"

        @settings(
            max_examples=inputs,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(files)
        def attempt(content):
            path.write_bytes(content)
            try:
                read(path)
                outcome["read"] += 1
            except UserError as error:
                outcome["refused"] += 1
                assert "\n" not in str(error), f"more than a line: {error}"

        attempt()
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all, shared by the targets")
    parser.add_argument("--target", choices=sorted(TARGETS), help="this one alone")
    options = parser.parse_args()
    names = [options.target] if options.target else list(TARGETS)
    total = Counter()
    for name in names:
        started = time.monotonic()
        outcome = fuzz(name, -(-options.inputs // len(names)))
        total += outcome
        print(
            f"{name}: {outcome.total()} inputs, {outcome['refused']} refused, {time.monotonic() - started:.0f} s",
            flush=True,
        )
    print(f"{total.total()} inputs, {total['refused']} refused with a UserError, no other exception")


if __name__ == "__main__":
    main()

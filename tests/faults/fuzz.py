"""Hostile files for every reader: nothing but UserError may come out.

    python tests/faults/fuzz.py --inputs 100000

Inputs are valid files with a few edits, or bytes of no meaning; for checkpoints also well-formed archives whose pickle
or whose values are nonsense.
"""

import argparse
import io
import json
import os
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

import depth.build
from datasets.core.images import read_depth_png, read_image
from datasets.core.intrinsics import read_intrinsics
from datasets.core.splits import parse_split
from datasets.kitti.calibration import read_odometry_cameras, read_raw_cameras, read_raw_velodyne
from datasets.kitti.ground_truth import read_scan, velodyne_depth
from datasets.kitti.poses import read_poses
from depth.evaluation.predictors import StoredPredictions
from depth.options.config import Config, config_from_dict, resolved
from depth.options.data import DataOptions
from depth.options.network import NetworkOptions
from depth.runs.checkpoint import load_checkpoint, load_resumable
from depth.runs.run_folder import read_run
from depth.types import UserError
from tests.faults.small_train import small_networks

PROJECTION = "700 0 300 40 0 700 100 0.2 0 0 1 0.003"
ROTATION = "1 0 0 0 1 0 0 0 1"
CALIBRATION = (
    f"calib_time: 09-Jan-2012 13:57:47\nS_rect_02: 60 20\nR_rect_00: {ROTATION}\nP_rect_02: {PROJECTION}\n"
    f"S_rect_03: 60 20\nP_rect_03: {PROJECTION}\n"
).encode()
NASTY = [
    b"", b"\0", b"\n", b"\r\n", b" ", b":", b",", b"-", b"..", b"/", b"../../x", b"/etc/passwd", b"\\", b"nan", b"inf",
    b"-1", b"0", b"1e400", b"1e-400", b"9" * 30, b"9" * 5000, b"\xff\xfe", "é\u2028\u0661".encode(), b"[" * 3000,
    b'{"a":' * 2000, b"null", b"true", b'"', b"#", b"0x10", b"1_000", b"lr", b"\xff" * 4, b"\x00\x00\x00\x80",
]  # fmt: skip


@st.composite
def edited(draw, *examples):
    """A valid file with up to six edits; one time in eight bytes of no meaning."""
    if draw(st.integers(0, 7)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(examples))
    pieces = st.sampled_from(NASTY) | st.binary(max_size=4)
    for place, cut, piece in draw(
        st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 1, 2, 4, 16, 400]), pieces), max_size=6)
    ):
        start = int(place * len(data))
        data = data[:start] + piece + data[start + cut :]
    return data


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(torch.zeros(2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def _png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def _jpeg():
    file = io.BytesIO()
    Image.fromarray(np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3)).save(file, "JPEG")
    return file.getvalue()


def _npy():
    file = io.BytesIO()
    np.save(file, np.ones((3, 4, 5), np.float32))
    return file.getvalue()


def small_config():
    return resolved(
        Config(
            data=DataOptions(dataset="synthetic", height=64, width=96), network=NetworkOptions(weights_init="scratch")
        )
    )


def small_state():
    """A checkpoint's content with networks of a few hundred weights."""
    config = small_config()
    with small_networks():
        networks = depth.build.build_objective(config).inference_networks()
    progress = {"epoch": 0, "step_in_epoch": 1, "step": 1}
    return {"config": config.to_dict(), "dataset": "synthetic", "progress": progress, "networks": networks}


def _archive(state):
    file = io.BytesIO()
    torch.save({"format": "dejavu-depth/1", **state}, file)
    return file.getvalue()


def _replaced(archive, member, content):
    """The archive with another file under this name and the right checksum."""
    source, target = zipfile.ZipFile(io.BytesIO(archive)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as copy:
        for info in source.infolist():
            copy.writestr(info.filename, content if info.filename == member else source.read(info))
    return target.getvalue()


STATE = small_state()
ARCHIVE = _archive({"progress": STATE["progress"], "x": torch.arange(4.0), "config": {"data": {"height": 64}}})
PICKLE = next(name for name in zipfile.ZipFile(io.BytesIO(ARCHIVE)).namelist() if name.endswith("data.pkl"))
CONFIG = json.dumps({"config": STATE["config"]}).encode()
CAMERA = b'{"width": 60, "height": 20, "fx": 70.5, "fy": 70.5, "cx": 29.5, "cy": 9.5}'
SCAN = np.arange(40, dtype="<f4").tobytes()


@st.composite
def odd_states(draw):
    """A checkpoint's content with values replaced at random places."""
    state = {key: dict(value) if isinstance(value, dict) else value for key, value in STATE.items()}
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(state)))
        inside = state[key]
        if isinstance(inside, dict) and inside and draw(st.booleans()):
            name = draw(st.sampled_from(sorted(inside, key=str)))
            if isinstance(inside[name], dict) and inside[name] and draw(st.booleans()):
                inner = dict(inside[name])
                inner[draw(st.sampled_from(sorted(inner, key=str)))] = draw(VALUES)
                inside[name] = inner
            else:
                inside[name] = draw(VALUES)
        else:
            state[key] = draw(VALUES)
    return _archive(state)


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


def _load_trained(path):
    with small_networks():
        depth.build.load_trained(path)


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
    "image": (edited(_png(np.zeros((16, 24, 3), np.uint8)), _jpeg()), read_image),
    "depth map": (edited(_png(np.arange(64, dtype=np.uint16).reshape(8, 8))), read_depth_png),
    "predictions": (edited(_npy()), _read_predictions),
    "checkpoint, bytes": (edited(ARCHIVE), load_checkpoint),
    "checkpoint, pickle": (
        edited(zipfile.ZipFile(io.BytesIO(ARCHIVE)).read(PICKLE)).map(lambda p: _replaced(ARCHIVE, PICKLE, p)),
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

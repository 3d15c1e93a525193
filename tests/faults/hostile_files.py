"""Valid files of every kind that is read, and what is made of them: edits, nonsense, odd values."""

import io
import json
import zipfile

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image

import depth.build
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.network import NetworkOptions
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


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def jpeg():
    file = io.BytesIO()
    Image.fromarray(np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3)).save(file, "JPEG")
    return file.getvalue()


def npy(*shape):
    file = io.BytesIO()
    np.save(file, np.ones(shape, np.float32))
    return file.getvalue()


def small_config():
    return resolved(
        Config(
            data=DataOptions(dataset="synthetic", height=64, width=96),
            network=NetworkOptions(encoder_weights="scratch"),
        )
    )


def small_state():
    """A checkpoint's content with networks of a few hundred weights."""
    config = small_config()
    with small_networks():
        networks = depth.build.build_objective(config).inference_networks()
    progress = {"epoch": 0, "step_in_epoch": 1, "step": 1}
    return {"config": config.to_dict(), "dataset": "synthetic", "progress": progress, "networks": networks}


def archive(state):
    file = io.BytesIO()
    torch.save({"format": "dejavu-depth/1", **state}, file)
    return file.getvalue()


def replaced(archive, member, content):
    """The archive with another file under this name and the right checksum."""
    source, target = zipfile.ZipFile(io.BytesIO(archive)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as copy:
        for info in source.infolist():
            copy.writestr(info.filename, content if info.filename == member else source.read(info))
    return target.getvalue()


STATE = small_state()
ARCHIVE = archive({"progress": STATE["progress"], "x": torch.arange(4.0), "config": {"data": {"height": 64}}})
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
    return archive(state)


def npz():
    file = io.BytesIO()
    np.savez(file, depth=np.ones((4, 5), np.float32))
    return file.getvalue()


IMAGE = png(np.zeros((16, 24, 3), np.uint8))
CLASS = png(np.zeros((16, 24), np.uint8))
DEPTH = png(np.arange(64, dtype=np.uint16).reshape(8, 8))
MANIFEST = b"""{"manifest": 1, "cameras": {"a": {"width": 24, "height": 16, "fx": 20, "fy": 20, "cx": 11.5, \
"cy": 7.5}}, "classes": {"road": 0, "car": {"id": 1, "thing": true, "colour": [0, 0, 142]}}, "void": [255]}
{"image": "image.png", "sequence": "s", "order": 1, "camera": "a", "mask": "image.png", "split": "val"}
{"image": "image.png", "sequence": "s", "order": 2, "camera": "a", "speed": 3.5, "depth": {"path": "d.npy"}}
{"image": "image.png", "sequence": "s", "order": 3, "camera": "a", "depth": {"path": "d.npy"}, "labels": \
{"semantics": "class.png", "instances": {"path": "class.png", "from": 1}, "normals": "image.png"}}
{"image": "image.png", "sequence": "t", "time": 2.5, "camera": "a", "depth": {"path": "depth.png", "scale": 256}}
{"image": "image.png", "sequence": "t", "time": 3, "camera": "a", "pose": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}
"""

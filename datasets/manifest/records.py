"""One line of a manifest: what may stand in it, and what is wrong with it. The same is schema.json, for other tools."""

from __future__ import annotations

import difflib
import json
import math
import os
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from datasets.core.depth_files import DEPTH_SUFFIXES
from datasets.core.intrinsics import CameraFile, camera_of
from datasets.core.splits import Part
from depth.types import UserError

VERSION = 1
PARTS: tuple[Part, ...] = ("train", "val", "test")

MAX_ORDER = 10**15

_KEYS = frozenset(
    ("image", "sequence", "order", "time", "camera", "split", "depth", "pose", "speed", "mask", "other_camera")
)
_NEEDED = ("image", "sequence", "camera")
_HEADER_KEYS = ("manifest", "cameras")
_ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class DepthFile:
    """Where a frame's depth is."""

    path: str
    scale: float  # stored value / scale = metres
    key: str | None  # of the array in a .npz; None takes the only one


@dataclass(frozen=True, slots=True)
class OtherCamera:
    """The other camera of a rectified pair at the same time; it has the frame's K and size."""

    image: str
    other_from_this: np.ndarray  # float64 (4,4), metres


@dataclass(frozen=True, slots=True)
class Record:
    """A frame as its line has it; paths are as they stand there."""

    image: str
    sequence: str
    order: int | None
    time: float | None  # seconds
    camera: str  # a name in the header's table
    part: Part | None
    depth: DepthFile | None
    pose: np.ndarray | None  # float64 (4,4), world_from_camera, metres
    speed: float | None  # metres a second
    mask: str | None  # an image; what is not 0 does not count
    other: OtherCamera | None

    @property
    def files(self) -> tuple[str, ...]:
        """All files that the line names."""
        paths = (self.image, self.depth and self.depth.path, self.mask, self.other and self.other.image)
        return tuple(path for path in paths if path)


class Malformed(ValueError):
    """What is wrong with a line, without the place: the reader knows that."""


def parse_json(line: bytes) -> dict[str, Any]:
    """The object of a line. Raises Malformed."""
    try:
        values = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise Malformed("not UTF-8 text; save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {str(error)[:80]}") from None
    if not isinstance(values, dict):
        raise Malformed(f"expected a JSON object, not {_shown(values)}")
    return values


def parse_header(values: dict[str, Any]) -> dict[str, Any] | str:
    """The first line's cameras: a table by name, or the path of a file with one. Raises Malformed."""
    if values.get("manifest") != VERSION or isinstance(values["manifest"], bool):
        raise Malformed(f'the first line is {{"manifest": {VERSION}, "cameras": ...}}; this one is something else')
    _check_keys(values, _HEADER_KEYS)
    cameras = values.get("cameras")
    if isinstance(cameras, dict | str) and cameras:
        return cameras
    raise Malformed('"cameras" is a table of cameras by name, or the path of a JSON file with one')


def parse_cameras(table: Any) -> dict[str, CameraFile]:
    """Cameras by name. Raises Malformed."""
    if not isinstance(table, dict) or not table:
        raise Malformed("expected a table of cameras by name")
    cameras = {}
    for name, values in table.items():
        _text(name, "a camera's name")
        try:
            cameras[name] = camera_of(values, f'camera "{name}"')
        except UserError as error:
            raise Malformed(str(error)) from None
    return cameras


def parse_frame(values: dict[str, Any], cameras: dict[str, CameraFile]) -> Record:
    """A frame's line. Raises Malformed for the first thing that is wrong."""
    if not values.keys() <= _KEYS:
        _check_keys(values, _KEYS)
    for key in _NEEDED:
        if key not in values:
            raise Malformed(f'"{key}" is missing')
    camera = values["camera"]
    if not isinstance(camera, str) or camera not in cameras:
        raise Malformed(f"camera {_shown(camera)} is not in the table of cameras ({_few(cameras)})")
    get = values.get
    order, time, part, speed = get("order"), get("time"), get("split"), get("speed")
    if order is None and time is None:
        raise Malformed('"order" (a whole number) or "time" (seconds) is missing')
    if order is not None and not (type(order) is int and 0 <= order <= MAX_ORDER):
        raise Malformed(f'"order" is a whole number from 0, not {_shown(order)}')
    if part is not None and part not in PARTS:
        raise Malformed(f'"split" is one of {", ".join(PARTS)}, not {_shown(part)}')
    return Record(
        image=_text(values["image"], "image"),
        sequence=_text(values["sequence"], "sequence"),
        order=order,
        time=None if time is None else _number(time, "time"),
        camera=camera,
        part=part,
        depth=None if get("depth") is None else _depth(get("depth")),
        pose=None if get("pose") is None else _transform(get("pose"), "pose"),
        speed=None if speed is None else _number(speed, "speed"),
        mask=None if get("mask") is None else _text(get("mask"), "mask"),
        other=None if get("other_camera") is None else _other(get("other_camera")),
    )


def _depth(value: Any) -> DepthFile:
    """A path, or {"path", "scale", "key"}."""
    given = value if isinstance(value, dict) else {"path": value}
    _check_keys(given, ("path", "scale", "key"), "depth: ")
    path = _text(given.get("path"), "depth")
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in DEPTH_SUFFIXES:
        raise Malformed(f"depth {_plain(path)}: depth is a 16-bit .png, a .npy or a .npz, not {suffix or 'this'}")
    key = given.get("key")
    if suffix == ".png" and "scale" not in given:
        raise Malformed('depth: a .png needs its "scale", what stands in the file for a metre (256 in KITTI)')
    if key is not None and (suffix != ".npz" or not isinstance(key, str)):
        raise Malformed(f'depth: "key" is the name of an array in a .npz, not {_shown(key)}')
    scale = _number(given.get("scale", 1), "scale")
    if not scale > 0:
        raise Malformed(f'depth: "scale" is above 0, not {_shown(scale)}')
    return DepthFile(path, scale, key)


def _other(value: Any) -> OtherCamera:
    if not isinstance(value, dict):
        raise Malformed(f'"other_camera" is an object with image and other_from_this, not {_shown(value)}')
    _check_keys(value, ("image", "other_from_this"), "other_camera: ")
    return OtherCamera(
        _text(value.get("image"), "other_camera: image"),
        _transform(value.get("other_from_this"), "other_camera: other_from_this"),
    )


def _transform(value: Any, name: str) -> np.ndarray:
    """Four rows of four numbers, a rigid transform. In plain Python: NumPy takes four times as long for so few."""
    flat = [n for row in value for n in row] if _is_square(value) else []
    # NumPy would read true and "1" as numbers too; an integer may be too long for a float.
    if len(flat) != 16 or not all(type(n) in (int, float) and -1e9 < n < 1e9 for n in flat):
        raise Malformed(f'"{name}" is four rows of four finite numbers')
    x, y, z = value[0][:3], value[1][:3], value[2][:3]
    lengths = [_dot(row, row) - 1 for row in (x, y, z)]
    products = [_dot(x, y), _dot(x, z), _dot(y, z)]
    normal = [y[1] * z[2] - y[2] * z[1], y[2] * z[0] - y[0] * z[2], y[0] * z[1] - y[1] * z[0]]
    odd = any(not -_ROTATION_TOLERANCE < n < _ROTATION_TOLERANCE for n in (*lengths, *products))
    rigid = not odd and _dot(x, normal) > 0
    if not rigid or value[3] != [0, 0, 0, 1]:
        raise Malformed(f'"{name}" is not a rotation and a shift: [R t; 0 0 0 1]')
    return np.array(value, dtype=np.float64)


def _is_square(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(isinstance(row, list) and len(row) == 4 for row in value)


def _dot(a: list[float], b: list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _number(value: Any, name: str) -> float:
    # The bound comes first: an integer may be too long for a float.
    if type(value) not in (int, float) or not abs(value) < 1e15 or not math.isfinite(value):
        raise Malformed(f'"{name}" is a number, not {_shown(value)}')
    return float(value)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Malformed(f'"{name}" is text, not {_shown(value)}')
    return value


def _check_keys(values: dict[str, Any], known: Any, where: str = "") -> None:
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(sorted(known))}"
            raise Malformed(f'{where}unknown entry "{_plain(key)}"; {hint}')


def _few(names: Any) -> str:
    listed = [_plain(name) for name in list(names)[:3]]
    return ", ".join(listed) + (", ..." if len(names) > 3 else "")


def _shown(value: Any) -> str:
    """A value in a few characters, fit for a line."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**20:
        return "a number of more than 20 digits"
    text = json.dumps(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(name: str) -> str:
    return name[:60] if name.isprintable() else "(not printable)"


def _no_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not a number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)

"""One line of a manifest: what may stand in it, and what is wrong with it. The same is schema.json, for other tools."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.core.depth_files import DEPTH_SUFFIXES
from datasets.core.normal_files import NORMAL_SUFFIXES
from datasets.core.splits import Part
from datasets.manifest.header import Header
from datasets.manifest.values import Malformed, as_number, as_text, as_transform, check_keys, few, plain, shown

PARTS: tuple[Part, ...] = ("train", "val", "test")

MAX_ORDER = 10**15

_KEYS = frozenset(
    "image sequence order time camera split depth labels pose speed mask other_camera".split()  # see docs/MANIFEST.md
)
_NEEDED = ("image", "sequence", "camera")


@dataclass(frozen=True, slots=True)
class DepthFile:
    """Where a frame's depth is."""

    path: str
    scale: float  # stored value / scale = metres
    key: str | None  # of the array in a .npz; None takes the only one


@dataclass(frozen=True, slots=True)
class InstanceFile:
    """Where a frame's instances are."""

    path: str
    least: int  # smaller ids are none: stuff, crowds


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
    # Labels, see depth.types.Labels; `depth` is one of them too.
    semantics: str | None
    instances: InstanceFile | None
    normals: str | None

    @property
    def files(self) -> tuple[str, ...]:
        """All files that the line names."""
        inside = (self.depth and self.depth.path, self.other and self.other.image, self.label_file("instances"))
        return tuple(path for path in (self.image, self.mask, self.semantics, self.normals, *inside) if path)

    def label_file(self, kind: str) -> str | None:
        """The path of the labels of a kind, None where there are none."""
        found = getattr(self, kind)
        return found if found is None or isinstance(found, str) else found.path


def parse_frame(values: dict[str, Any], header: Header) -> Record:
    """A frame's line. Raises Malformed for the first thing that is wrong."""
    if not values.keys() <= _KEYS:
        check_keys(values, _KEYS)
    for key in _NEEDED:
        if key not in values:
            raise Malformed(f'"{key}" is missing')
    camera = values["camera"]
    if not isinstance(camera, str) or camera not in header.cameras:
        raise Malformed(f"camera {shown(camera)} is not in the table of cameras ({few(header.cameras)})")
    get = values.get
    order, time, part, speed = get("order"), get("time"), get("split"), get("speed")
    if order is None and time is None:
        raise Malformed('"order" (a whole number) or "time" (seconds) is missing')
    if order is not None and not (type(order) is int and 0 <= order <= MAX_ORDER):
        raise Malformed(f'"order" is a whole number from 0, not {shown(order)}')
    if part is not None and part not in PARTS:
        raise Malformed(f'"split" is one of {", ".join(PARTS)}, not {shown(part)}')
    return Record(
        image=as_text(values["image"], "image"),
        sequence=as_text(values["sequence"], "sequence"),
        order=order,
        time=None if time is None else as_number(time, "time"),
        camera=camera,
        part=part,
        depth=None if get("depth") is None else _depth(get("depth")),
        pose=None if get("pose") is None else as_transform(get("pose"), "pose"),
        speed=None if speed is None else as_number(speed, "speed"),
        mask=None if get("mask") is None else as_text(get("mask"), "mask"),
        other=None if get("other_camera") is None else _other(get("other_camera")),
        **(_NO_LABELS if get("labels") is None else _labels(get("labels"), header)),
    )


def _depth(value: Any) -> DepthFile:
    """A path, or {"path", "scale", "key"}."""
    given = value if isinstance(value, dict) else {"path": value}
    check_keys(given, ("path", "scale", "key"), "depth: ")
    path = as_text(given.get("path"), "depth")
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in DEPTH_SUFFIXES:
        raise Malformed(f"depth {plain(path)}: depth is a 16-bit .png, a .npy or a .npz, not {suffix or 'this'}")
    key = given.get("key")
    if suffix == ".png" and "scale" not in given:
        raise Malformed('depth: a .png needs its "scale", what stands in the file for a metre (256 in KITTI)')
    if key is not None and (suffix != ".npz" or not isinstance(key, str)):
        raise Malformed(f'depth: "key" is the name of an array in a .npz, not {shown(key)}')
    scale = as_number(given.get("scale", 1), "scale")
    if not scale > 0:
        raise Malformed(f'depth: "scale" is above 0, not {shown(scale)}')
    return DepthFile(path, scale, key)


_NO_LABELS: dict[str, Any] = {"semantics": None, "instances": None, "normals": None}


def _labels(value: Any, header: Header) -> dict[str, Any]:
    """Those of semantics, instances and normals that there are; the others are None."""
    if not isinstance(value, dict):
        raise Malformed(f'"labels" is an object with {", ".join(_NO_LABELS)}, not {shown(value)}')
    if "depth" in value:
        raise Malformed('labels: depth stands beside "labels", not in it')
    check_keys(value, tuple(_NO_LABELS), "labels: ")
    found = {kind: value[kind] for kind in _NO_LABELS if value.get(kind) is not None}
    if "semantics" in found and header.labels is None:
        raise Malformed('labels: semantics need "classes" in the first line')
    if "instances" in found:
        given = found["instances"] if isinstance(found["instances"], dict) else {"path": found["instances"]}
        check_keys(given, ("path", "from"), "labels: instances: ")
        least = given.get("from", 1)
        if type(least) is not int or not 0 < least <= 65_535:
            raise Malformed(f'labels: instances: "from" is the least id that counts, not {shown(least)}')
        found["instances"] = InstanceFile(as_text(given.get("path"), "labels: instances"), least)
    for kind in ("semantics", "normals"):
        if kind in found:
            as_text(found[kind], f"labels: {kind}")
    if "normals" in found and not found["normals"].lower().endswith(NORMAL_SUFFIXES):
        raise Malformed(f"labels: normals are a .png or a .npy, not {plain(found['normals'])}")
    return _NO_LABELS | found


def _other(value: Any) -> OtherCamera:
    if not isinstance(value, dict):
        raise Malformed(f'"other_camera" is an object with image and other_from_this, not {shown(value)}')
    check_keys(value, ("image", "other_from_this"), "other_camera: ")
    return OtherCamera(
        as_text(value.get("image"), "other_camera: image"),
        as_transform(value.get("other_from_this"), "other_camera: other_from_this"),
    )

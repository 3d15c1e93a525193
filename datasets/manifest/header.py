"""The first line of a manifest: the cameras, and the classes of its labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.core.intrinsics import CameraFile, camera_of
from datasets.core.labelled import id_table, spread_colours
from datasets.manifest.values import Malformed, as_text, check_keys, parse_json, plain, shown
from depth.types import IGNORE, Classes, UserError

VERSION = 1

_KEYS = ("manifest", "cameras", "classes", "void")
_MAX_CAMERAS_FILE = 1 << 26
_MAX_ID = 65_535  # of a 16-bit PNG


@dataclass(frozen=True)
class LabelIds:
    """The classes, and what stands for them in the label files."""

    classes: Classes
    own: tuple[int, ...]  # class id -> what stands in the files
    table: np.ndarray  # uint8: what stands in the files -> class id, IGNORE for "none"
    known: np.ndarray  # bool, as long: whether the header names it


@dataclass(frozen=True)
class Header:
    """What the first line says."""

    cameras: dict[str, CameraFile]
    labels: LabelIds | None = None  # None without classes


def parse_header(values: dict[str, Any], folder: str) -> Header:
    """The header; `folder` is the manifest's. Raises Malformed, and UserError where the cameras' file is unreadable."""
    if values.get("manifest") != VERSION or isinstance(values["manifest"], bool):
        raise Malformed(f'the first line is {{"manifest": {VERSION}, "cameras": ...}}; this one is something else')
    check_keys(values, _KEYS)
    cameras = values.get("cameras")
    if not isinstance(cameras, dict | str) or not cameras:
        raise Malformed('"cameras" is a table of cameras by name, or the path of a JSON file with one')
    if "void" in values and "classes" not in values:
        raise Malformed('"void" without "classes"')
    table = _cameras(cameras) if isinstance(cameras, dict) else _cameras_of_file(folder, cameras)
    return Header(table, _labels(values["classes"], values.get("void")) if "classes" in values else None)


def _cameras(table: Any) -> dict[str, CameraFile]:
    if not isinstance(table, dict) or not table:
        raise Malformed("expected a table of cameras by name")
    cameras = {}
    for name, values in table.items():
        as_text(name, "a camera's name")
        try:
            cameras[name] = camera_of(values, f'camera "{name}"')
        except UserError as error:
            raise Malformed(str(error)) from None
    return cameras


def _cameras_of_file(folder: str, given: str) -> dict[str, CameraFile]:
    file = Path(folder, given)
    try:
        content = file.read_bytes() if file.stat().st_size <= _MAX_CAMERAS_FILE else b""
    except (OSError, ValueError) as error:
        raise Malformed(f"cannot read the cameras {given}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return _cameras(parse_json(content.removeprefix(b"\xef\xbb\xbf")))
    except Malformed as error:
        raise Malformed(f"{given}: {error}") from None


def _labels(table: Any, void: Any) -> LabelIds:
    if not isinstance(table, dict) or not 0 < len(table) <= IGNORE:
        raise Malformed(f'"classes" is a table of classes by name, 1 to {IGNORE} of them')
    usual = spread_colours(len(table))
    entries = [_class(name, given, colour) for (name, given), colour in zip(table.items(), usual, strict=True)]
    names, own, things, colours = zip(*entries, strict=True)
    void = [IGNORE] * (IGNORE not in own) if void is None else void
    if not isinstance(void, list) or not all(_is_id(each) for each in void):
        raise Malformed(f'"void" is a list of whole numbers from 0 to {_MAX_ID}')
    places = {number: place for place, number in enumerate(own)}
    most, times = Counter((*own, *void)).most_common(1)[0]
    if times > 1:
        raise Malformed(f'two of "classes" and "void" have the id {most}')
    mapped = id_table(max(own + tuple(void)) + 1, places)
    known = np.zeros(len(mapped), bool)
    known[[*own, *void]] = True
    return LabelIds(Classes(names, things, colours), own, mapped, known)


def _class(name: str, given: Any, colour: tuple[int, int, int]) -> tuple[str, int, bool, tuple[int, int, int]]:
    """Name, id in the files, whether its objects are told apart, colour, which is this one where none is given."""
    as_text(name, "a class's name")
    values = given if isinstance(given, dict) else {"id": given}
    where = f'class "{plain(name)}": '
    check_keys(values, ("id", "thing", "colour"), where)
    if not _is_id(values.get("id")):
        raise Malformed(f"{where}its id is a whole number from 0 to {_MAX_ID}, not {shown(values.get('id'))}")
    thing, colour = values.get("thing", False), values.get("colour", list(colour))
    if not isinstance(thing, bool):
        raise Malformed(f'{where}"thing" is true or false')
    if not isinstance(colour, list) or len(colour) != 3 or not all(_is_id(c) and c < 256 for c in colour):
        raise Malformed(f'{where}"colour" is three whole numbers from 0 to 255')
    return name, values["id"], thing, tuple(colour)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_ID

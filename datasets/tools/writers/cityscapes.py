"""Cityscapes' sequences: leftImg8bit_sequence, the camera of each snippet, the car's speed, and the fine labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.core.images import image_size
from datasets.labelled.cityscapes import CLASSES, INSTANCED, OWN_IDS, TABLE
from datasets.tools.writers.writing import Line, Written, camera_entry, load_json
from depth.types import IGNORE, UserError

_NAME = re.compile(r"(.+_\d{6})_(\d{6})_leftImg8bit\.(?:png|jpg)")
_FPS = 17.0


def lines(root: Path) -> Written:
    """All snippets of all parts. Raises UserError where there is none, or a snippet has no camera."""
    folder = root / "leftImg8bit_sequence"
    images = sorted(path for path in folder.glob("*/*/*_leftImg8bit.*") if _NAME.fullmatch(path.name))
    if not images:
        raise UserError(f"{root} has no leftImg8bit_sequence/<part>/<city>/*_leftImg8bit.png")
    cameras: dict = {}
    found = list(_lines(root, images, cameras))
    return Written(cameras, found, header=_classes() if any("labels" in line for line in found) else {})


def _classes() -> dict:
    """The header's entries: the 19 classes that are trained on, and all other ids."""
    own = zip(CLASSES.names, OWN_IDS, CLASSES.things, CLASSES.colours, strict=True)
    classes = {name: {"id": number, "thing": thing, "colour": list(colour)} for name, number, thing, colour in own}
    return {"classes": classes, "void": sorted({*range(len(TABLE)), IGNORE} - {*OWN_IDS})}


def _lines(root: Path, images: list[Path], cameras: dict) -> Iterator[Line]:
    for image in images:
        snippet, number = _NAME.fullmatch(image.name).groups()
        part, city = image.parts[-3:-1]
        if snippet not in cameras:
            cameras[snippet] = _camera(root / "camera" / part / city, snippet, image)
        line: Line = {"image": image, "sequence": snippet, "order": int(number), "camera": snippet}
        line |= {"time": int(number) / _FPS, "split": part if part in ("train", "val", "test") else "train"}
        vehicle = root / "vehicle_sequence" / part / city / f"{snippet}_{number}_vehicle.json"
        fine = root / "gtFine" / part / city / f"{snippet}_{number}_gtFine_labelIds.png"
        if fine.is_file():  # the twentieth of a snippet's frames, not of the test part
            things = fine.with_name(fine.name.replace("labelIds", "instanceIds"))
            line["labels"] = {"semantics": fine, "instances": {"path": things, "from": INSTANCED}}
        speed = load_json(vehicle).get("speed") if vehicle.is_file() else None
        yield line | ({"speed": float(speed)} if isinstance(speed, int | float) else {})


def _camera(folder: Path, snippet: str, image: Path) -> dict:
    """A snippet has a camera file beside one of its frames, the labelled one."""
    path = next(iter(sorted(folder.glob(f"{snippet}_*_camera.json"))), None)
    if path is None:
        raise UserError(f"{folder} has no camera of {snippet}: unpack camera_trainvaltest.zip")
    values = load_json(path)
    try:
        fx, fy, cx, cy = (float(values["intrinsic"][key]) for key in ("fx", "fy", "u0", "v0"))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} has no intrinsic with fx, fy, u0 and v0") from None
    return camera_entry(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), image_size(image))

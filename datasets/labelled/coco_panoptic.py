"""COCO's panoptic labels (Kirillov et al., CVPR 2019): 133 classes, of which 80 are things."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.core.images import read_colours
from datasets.core.labelled import LabelledFolder, find_image, list_images
from datasets.core.splits import Part
from depth.support.files import read_text
from depth.types import IGNORE, Classes, UserError, reason_of

_PARTS = ("val", "train")  # val's list is the shorter one, and both name the same classes
_MOST_BYTES = 1 << 30  # of a list
_FACTORS = np.array([1, 1 << 8, 1 << 16])  # of R, G, B in a segment's id
# What is kept of a list while it is read: train's has 1.3 million segments.
_KEPT = set("annotations file_name segments_info categories id category_id iscrowd name isthing color".split())


@dataclass(frozen=True)
class SegmentList:
    """What a part's JSON says."""

    label_ids: tuple[int, ...]  # class id -> COCO's own
    classes: Classes
    segments: dict[str, np.ndarray]  # image's stem -> int32 (n,3): number, class id, 1 for a crowd


class CocoPanoptic(LabelledFolder):
    """<root>/{train,val}2017/<stem>.jpg, <root>/annotations/panoptic_{train,val}2017.json and folders of that name."""

    kinds = ("semantics", "instances")
    stems = True
    wanted = {"train": 118287, "val": 5000}
    download = "train2017.zip, val2017.zip, panoptic_annotations_trainval2017.zip and the zips in it (cocodataset.org)"

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        self._lists: dict[str, SegmentList] = {}
        first = self._list(next(part for part in _PARTS if self._json(part).is_file()))
        self.classes, self.own_ids = first.classes, first.label_ids

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a part's list of segments is there."""
        return any((root / "annotations" / f"panoptic_{part}2017.json").is_file() for part in _PARTS)

    def _json(self, part: str) -> Path:
        return self.root / "annotations" / f"panoptic_{part}2017.json"

    def _list(self, part: str) -> SegmentList:
        if part not in self._lists:
            self._lists[part] = read_list(self._json(part))
        return self._lists[part]

    def images(self, part: Part) -> list[str]:
        """Names "<part>/<stem>" of the images that the list has; there is no labelled test part."""
        stems = list_images(self.root / f"{part}2017") if part in _PARTS and self._json(part).is_file() else []
        return [f"{part}/{stem}" for stem in stems if stem in self._list(part).segments]

    def image_path(self, name: str) -> Path:
        """<root>/<part>2017/<stem>.jpg."""
        part, _, stem = name.partition("/")
        return find_image(self.root / f"{part}2017" / stem, (".jpg", ".png"))

    def label_path(self, name: str, kind: str) -> Path:
        """<root>/annotations/panoptic_<part>2017/<stem>.png."""
        part, _, stem = name.partition("/")
        return find_image(self.root / "annotations" / f"panoptic_{part}2017" / stem, (".png",))

    def read(self, name: str, kind: str) -> np.ndarray:
        """As the field of Labels; a thing's id is its segment's number, and 0 on crowds.

        Raises UserError for a damaged file, and for a segment that the list does not have.
        """
        path, (part, _, stem) = self.label_path(name, kind), name.partition("/")
        numbers = read_colours(path) @ _FACTORS
        found, places = np.unique(numbers, return_inverse=True)
        known = {number: (k, crowd) for number, k, crowd in self._list(part).segments[stem].tolist()}
        strangers = [number for number in found.tolist() if number and number not in known]
        if strangers:
            raise UserError(f"{path} holds the segment {strangers[0]}, which {self._json(part)} does not list")
        rows = np.array([known.get(number, (IGNORE, 1)) for number in found.tolist()])
        values = rows[:, 0].astype(np.uint8)
        if kind == "instances":
            things = np.isin(rows[:, 0], np.flatnonzero(self.classes.things)) & (rows[:, 1] == 0)
            values = np.where(things, found, 0).astype(np.int32)
        return values[places].reshape(numbers.shape)


def read_list(path: Path) -> SegmentList:
    """A part's list. Raises UserError where it cannot be read, or is not as COCO's are."""
    try:
        content = json.loads(read_text(path, "the list of segments", _MOST_BYTES), object_hook=_kept)
        rows = [(int(c["id"]), str(c["name"]), bool(c["isthing"]), c["color"]) for c in content["categories"]]
        ids, names, things, colours = zip(*rows, strict=True)
        ids_of = {own: k for k, own in enumerate(ids)}
        if len(ids_of) > IGNORE or max(ids) > 255 or min(ids) < 0:
            raise ValueError("ids of categories are 0 to 255")
        if len(ids_of) < len(ids):
            raise ValueError("two categories have one id")
        segments = {}
        for each in content["annotations"]:
            own = [(s["id"], ids_of[s["category_id"]], s["iscrowd"]) for s in each["segments_info"]]
            numbers = np.array(own, np.int64).reshape(-1, 3)
            if (numbers[:, 0] >> 24).any():  # NumPy 1 would fold it into 32 bits
                raise ValueError("ids of segments are 24 bits, their colours'")
            segments[Path(each["file_name"]).stem] = numbers.astype(np.int32)
        colours = tuple((int(r), int(g), int(b)) for r, g, b in colours)
        if not all(0 <= value <= 255 for colour in colours for value in colour):
            raise ValueError("colours are 0 to 255")
        return SegmentList(ids, Classes(names, things, colours), segments)
    except KeyError as error:
        raise UserError(f"{path} is not a list of COCO's panoptic segments: it lacks {error}") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} is not a list of COCO's panoptic segments: {reason_of(error)}") from None


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in _KEPT}

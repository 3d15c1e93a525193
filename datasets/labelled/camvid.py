"""CamVid in the division of SegNet's authors: {train,val,test} and {train,val,test}annot."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.core.labelled import LabelledFolder, find_image, id_table, list_images, mapped_ids
from datasets.core.splits import Part
from depth.types import Classes

_NAMES = ("sky building pole road pavement tree sign fence car pedestrian bicyclist").split()
_COLOURS = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip
_TABLE = id_table(12, {k: k for k in range(11)})  # 11 is void


class CamVid(LabelledFolder):
    """<root>/<part>/<name>.png (or .jpg) and <root>/<part>annot/<name>.png with ids 0..10, 11 is void."""

    classes = Classes(tuple(_NAMES), (False,) * 11, _COLOURS)
    kinds = ("semantics",)
    wanted = {"train": 367, "val": 101, "test": 233}
    download = "CamVid with train, trainannot, val, ... comes with the SegNet tutorial"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether images and labels of the train part lie side by side."""
        return (root / "train").is_dir() and (root / "trainannot").is_dir()

    def images(self, part: Part) -> list[str]:
        """Names "<part>/<stem>"."""
        return [f"{part}/{stem}" for stem in list_images(self.root / part)]

    def image_path(self, name: str) -> Path:
        """<root>/<part>/<stem>.png or .jpg."""
        return find_image(self.root / name)

    def label_path(self, name: str, kind: str) -> Path:
        """<root>/<part>annot/<stem>.png."""
        part, _, stem = name.partition("/")
        return find_image(self.root / f"{part}annot" / stem, (".png",))

    def read(self, name: str, kind: str) -> np.ndarray:
        """uint8 (H,W). Raises UserError for a damaged file and an id above 11."""
        return mapped_ids(self.label_path(name, kind), _TABLE, "CamVid's ids")

"""ADE20K's scene parsing benchmark (Zhou et al., CVPR 2017): 150 classes, whose names stand in the data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.core.labelled import LabelledFolder, find_image, id_table, list_images, mapped_ids, spread_colours
from datasets.core.splits import Part
from depth.support.files import read_text
from depth.types import Classes, UserError

_COUNT = 150
_TABLE = id_table(_COUNT + 1, {label: label - 1 for label in range(1, _COUNT + 1)})  # 0 is other
_FOLDERS = {"train": "training", "val": "validation"}


class Ade20k(LabelledFolder):
    """<root>/{images,annotations}/{training,validation}/<stem>, and objectInfo150.txt with the classes' names."""

    own_ids = tuple(range(1, _COUNT + 1))
    kinds = ("semantics",)
    stems = True
    wanted = {"train": 20210, "val": 2000}
    download = "the folder of ADEChallengeData2016.zip (MIT Scene Parsing Benchmark)"

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        names = read_names(self.root / "objectInfo150.txt")
        self.classes = Classes(names, (False,) * _COUNT, spread_colours(_COUNT))

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there are annotations of a training part."""
        return (root / "annotations" / "training").is_dir()

    def images(self, part: Part) -> list[str]:
        """Names "<folder>/<stem>"; the test part has no labels."""
        folder = _FOLDERS.get(part)
        return [f"{folder}/{stem}" for stem in list_images(self.root / "images" / folder)] if folder else []

    def image_path(self, name: str) -> Path:
        """<root>/images/<name>.jpg."""
        return find_image(self.root / "images" / name, (".jpg", ".png"))

    def label_path(self, name: str, kind: str) -> Path:
        """<root>/annotations/<name>.png."""
        return find_image(self.root / "annotations" / name, (".png",))

    def read(self, name: str, kind: str) -> np.ndarray:
        """uint8 (H,W). Raises UserError for a damaged file and an id above 150."""
        return mapped_ids(self.label_path(name, kind), _TABLE, "ADE20K's ids")


def read_names(path: Path) -> tuple[str, ...]:
    """The first name of each class from a table with tabs, whose first column counts 1, 2, ... and last one names.

    Raises UserError for a file that is missing, or is not such a table of 150 classes.
    """
    rows = [line.split("\t") for line in read_text(path, "the classes' names").splitlines()[1:] if line.strip()]
    names = tuple(row[-1].split(",")[0].strip() for row in rows)
    if [row[0].strip() for row in rows] != [str(k) for k in Ade20k.own_ids] or not all(names):
        raise UserError(f"{path} is not a table of {_COUNT} classes, with a number and a name in each line")
    return names

"""NYUD-v2 for several tasks: 795 / 654 images with 40 classes, depth and normals, in either of the two releases."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.core.depth_files import read_depth
from datasets.core.labelled import LabelledFolder, find_image, id_table, mapped_ids, spread_colours
from datasets.core.normal_files import read_normals
from datasets.core.splits import Part
from depth.support.files import read_text
from depth.types import Classes, UserError

_NAMES = (
    "wall floor cabinet bed chair sofa table door window bookshelf picture counter blinds desk shelves curtain dresser "
    "pillow mirror floor_mat clothes ceiling books refrigerator television paper towel shower_curtain box whiteboard "
    "person night_stand toilet sink lamp bathtub bag other_structure other_furniture other_prop"
).split()
_TABLE = id_table(41, {label: label - 1 for label in range(1, 41)})


class Nyud(LabelledFolder):
    """<root>/{images,segmentation,depth,normals}/<name> with .jpg or .png images, and gt_sets/{train,val}.txt."""

    classes = Classes(tuple(_NAMES), (False,) * 40, spread_colours(40))
    own_ids = tuple(range(1, 41))
    kinds = ("semantics", "depth", "normals")
    wanted = {"train": 795, "val": 654}
    download = "NYUDv2 for multi-task learning, with gt_sets/train.txt and val.txt (NYUD_MT.tgz or NYUDv2.tar.gz)"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is a folder for the lists of names."""
        return (root / "gt_sets").is_dir()

    def images(self, part: Part) -> list[str]:
        """The names of gt_sets/<part>.txt whose image is there; test is val, as in the field."""
        path = self.root / "gt_sets" / f"{'val' if part == 'test' else part}.txt"
        names = read_text(path, "the list").split()
        if any("/" in name or "\\" in name or name.startswith(".") for name in names):
            raise UserError(f"{path} holds names that lead out of the data set")
        return [name for name in names if self.image_path(name).is_file()]

    def image_path(self, name: str) -> Path:
        """images/<name>.jpg or .png."""
        return find_image(self.root / "images" / name, (".jpg", ".png"))

    def label_path(self, name: str, kind: str) -> Path:
        """segmentation/<name>.png, depth/<name>.npy, normals/<name>.npy or .png."""
        if kind == "semantics":
            return find_image(self.root / "segmentation" / name, (".png",))
        return find_image(self.root / kind / name, (".npy", ".png") if kind == "normals" else (".npy",))

    def read(self, name: str, kind: str) -> np.ndarray:
        """As the field of Labels. Raises UserError for damaged files, labels above 40, and arrays of another shape."""
        path = self.label_path(name, kind)
        if kind == "semantics":
            return mapped_ids(path, _TABLE, "NYUD's labels")
        return read_depth(path) if kind == "depth" else read_normals(path)

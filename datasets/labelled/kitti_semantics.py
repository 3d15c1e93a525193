"""KITTI's semantics benchmark (Alhaija et al., IJCV 2018): 200 labelled images with Cityscapes' label ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.core.images import read_ids
from datasets.core.labelled import LabelledFolder, find_image, list_images, mapped_ids
from datasets.core.splits import Part
from datasets.labelled.cityscapes import CLASSES, OWN_IDS, TABLE
from depth.types import UserError

_FOLDERS = {"semantics": "semantic", "instances": "instance"}
_HELD_OUT = 5  # every fifth image is validated on: the benchmark has no division of its own (ours)


class KittiSemantics(LabelledFolder):
    """<root>/training/{image_2,semantic,instance}/<stem>.png."""

    classes = CLASSES
    own_ids = OWN_IDS
    kinds = ("semantics", "instances")
    wanted = {"train": 160, "val": 40}
    download = "data_semantics.zip (KITTI, semantic segmentation evaluation)"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is a folder training/semantic."""
        return (root / "training" / "semantic").is_dir()

    def images(self, part: Part) -> list[str]:
        """Names "<stem>": every fifth image is val, the others are train; there is no labelled test part."""
        stems = list_images(self.root / "training" / "image_2")
        held_out = stems[::_HELD_OUT]
        return {"val": held_out, "train": [s for s in stems if s not in set(held_out)], "test": []}[part]

    def image_path(self, name: str) -> Path:
        """<root>/training/image_2/<stem>.png or .jpg."""
        return find_image(self.root / "training" / "image_2" / name)

    def label_path(self, name: str, kind: str) -> Path:
        """<root>/training/semantic or instance/<stem>.png."""
        return find_image(self.root / "training" / _FOLDERS[kind] / name, (".png",))

    def read(self, name: str, kind: str) -> np.ndarray:
        """As the field of Labels; an instance's high byte is its class, the low byte its number, 0 for none.

        Raises UserError for damaged files and ids that Cityscapes does not have.
        """
        path = self.label_path(name, kind)
        if kind == "semantics":
            return mapped_ids(path, TABLE, "Cityscapes' label ids")
        ids = read_ids(path, deep=True)
        if (ids >> 8).max() >= len(TABLE):
            raise UserError(f"{path} holds the class {(ids >> 8).max()}, which Cityscapes does not have")
        return np.where(ids & 255, ids, 0)

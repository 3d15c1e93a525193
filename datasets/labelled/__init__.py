"""Labelled data sets: a reader a file, and what becomes of labels when their image is resized, cropped or mirrored.

May import: depth/types.py, depth/support, datasets/core.
"""

from __future__ import annotations

from pathlib import Path

from datasets.core.labelled import LabelledFolder
from depth.support.parts import Parts, constructor_of
from depth.types import UserError

# Name of --dataset -> reader.
LABELLED: Parts = {
    "synthetic": "datasets.labelled.world:WorldLabels",
    "camvid": "datasets.labelled.camvid:CamVid",
    "cityscapes": "datasets.labelled.cityscapes:Cityscapes",
    "kitti_semantics": "datasets.labelled.kitti_semantics:KittiSemantics",
    "vkitti2": "datasets.labelled.virtual_kitti:VirtualKitti",
    "nyud": "datasets.labelled.nyud:Nyud",
    "ade20k": "datasets.labelled.ade20k:Ade20k",
    "coco_panoptic": "datasets.labelled.coco_panoptic:CocoPanoptic",
}


def open_labelled(root: Path, dataset: str) -> LabelledFolder:
    """The reader of a labelled data set. Raises UserError for an unknown name, and where the folder is not of it."""
    reader = constructor_of(LABELLED, dataset, "labelled data set")
    hint = "" if reader.recognises(root) else beside(root)
    if hint:
        raise UserError(f"{root} is not laid out as {reader.__name__} is; {hint}")
    return reader(root)


def recognise(root: Path) -> str | None:
    """Which of LABELLED a folder is, by its layout; None for none of them."""
    return next((name for name in LABELLED if constructor_of(LABELLED, name, "set").recognises(root)), None)


def beside(root: Path) -> str:
    """A hint where one of the two folders above or one right below is of LABELLED; empty otherwise."""
    near = [*root.resolve().parents[:2], *(sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else ())]
    found = next(((folder, name) for folder in near if (name := recognise(folder))), None)
    return "" if found is None else f"{found[0]} is laid out as {found[1]} is: perhaps that folder is meant"

"""Cityscapes (Cordts et al., CVPR 2016): fine labels, instances, and depth from the disparity and camera files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from datasets.core.images import read_depth_png, read_ids
from datasets.core.labelled import LabelledFolder, find_image, id_table, list_images, mapped_ids
from datasets.core.splits import Part
from depth.support.files import read_text
from depth.types import Classes, UserError

OWN_IDS = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)  # the label ids that are trained on, in their order
TABLE = id_table(34, {label: train for train, label in enumerate(OWN_IDS)})
NAMES = (
    "road sidewalk building wall fence pole traffic_light traffic_sign vegetation terrain sky "
    "person rider car truck bus train motorcycle bicycle"
).split()
_COLOURS = (
    (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
    (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
    (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
)  # fmt: skip
_FIRST_THING = 11
CLASSES = Classes(tuple(NAMES), tuple(k >= _FIRST_THING for k in range(19)), _COLOURS)
INSTANCED = 1000  # from here on an instance id is class * 1000 + number
_FILES = {
    "semantics": ("gtFine", "_gtFine_labelIds"),
    "instances": ("gtFine", "_gtFine_instanceIds"),
    "depth": ("disparity", "_disparity"),
}


class Cityscapes(LabelledFolder):
    """<root>/leftImg8bit/<part>/<city>/<stem>_leftImg8bit.png, and gtFine, disparity, camera in the same way."""

    classes = CLASSES
    own_ids = OWN_IDS
    kinds = ("semantics", "instances", "depth")
    stems = True
    wanted = {"train": 2975, "val": 500}
    download = "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip (cityscapes-dataset.com)"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is a folder leftImg8bit."""
        return (root / "leftImg8bit").is_dir()

    def images(self, part: Part) -> list[str]:
        """Names "<part>/<city>/<stem>"."""
        folder = self.root / "leftImg8bit" / part
        cities = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        return [f"{part}/{city.name}/{stem}" for city in cities for stem in list_images(city, "_leftImg8bit")]

    def image_path(self, name: str) -> Path:
        """<root>/leftImg8bit/<name>_leftImg8bit.png or .jpg."""
        return find_image(self.root / "leftImg8bit" / f"{name}_leftImg8bit")

    def label_path(self, name: str, kind: str) -> Path:
        """The file of gtFine, or of disparity, of this name."""
        folder, ending = _FILES[kind]
        return find_image(self.root / folder / f"{name}{ending}", (".png",))

    def read(self, name: str, kind: str) -> np.ndarray:
        """As the field of Labels. Raises UserError for damaged files and ids that Cityscapes does not have."""
        path = self.label_path(name, kind)
        if kind == "semantics":
            return mapped_ids(path, TABLE, "Cityscapes' label ids")
        if kind == "instances":
            return instance_numbers(read_ids(path), path)
        return self._depth(name, path)

    def _depth(self, name: str, path: Path) -> np.ndarray:
        """baseline * fx / disparity, metres; the disparity is (p - 1) / 256, and p = 0 is none."""
        baseline, fx = read_camera(self.root / "camera" / f"{name}_camera.json")
        disparity = (read_depth_png(path, 1) - 1) / 256
        return np.where(disparity > 0, baseline * fx / np.maximum(disparity, 1e-6), 0).astype(np.float32)


def instance_numbers(ids: np.ndarray, path: Path) -> np.ndarray:
    """gtFine's instance ids -> int32 (H,W): 0 for stuff and crowds. Raises UserError for a class that is not there."""
    single = ids >= INSTANCED
    if (ids[single] // INSTANCED >= len(TABLE)).any() or (ids[~single] >= len(TABLE)).any():
        raise UserError(f"{path} holds the id {ids.max()}, whose class Cityscapes does not have")
    return np.where(single, ids, 0)


def read_camera(path: Path) -> tuple[float, float]:
    """Baseline in metres and fx in pixels. Raises UserError where the file is missing or malformed."""
    try:
        camera = json.loads(read_text(path, "the camera"))
        baseline, fx = float(camera["extrinsic"]["baseline"]), float(camera["intrinsic"]["fx"])
        if not all(0 < value < math.inf for value in (baseline, fx)):
            raise ValueError
        return baseline, fx
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise UserError(f"{path} does not hold extrinsic.baseline and intrinsic.fx, both above 0") from None

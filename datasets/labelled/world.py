"""The embedded world's labels: classes, cars and boxes, exact depth and normals of the left camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.core.images import read_depth_png, read_ids
from datasets.core.labelled import LabelledFolder, find_image, frame_of, mapped_ids
from datasets.core.normal_files import read_normals
from datasets.core.splits import Part, load_split
from depth.types import Classes, UserError

# The order of datasets.world.surfaces.Class. One picture does not tell what moves: moving cars are cars.
_NAMES = "sky road kerb sidewalk terrain building wall pole vegetation box car hill".split()
_COLOURS = (
    (70, 130, 180), (128, 64, 128), (196, 196, 196), (244, 35, 232), (152, 251, 152), (70, 70, 70),
    (102, 102, 156), (250, 170, 30), (107, 142, 35), (220, 20, 60), (0, 0, 142), (0, 80, 100),
)  # fmt: skip
_ROAD, _CAR, _MOVING, _HILL = 1, 10, 11, 12
_TABLE = np.array([*range(_CAR + 1), _CAR, _CAR + 1], np.uint8)
_FOLDERS = {"semantics": "semantics/class_02", "instances": "semantics/instance_02", "normals": "semantics/normal_02"}


class WorldLabels(LabelledFolder):
    """An embedded world that was written with labels; an image's name is its frame's, "<folder> <frame> <side>"."""

    classes = Classes(tuple(_NAMES), tuple(name in ("box", "car") for name in _NAMES), _COLOURS)
    kinds = ("semantics", "instances", "depth", "normals")
    video = True
    download = "python -m datasets.synthetic --labels writes one"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether it is an embedded world."""
        return (root / "world.json").is_file()

    def images(self, part: Part) -> list[str]:
        """The left camera's frames of the world's own split."""
        refs = load_split(self.root / "splits", part)
        return [ref.name for ref in refs if ref.side == "l" and self.image_path(ref.name).is_file()]

    def image_path(self, name: str) -> Path:
        """The left camera's frame."""
        ref = frame_of(name)
        return find_image(self.root / ref.folder / "image_02" / "data" / f"{ref.frame:010d}")

    def label_path(self, name: str, kind: str) -> Path:
        """The frame's labels of a kind."""
        ref, folder = frame_of(name), _FOLDERS.get(kind, "proj_depth/groundtruth/image_02")
        return self.root / ref.folder / folder / f"{ref.frame:010d}.png"

    def read(self, name: str, kind: str) -> np.ndarray:
        """As the field of Labels. Raises UserError for a file that is missing or damaged."""
        path = self.label_path(name, kind)
        if kind == "depth":
            return read_depth_png(path)
        if kind == "instances":
            return read_ids(path)
        if kind == "normals":
            return read_normals(path)
        own = mapped_ids(path, np.arange(len(_TABLE)), "the embedded world's classes")
        # A car's shadow is no car; that of one that moves is written as such.
        other = self.label_path(name, "instances")
        things = read_ids(other)
        if things.shape != own.shape:
            raise UserError(f"{path} and {other} have different sizes")
        return np.where((own == _MOVING) & (things == 0), np.uint8(_ROAD), _TABLE[own])

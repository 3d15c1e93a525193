"""Virtual KITTI 2 (Cabon et al., arXiv 2001.10773): classes by colour, instances, exact depth."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from datasets.core.images import read_colours, read_depth_png, read_ids
from datasets.core.labelled import LabelledFolder, find_image, list_images
from datasets.core.splits import Part
from depth.types import IGNORE, Classes, UserError

_COLOURS = {
    "terrain": (210, 0, 200), "sky": (90, 200, 255), "tree": (0, 199, 0), "vegetation": (90, 240, 0),
    "building": (140, 140, 140), "road": (100, 60, 100), "guard_rail": (250, 100, 255), "traffic_sign": (255, 255, 0),
    "traffic_light": (200, 200, 0), "pole": (255, 130, 0), "misc": (80, 80, 80), "truck": (160, 60, 60),
    "car": (255, 127, 80), "van": (0, 139, 139),
}  # fmt: skip
_THINGS = ("truck", "car", "van")
# Whole scenes (ours): frames of one scene, and its weathers, are too much alike to be divided.
_SCENES = {"train": ("01", "18", "20"), "val": ("02",), "test": ("06",)}
_FRAMES = {"01": 447, "02": 233, "06": 270, "18": 339, "20": 837}
_VARIATIONS = 10
_FILES = {
    "rgb": ("rgb", "rgb"),
    "semantics": ("classSegmentation", "classgt"),
    "instances": ("instanceSegmentation", "instancegt"),
    "depth": ("depth", "depth"),
}
_NAME = re.compile(r"rgb_(\d{5})")
_FARTHEST = 65535  # centimetres: the sky


class VirtualKitti(LabelledFolder):
    """<root>/SceneXX/<variation>/frames/<kind>/Camera_0/<kind>_<5 digits>; a scene's folder may be in lower case."""

    classes = Classes(tuple(_COLOURS), tuple(name in _THINGS for name in _COLOURS), tuple(_COLOURS.values()))
    kinds = ("semantics", "instances", "depth")
    wanted = {part: _VARIATIONS * sum(_FRAMES[scene] for scene in scenes) for part, scenes in _SCENES.items()}
    download = "vkitti_2.0.3_{rgb,depth,classSegmentation,instanceSegmentation}.tar (Naver Labs Europe)"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether one of the scenes is there."""
        return any((root / f"{word}{scene}").is_dir() for word in ("Scene", "scene") for scene in _FRAMES)

    def images(self, part: Part) -> list[str]:
        """Names "<scene>/<variation>/<frame>" of the left camera, of the part's scenes."""
        names = []
        for scene in _SCENES[part]:
            folder = next((f for w in ("Scene", "scene") if (f := self.root / f"{w}{scene}").is_dir()), None)
            for variation in sorted(folder.iterdir()) if folder else ():
                stems = list_images(variation / "frames" / "rgb" / "Camera_0")
                frames = [m[1] for stem in stems if (m := _NAME.fullmatch(stem))]
                names += [f"{folder.name}/{variation.name}/{frame}" for frame in frames]
        return names

    def image_path(self, name: str) -> Path:
        """The frame's picture."""
        return self._file(name, "rgb", (".jpg", ".png"))

    def label_path(self, name: str, kind: str) -> Path:
        """The frame's file of a kind."""
        return self._file(name, kind, (".png",))

    def _file(self, name: str, kind: str, suffixes: tuple[str, ...]) -> Path:
        folder, stem = _FILES[kind]
        scene, variation, frame = name.split("/")
        return find_image(self.root / scene / variation / "frames" / folder / "Camera_0" / f"{stem}_{frame}", suffixes)

    def read(self, name: str, kind: str) -> np.ndarray:
        """As the field of Labels; sky has no depth. Raises UserError for damaged files and unknown colours."""
        path = self.label_path(name, kind)
        if kind == "semantics":
            return _classes_of(path)
        if kind == "instances":
            return read_ids(path)
        stored = read_depth_png(path, 1)
        return np.where(stored < _FARTHEST, stored / 100, np.float32(0))


def _classes_of(path: Path) -> np.ndarray:
    colours = read_colours(path).astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])
    known = {r << 16 | g << 8 | b: k for k, (r, g, b) in enumerate(_COLOURS.values())} | {0: IGNORE}
    found, places = np.unique(colours, return_inverse=True)
    for colour in found:
        if int(colour) not in known:
            text = f"{colour >> 16},{colour >> 8 & 255},{colour & 255}"
            raise UserError(f"{path} holds the colour {text}, which no class of Virtual KITTI 2 has")
    return np.array([known[int(c)] for c in found], np.uint8)[places].reshape(colours.shape)

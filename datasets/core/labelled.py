"""What readers of labelled sets share: which images a part has, which labels lie beside them, and what is missing."""

from __future__ import annotations

import colorsys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from datasets.core.images import read_ids, read_image
from datasets.core.splits import FrameRef, Part
from depth.types import IGNORE, Classes, Labels, UserError

KINDS = ("semantics", "instances", "depth", "normals")  # the fields of Labels
_LISTED = 6


class LabelledFolder:
    """A labelled data set below a folder. An image is called by its path below the part's folder, without suffixes.

    A reader says what it has in `classes`, `kinds`, `wanted` and `download`, and how the files are called in
    `images`, `image_path` and `label_path`; `read` turns a label file into an array. Every method raises UserError
    for data that is absent or malformed.
    """

    classes: Classes | None = None
    kinds: tuple[str, ...] = ()  # those of KINDS that the set has
    own_ids: tuple[int, ...] = ()  # class id -> the set's own; empty: they are the same
    stems: ClassVar[bool] = False  # the last part of a name is unique, and what the set's own tools know an image by
    video: ClassVar[bool] = False  # True: its images are frames, and are called as these are
    wanted: ClassVar[dict[str, int]] = {}  # part -> images of the whole set
    download: ClassVar[str] = ""  # where it is to be had, for messages

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.recognises(self.root):
            raise UserError(f"{self.root} is not laid out as {type(self).__name__} is: {self.download}")

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder is laid out as this set is."""
        raise NotImplementedError

    def images(self, part: Part) -> list[str]:
        """Names of a part's images that are there, in order; none where the part has no folder."""
        raise NotImplementedError

    def image_path(self, name: str) -> Path:
        """The image file of a name."""
        raise NotImplementedError

    def image(self, name: str) -> Tensor:
        """The image, uint8 (3,H,W), of its labels' size."""
        return read_image(self.image_path(name))

    def label_path(self, name: str, kind: str) -> Path:
        """The file that holds an image's labels of a kind."""
        raise NotImplementedError

    def read(self, name: str, kind: str) -> np.ndarray:
        """An image's labels of a kind, as the field of Labels."""
        raise NotImplementedError

    @property
    def label_ids(self) -> tuple[int, ...]:
        """The set's own id of each class."""
        return self.own_ids or tuple(range(len(self.classes.names)))

    def prediction_name(self, name: str) -> str:
        """What the files of an image's predictions are called, without a suffix."""
        return name.rsplit("/", 1)[-1] if self.stems else name.replace("/", "_").replace(" ", "_")

    def labels(self, name: str, kinds: Collection[str]) -> Labels:
        """An image's labels of these kinds. Raises UserError where one is missing, damaged or of another size."""
        found = {kind: self.read(name, kind) for kind in KINDS if kind in kinds}
        shapes = {kind: value.shape[:2] for kind, value in found.items()}
        if len(set(shapes.values())) > 1:
            sizes = ", ".join(f"{kind} {width}x{height}" for kind, (height, width) in shapes.items())
            raise UserError(f"{self.image_path(name)}: its labels have different sizes ({sizes})")
        return Labels(**found)

    def select(self, part: Part, kinds: Collection[str], skip_missing: bool = False) -> tuple[list[str], str]:
        """Names of the images of a part that have all these labels, and one line that says how many.

        Raises UserError where the set has no such labels, nothing is there, or something is missing and not to be
        skipped.
        """
        unknown = [kind for kind in kinds if kind not in self.kinds]
        if unknown:
            has = " and ".join(self.kinds)
            raise UserError(f"{type(self).__name__} has no {' and no '.join(unknown)} labels; it has {has}")
        names = self.images(part)
        if not names:
            raise UserError(f"{self.root} has no image of the {part} part: {self.download}")
        lacking = [(name, kind) for name in names for kind in kinds if not self.label_path(name, kind).is_file()]
        without = {name for name, _ in lacking}
        kept = [name for name in names if name not in without]
        if without and (not skip_missing or not kept):
            examples = ", ".join(str(self.label_path(*each)) for each in lacking[:1])
            hint = "; --skip_missing goes on without" if kept else ""
            raise UserError(f"{len(without):,} of {len(names):,} images have no label, e.g. {examples}{hint}")
        return kept, f"{len(kept):,} of {len(names):,} labelled images are under {self.root}"

    def report(self) -> tuple[list[str], list[str]]:
        """What is there of each part, and what is missing, in lines for datasets.check."""
        counts, missing = [], []
        for part, wanted in self.wanted.items():
            names = self.images(part)
            counts.append(f"{part} {len(names):,} of {wanted:,}")
            if len(names) < wanted:
                missing.append(f"{part}: {wanted - len(names):,} of {wanted:,} images; {self.download}")
            for kind in self.kinds:
                gone = [name for name in names if not self.label_path(name, kind).is_file()]
                if gone:
                    missing.append(f"{part}: {len(gone):,} without {kind}, e.g. {self.label_path(gone[0], kind)}")
        return counts, missing


def frame_of(name: str) -> FrameRef:
    """The frame of this name, see FrameRef.name. Raises UserError where it is none."""
    try:
        folder, frame, side = name.rsplit(" ", 2)
        return FrameRef(folder, int(frame), side)
    except ValueError:
        raise UserError(f"{name!r} is not the name of a frame") from None


def mapped_ids(path: Path, table: Sequence[int] | np.ndarray, what: str) -> np.ndarray:
    """A PNG's ids through a table, id -> class id, uint8 (H,W).

    Raises UserError for a file that cannot be read, and for an id beyond the table, which names it.
    """
    ids = read_ids(path)
    if ids.max() >= len(table):
        raise UserError(f"{path} holds the id {ids.max()}; {what} go up to {len(table) - 1}")
    return np.asarray(table, np.uint8)[ids]


def id_table(size: int, classes: dict[int, int]) -> np.ndarray:
    """uint8 (size,): id -> class id for those in `classes`, IGNORE for all others."""
    table = np.full(size, IGNORE, np.uint8)
    for given, mapped in classes.items():
        table[given] = mapped
    return table


def spread_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Colours (R, G, B) for classes that have none, neighbours far apart."""
    return tuple(
        tuple(round(255 * v) for v in colorsys.hsv_to_rgb(k * 0.618 % 1, 0.4 + 0.2 * (k % 3), 0.95 - 0.2 * (k % 4)))
        for k in range(count)
    )


def find_image(stem: Path, suffixes: Sequence[str] = (".png", ".jpg", ".jpeg")) -> Path:
    """The file of this name with the first suffix that is there, in small or capital letters; else with the first."""
    files = [stem.with_name(stem.name + each) for suffix in suffixes for each in (suffix, suffix.upper())]
    return next((file for file in files if file.is_file()), files[0])


def list_images(folder: Path, ending: str = "") -> list[str]:
    """Names, without `ending` and suffix, of the images right in a folder, sorted; none where there is no folder.

    Hidden files are none: macOS leaves a ._NAME beside each on foreign disks.
    """
    if not folder.is_dir():
        return []
    images = (p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    stems = {p.stem for p in images if not p.name.startswith(".")}
    return sorted(stem.removesuffix(ending) for stem in stems if stem.endswith(ending))

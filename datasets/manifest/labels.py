"""The labels that a manifest's lines name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from torch import Tensor

from datasets.core.frames import read_view
from datasets.core.images import read_ids
from datasets.core.labelled import KINDS, LabelledFolder, frame_of
from datasets.core.normal_files import read_normals
from datasets.core.splits import Part
from datasets.manifest.header import LabelIds
from datasets.manifest.index import check_size
from datasets.manifest.records import Record
from datasets.manifest.source import Manifest
from datasets.manifest.values import Malformed
from depth.types import IGNORE, UserError

_FILLING = {"semantics": IGNORE, "instances": 0, "normals": 0}  # where a pixel does not count


class ManifestLabels(LabelledFolder):
    """A manifest as a labelled set; an image is called as its frame is.

    A frame need not have labels, nor all kinds of them. What a mask or a lens takes away has none.
    """

    video = True

    def __init__(self, source: Manifest) -> None:
        self.source, self.root = source, source.root
        ids = source.index.header.labels
        self.classes, self.own_ids = (None, ()) if ids is None else (ids.classes, ids.own)
        sequences = source.index.sequences.values()
        self.kinds = tuple(kind for kind in KINDS if any(each.known(kind).any() for each in sequences))

    def images(self, part: Part) -> list[str]:
        """The frames of a part that have labels of any kind."""
        return [ref.name for ref in self.source.frames(part) if any(self.source.knows(ref, kind) for kind in KINDS)]

    def select(self, part: Part, kinds: Collection[str], skip_missing: bool = False) -> tuple[list[str], str]:
        """See LabelledFolder.select; frames whose lines name no such labels are passed over."""
        wanted = " and ".join(kinds)
        found = self.source.frames(part)
        names = [ref.name for ref in found if all(self.source.knows(ref, kind) for kind in kinds)]
        if not names:
            has = " and ".join(self.kinds) or "none"
            raise UserError(f"{self.root}: no frame of the {part} part has labels of {wanted}; of all lines: {has}")
        return names, f"{len(names):,} of {len(found):,} frames of {self.root} have {wanted}"

    def image_path(self, name: str) -> Path:
        """The frame's image."""
        return self.source.image_path(frame_of(name))

    def image(self, name: str) -> Tensor:
        """The frame, straight, uint8 (3,H,W)."""
        return read_view(self.source, frame_of(name))[0]

    def label_path(self, name: str, kind: str) -> Path:
        """The file that the frame's line names."""
        record, line = self.source.record(frame_of(name))
        path = record.label_file(kind)
        if path is None:
            raise UserError(f"{self.root}, line {line}: no labels of {kind}")
        return self.root.parent / path

    def read(self, name: str, kind: str) -> np.ndarray:
        """As the field of Labels. Raises UserError, with the line, for files that cannot be used."""
        ref, path = frame_of(name), self.label_path(name, kind)
        record, line = self.source.record(ref)
        camera = self.source.camera(ref)
        try:
            if kind == "depth":
                found = self.source.depth(ref).dense()
            else:
                found = self._stored(record, kind, path)
            check_size(record.label_file(kind), found.shape[1::-1], camera)
        except (UserError, Malformed) as error:
            where = f"{self.root}, line {line}: "
            raise UserError(where + str(error).removeprefix(where)) from None
        if kind == "depth":
            return found
        found = found if camera.lens is None else camera.lens.straighten_ids(found)
        counted = self.source.counted(ref)
        if counted is None:
            return found
        return np.where(counted if found.ndim == 2 else counted[..., None], found, found.dtype.type(_FILLING[kind]))

    def _stored(self, record: Record, kind: str, path: Path) -> np.ndarray:
        """A label file, not yet straight. Raises UserError and Malformed."""
        if kind == "normals":
            return read_normals(path)
        ids = self.source.index.header.labels
        if kind == "semantics":
            return _classes(path, ids)
        instances = read_ids(path)
        instances = np.where(instances < record.instances.least, 0, instances)
        if record.semantics is None:
            return instances
        # What is no thing has no instances.
        classes = _classes(self.root.parent / record.semantics, ids)
        if classes.shape != instances.shape:
            raise Malformed(f"{record.semantics} and {record.instances.path} have different sizes")
        things = np.append(ids.classes.things, np.zeros(IGNORE + 1 - len(ids.own), bool))
        return np.where(things[classes], instances, 0)


def _classes(path: Path, ids: LabelIds) -> np.ndarray:
    """uint8 (H,W). Raises Malformed for an id that the header does not name."""
    stored = read_ids(path)
    highest = len(ids.table) - 1
    strange = (stored > highest) | ~ids.known[np.minimum(stored, highest)]
    if strange.any():
        raise Malformed(f'{path} holds the id {stored[strange][0]}, which is neither in "classes" nor in "void"')
    return ids.table[stored]

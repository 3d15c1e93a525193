"""A manifest's frames as a source; see docs/MANIFEST.md for the file and datasets.core.sources for what it offers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from datasets.core.depth_files import read_depth
from datasets.core.images import has_16_bits, read_ids, read_image
from datasets.core.intrinsics import CameraFile
from datasets.core.lens import Lens
from datasets.core.sources import OwnSource
from datasets.core.splits import EvaluatedPart, FrameRef, validation_border
from datasets.core.truth import GroundTruth
from datasets.manifest.index import FACTS, Sequence, check_size, parts_of, read_index
from datasets.manifest.records import Record
from datasets.manifest.values import Malformed
from depth.types import DepthPixels, UserError


class Manifest(OwnSource):
    """The frames of a manifest. A FrameRef's folder is the sequence, its frame the order, or the place in time.

    Raises UserError, with the line's number, for anything that is wrong with the file.
    """

    def __init__(self, path: Path, skip_missing: bool = False) -> None:
        self.root, self.index = path, read_index(path, skip_missing)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of most of the images, pixels."""
        frames: Counter[str] = Counter()
        for sequence in self.index.sequences.values():
            frames[sequence.camera] += len(sequence.numbers)
        camera = self.index.header.cameras[frames.most_common(1)[0][0]]
        return camera.width, camera.height

    def frames(self, part: EvaluatedPart, offsets: tuple[int, ...] = ()) -> list[FrameRef]:
        """The frames of a part, or of "all", that have a neighbour at each offset, in order; 0 is the other camera.

        Where no line names a part, the last tenth of each sequence is validation, the test part is the same, and no
        neighbour is of another part.
        """
        refs = []
        for number, (name, sequence) in enumerate(self.index.sequences.items()):
            mine = self._in_part(number, sequence, part)
            near = np.ones_like(mine) if self.index.names_parts else mine
            keep = mine.copy()
            for offset in offsets:
                keep &= _has_neighbour(sequence, offset, near) if offset else sequence.known("other")
            refs += [FrameRef(name, each, "l") for each in sequence.numbers[keep].tolist()]
        return refs

    def has(self, ref: FrameRef) -> bool:
        """Whether the manifest has such a frame."""
        return self._place(ref) is not None

    def image_path(self, ref: FrameRef) -> Path:
        """The frame's image file. Raises UserError where the manifest has no such frame."""
        record, _ = self.record(ref)
        return self._file(record.other.image if ref.side == "r" else record.image)

    def intrinsics(self, ref: FrameRef) -> tuple[np.ndarray, tuple[int, int]]:
        """K, float64 (3,3), in pixels of the image, and its (width, height)."""
        camera = self.camera(ref)
        return camera.matrix, (camera.width, camera.height)

    def stereo_from(self, ref: FrameRef) -> np.ndarray:
        """other_from_this, float64 (4,4), metres. Raises UserError where the line names no other camera."""
        record, line = self.record(ref)
        if record.other is None:
            raise UserError(f'{self.root}, line {line}: no "other_camera", which --use_stereo needs')
        other = record.other.other_from_this
        return other if ref.side == "l" else np.linalg.inv(other)

    def example_path(self, ref: FrameRef) -> Path:
        """The manifest, for messages."""
        return self.root

    def archive(self, folder: str) -> str:
        """Where frames would stand, for messages."""
        return f"expected in {self.root}"

    def line(self, ref: FrameRef) -> int:
        """The line of a frame, for messages. Raises UserError where the manifest has no such frame."""
        return self.record(ref)[1]

    def ground_truth(self, kind: str | None, cache: Path | None) -> GroundTruth | None:
        """The depth files that the lines name; None where none does."""
        known = any(sequence.known("depth").any() for sequence in self.index.sequences.values())
        return ManifestDepth(self) if known else None

    def counted(self, ref: FrameRef) -> np.ndarray | None:
        """bool (H,W), True: the pixel counts; None where all do. Raises UserError for a mask that cannot be used."""
        record, line = self.record(ref)
        lens = self.lens(ref)
        if record.mask is None or ref.side == "r":
            return None if lens is None else _seen(lens)
        try:
            counted = _read_mask(self._file(record.mask))
            check_size(record.mask, counted.shape[::-1], self.camera(ref))
        except (UserError, Malformed) as error:
            raise UserError(f"{self.root}, line {line}: {error}") from None
        return counted if lens is None else lens.straighten_mask(counted)

    def world_from_camera(self, ref: FrameRef) -> np.ndarray | None:
        """The line's pose; the other camera's by other_from_this."""
        if self._place(ref, "pose") is None:
            return None
        record, _ = self.record(ref)
        return record.pose if ref.side == "l" else record.pose @ self.stereo_from(ref)

    def travelled(self, ref: FrameRef, offset: int) -> float | None:
        """By the poses where there are any, else by the mean of both lines' speeds and the time between."""
        known = super().travelled(ref, offset)
        refs = (ref, ref.neighbour(offset))
        if known is not None or any(self._place(each, "speed") is None for each in refs):
            return known
        first, second = (self.record(each)[0] for each in refs)
        if first.time is None or second.time is None:
            return None
        return abs(second.time - first.time) * (abs(first.speed) + abs(second.speed)) / 2

    def lens(self, ref: FrameRef) -> Lens | None:
        """What bends the frame's picture; both cameras of a pair, which is rectified, have none or the same."""
        return self.camera(ref).lens

    def depth(self, ref: FrameRef) -> DepthPixels:
        """A frame's depth, where it counts. Raises UserError, with the line, where it cannot be read."""
        record, line = self.record(ref)
        if record.depth is None:
            raise UserError(f'{self.root}, line {line}: no "depth"')
        lens, counted = self.lens(ref), self.counted(ref)
        try:
            pixels = DepthPixels.of(read_depth(self._file(record.depth.path), record.depth.scale, record.depth.key))
            if lens is not None or counted is not None:
                check_size(record.depth.path, pixels.shape[::-1], self.camera(ref))
        except (UserError, Malformed) as error:
            raise UserError(f"{self.root}, line {line}: {error}") from None
        pixels = pixels if lens is None else lens.straighten_depth(pixels)
        return pixels if counted is None else pixels.where(counted)

    def notes(self) -> tuple[str, ...]:
        """Lines for the top of the output: how many frames, cameras, what is known beside the images."""
        sequences = self.index.sequences.values()
        frames = sum(len(sequence.numbers) for sequence in sequences)
        cameras = {sequence.camera for sequence in sequences}
        lines = [
            f"manifest: {frames:,} frames in {len(sequences):,} sequences by {len(cameras)} "
            f"camera{'s' * (len(cameras) > 1)}" + ("" if self.index.names_parts else "; no line names a part")
        ]
        gone, first = self.index.left_out
        return (*lines, f"left out, since files are missing: {gone:,} lines, the first {first}") if gone else (*lines,)

    def _in_part(self, number: int, sequence: Sequence, part: EvaluatedPart) -> np.ndarray:
        """bool (N,): the frames of the sequence with this number that belong to a part."""
        if part == "all":
            return np.ones(len(sequence.numbers), bool)
        if self.index.names_parts:
            return parts_of(sequence, part)
        place = np.arange(len(sequence.numbers))
        border = validation_border(len(place), number)
        return place < border if part == "train" else place >= border

    def _place(self, ref: FrameRef, fact: str | None = None) -> int | None:
        """The frame's place in its sequence; None where there is none, or `fact` is not known of it."""
        sequence = self.index.sequences.get(ref.folder)
        place = None if sequence is None else sequence.place(ref.frame, fact)
        other = place is not None and ref.side == "r" and not sequence.facts[place] & FACTS["other"]
        return None if other else place

    def knows(self, ref: FrameRef, fact: str) -> bool:
        """Whether there is such a frame, and its line says this of it, see datasets.manifest.index.FACTS."""
        return self._place(ref, fact) is not None

    def record(self, ref: FrameRef) -> tuple[Record, int]:
        """A frame's line as it stands, and its number. Raises UserError where there is no such frame."""
        place = self._place(ref)
        if place is None:
            raise UserError(f"no frame {ref.name} in {self.root}")
        line = int(self.index.sequences[ref.folder].lines[place])
        return self.index.record(line), line

    def camera(self, ref: FrameRef) -> CameraFile:
        """The camera that the frame's line names."""
        return self.index.header.cameras[self.index.sequences[ref.folder].camera]

    def _file(self, name: str) -> Path:
        return self.root.parent / name


@lru_cache(maxsize=8)  # a rig has few, and every frame asks for its own
def _read_mask(path: Path) -> np.ndarray:
    if has_16_bits(path):  # which lose small numbers when they are read as a picture
        return read_ids(path, deep=True) == 0
    return read_image(path).amax(0).numpy() == 0


@lru_cache(maxsize=8)
def _seen(lens: Lens) -> np.ndarray | None:
    """Where a lens has looked; None where that is everywhere."""
    seen = lens.seen()
    return None if seen.all() else seen


@dataclass(frozen=True)
class ManifestDepth:
    """The depth files of a manifest as ground truth."""

    source: Manifest

    def has(self, ref: FrameRef) -> bool:
        """Whether the frame's line names a depth file."""
        sequence = self.source.index.sequences[ref.folder]
        return ref.side == "l" and sequence.place(ref.frame, "depth") is not None

    def check(self, ref: FrameRef) -> None:
        """Raises UserError where the depth file cannot be read."""
        self.source.depth(ref)

    def __call__(self, ref: FrameRef) -> DepthPixels:
        """The pixels that have one and count. Raises UserError where the file cannot be used."""
        return self.source.depth(ref)


def _has_neighbour(sequence: Sequence, offset: int, near: np.ndarray) -> np.ndarray:
    """bool (N,): the frames that have one `offset` further, of those that `near`, bool (N,), allows."""
    wanted = sequence.numbers + offset
    places = np.searchsorted(sequence.numbers, wanted).clip(max=len(wanted) - 1)
    return (sequence.numbers[places] == wanted) & near[places]

"""A manifest read once from end to end: checked, and kept as a few bytes a frame, so that a million fit.

What a frame's line says is read again where it is asked for.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets.core.images import image_size
from datasets.core.intrinsics import CameraFile
from datasets.core.splits import Part
from datasets.manifest.header import Header, parse_header
from datasets.manifest.records import PARTS, Record, parse_frame
from datasets.manifest.values import Malformed, parse_json
from depth.types import UserError

_MAX_LINE = 1 << 16  # bytes; a line with everything has some 700
_GAP = 1.5  # of a sequence's usual step in time; more is a gap
# What a line may say of its frame, as bits.
_SAID = ("other", "depth", "pose", "speed", "mask", "semantics", "instances", "normals")
FACTS = {name: 1 << place for place, name in enumerate(_SAID)}
_MASKS_LOOKED_AT = 200  # different ones, when the manifest is opened; the others when they are used


@dataclass
class _Growing:
    """A sequence while the file is read."""

    camera: str
    ordered: bool  # by "order"; else by "time"
    first_line: int
    keys: array = field(default_factory=lambda: array("d"))  # times
    orders: array = field(default_factory=lambda: array("q"))
    lines: array = field(default_factory=lambda: array("l"))
    parts: bytearray = field(default_factory=bytearray)  # 0: none was named, else 1 + the place in PARTS
    facts: bytearray = field(default_factory=bytearray)  # see FACTS


@dataclass(frozen=True)
class Sequence:
    """The frames of one camera in their order."""

    camera: str
    numbers: np.ndarray  # int64 (N,), rising; those that follow each other are neighbours
    lines: np.ndarray  # int64 (N,), in the file, from 1
    parts: np.ndarray  # uint8 (N,), 0 where the line names none, else 1 + the place in PARTS
    facts: np.ndarray  # uint8 (N,), see FACTS

    def place(self, number: int, fact: str | None = None) -> int | None:
        """The place of a frame's number, None where there is none, or none of which the fact is known."""
        at = int(self.numbers.searchsorted(number))
        there = at < len(self.numbers) and self.numbers[at] == number
        return at if there and (fact is None or self.facts[at] & FACTS[fact]) else None

    def known(self, fact: str) -> np.ndarray:
        """bool (N,): the frames whose lines say this, one of FACTS."""
        return (self.facts & FACTS[fact]) > 0


@dataclass(frozen=True)
class Index:
    """A manifest's header and sequences, and where its lines begin."""

    path: Path
    header: Header
    sequences: dict[str, Sequence]
    offsets: np.ndarray  # int64: byte at which line i + 1 begins
    left_out: tuple[int, str]  # lines with missing files, and what is said of the first

    def record(self, line: int) -> Record:
        """What a line says. Raises UserError where the file cannot be read any more, or has been changed."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offsets[line - 1])
                return parse_frame(parse_json(file.readline(_MAX_LINE)), self.header)
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror or error}") from None
        except Malformed as error:
            raise UserError(f"{self.path}, line {line}: {error}; was it changed meanwhile?") from None

    @property
    def names_parts(self) -> bool:
        """Whether any line says which part its frame belongs to."""
        return any(sequence.parts.any() for sequence in self.sequences.values())


def read_index(path: Path, skip_missing: bool = False, files: bool = True) -> Index:
    """Reads and checks a manifest.

    Args:
        path: the file.
        skip_missing: leaves lines out whose files are not there.
        files: looks whether the files are there.

    Raises:
        UserError: with the number of the first line at which something is wrong.
    """
    reader = _Reader(path, skip_missing, files)
    try:
        with path.open("rb") as file:
            for line, offset, content in _lines(file, path):
                reader.offsets.append(offset)
                if content.strip():
                    reader.add(line, content)
    except OSError as error:
        raise UserError(f"cannot read the manifest {path}: {error.strerror or error}") from None
    return reader.finished()


def _lines(file: object, path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Number, first byte and content of each line."""
    offset, number = 0, 0
    read: Callable[[int], bytes] = file.readline
    while content := read(_MAX_LINE):
        number += 1
        if len(content) == _MAX_LINE and content[-1:] != b"\n":
            raise UserError(f"{path}, line {number}: longer than {_MAX_LINE:,} bytes: not a manifest")
        yield number, offset, content
        offset += len(content)


class _Reader:
    """Takes lines one after another."""

    def __init__(self, path: Path, skip_missing: bool, files: bool) -> None:
        self.path, self.folder = path, os.path.dirname(os.path.abspath(path))
        self.skip_missing, self.files = skip_missing, files
        self.offsets = array("q")
        self.header: Header | None = None
        self.sequences: dict[str, _Growing] = {}
        self.masks: set[tuple[str, str]] = set()
        self.left_out, self.first_left_out = 0, ""

    def add(self, line: int, content: bytes) -> None:
        """Takes the next line, the header first. Raises UserError, with the line's number, for one that is wrong."""
        try:
            values = parse_json(content.removeprefix(b"\xef\xbb\xbf") if line == 1 else content)
            if self.header is None:
                self.header = parse_header(values, self.folder)
            else:
                self._frame(line, parse_frame(values, self.header))
        except (Malformed, UserError) as error:
            raise UserError(f"{self.path}, line {line}: {error}") from None

    def _frame(self, line: int, record: Record) -> None:
        missing = self._missing(record) if self.files else None
        if missing is not None:
            if not self.skip_missing:
                raise Malformed(f"{missing} does not exist")
            self.left_out += 1
            self.first_left_out = self.first_left_out or f"line {line}: {missing}"
            return
        ordered = record.order is not None
        known = self.sequences.get(record.sequence)
        if known is None:
            known = self.sequences[record.sequence] = _Growing(record.camera, ordered, line)
        if known.camera != record.camera:
            raise Malformed(
                f'camera "{record.camera}" in sequence "{record.sequence}", which line {known.first_line} begins with '
                f'"{known.camera}": a sequence has one camera'
            )
        if known.ordered != ordered:
            raise Malformed(
                f'sequence "{record.sequence}" has "order" in line {known.first_line}: in all lines or none'
            )
        if ordered:
            known.orders.append(record.order)
        else:
            known.keys.append(record.time)
        known.lines.append(line)
        known.parts.append(0 if record.part is None else 1 + PARTS.index(record.part))
        known.facts.append(sum(bit for name, bit in FACTS.items() if getattr(record, name) is not None))

    def _missing(self, record: Record) -> str | None:
        """A file of the line that is not there; looks at the size of the first masks too. Raises Malformed."""
        for name in record.files:
            if not os.path.isfile(os.path.join(self.folder, name)):
                return name
        if record.mask and (record.mask, record.camera) not in self.masks and len(self.masks) < _MASKS_LOOKED_AT:
            self.masks.add((record.mask, record.camera))
            check_size(record.mask, image_size(Path(self.folder, record.mask)), self.header.cameras[record.camera])
        return None

    def finished(self) -> Index:
        """The index of all lines. Raises UserError where they name no frame or two frames of one order."""
        if self.header is None:
            raise UserError(f"{self.path} is empty: the first line is a header, see docs/MANIFEST.md")
        if not self.sequences:
            what = (
                f"none of its files is there, e.g. {self.first_left_out}" if self.left_out else "it has a header only"
            )
            raise UserError(f"{self.path} names no frame: {what}")
        sequences = {name: self._sorted(name, grown) for name, grown in self.sequences.items()}
        offsets = np.frombuffer(self.offsets, np.int64)
        return Index(self.path, self.header, sequences, offsets, (self.left_out, self.first_left_out))

    def _sorted(self, name: str, grown: _Growing) -> Sequence:
        values = np.array(grown.orders if grown.ordered else grown.keys)
        places = np.argsort(values, kind="stable")
        values, lines = values[places], np.array(grown.lines, np.int64)[places]
        same = np.flatnonzero(values[1:] == values[:-1])
        if same.size:
            first, second = sorted((int(lines[same[0]]), int(lines[same[0] + 1])))
            what = f'"{"order" if grown.ordered else "time"}" {values[same[0]]:g}'
            raise UserError(f'{self.path}, line {second}: {what} of sequence "{name}" stands in line {first} already')
        parts, facts = (np.frombuffer(each, np.uint8)[places] for each in (grown.parts, grown.facts))
        return Sequence(grown.camera, values if grown.ordered else _numbered(values), lines, parts, facts)


def _numbered(times: np.ndarray) -> np.ndarray:
    """Times, rising -> numbers that follow each other, but for a step of more than the usual one: there is a gap."""
    if len(times) < 2:
        return np.zeros(len(times), np.int64)
    steps = np.diff(times)
    return np.concatenate([[0], np.cumsum(1 + (steps > _GAP * np.median(steps)))]).astype(np.int64)


def check_size(name: str, size: tuple[int, int], camera: CameraFile) -> None:
    """Raises Malformed where a map has not the size of its camera's images."""
    if size != (camera.width, camera.height):
        raise Malformed(f"{name} has {size[0]}x{size[1]} pixels, its camera {camera.width}x{camera.height}")


def parts_of(sequence: Sequence, part: Part) -> np.ndarray:
    """bool (N,): the frames whose lines name a part."""
    return sequence.parts == 1 + PARTS.index(part)

"""Splits: which frames a training or an evaluation uses, read from text files.

A line is either

    <folder> <sides> <ranges>     e.g.  2011_09_26/2011_09_26_drive_0001_sync lr 1-15,17,19-20
    <folder> <frame> <side>       e.g.  2011_09_26/2011_09_26_drive_0001_sync 473 r

The first is ours: sides are l, r or lr, ranges are inclusive and keep their order, and `lr` gives every frame
twice, the left one first: 1 l, 1 r, 2 l, 2 r, ... The second is Monodepth2's, so that its users' files are read as
they are. Blank lines and what follows a `#` are left out. Folders are relative to the data path and stay inside it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from depth.support.files import read_text
from depth.types import UserError

Part = Literal["train", "val", "test"]
EvaluatedPart = Literal["train", "val", "test", "all"]  # "all": of a manifest, the frames of any part

SPLITS_FOLDER = Path(__file__).resolve().parents[2] / "splits"

# Room for a day at 100 Hz; a range beyond that is a typing error or an attack on memory.
_MAX_FRAME = 9_999_999
_MAX_FRAMES_IN_FILE = 2_000_000

_VALIDATION_SHARE = 0.1
_LEAST_TO_DIVIDE = 12  # frames
_SHORTEST_PART = 3  # frames: a target and its neighbours

_FRAME = re.compile(r"[0-9]{1,10}")
_RANGE = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")


@dataclass(frozen=True, slots=True)
class FrameRef:
    """One frame of one camera. `folder` is relative to the data path; `side` is 'l' or 'r'."""

    folder: str
    frame: int
    side: str

    @property
    def name(self) -> str:
        """The frame in messages and result files: "<folder> <frame> <side>"."""
        return f"{self.folder} {self.frame} {self.side}"

    def neighbour(self, offset: int) -> FrameRef:
        """The frame `offset` steps later by the same camera; offset 0 is the other camera at the same time."""
        if offset == 0:
            return FrameRef(self.folder, self.frame, "r" if self.side == "l" else "l")
        return FrameRef(self.folder, self.frame + offset, self.side)


def validation_border(count: int, index: int) -> int:
    """Where validation begins in a run of frames that no split divides: the last tenth, three frames at least.

    Runs too short to divide are training as a whole, and every tenth of them validation.

    Args:
        count: frames of the run.
        index: of the run among all.
    """
    if count >= _LEAST_TO_DIVIDE:
        return count - max(_SHORTEST_PART, round(_VALIDATION_SHARE * count))
    return 0 if index % 10 == 9 else count


def split_names() -> list[str]:
    """The splits that come with the software: the folders of splits/."""
    if not SPLITS_FOLDER.is_dir():
        return []
    return sorted(p.name for p in SPLITS_FOLDER.iterdir() if any(p.glob("*.txt")))


def load_split(name_or_file: str | Path, part: Part) -> list[FrameRef]:
    """The frames of one part of a split, in the file's order.

    `name_or_file` is a folder of splits/, any other folder with train.txt, val.txt or test.txt (or Monodepth2's
    train_files.txt and so on), or a single file. Where a single file is called after a part, the other parts are
    looked for beside it; any other file is the train or the test part, whichever is asked for, and has no val part.
    Raises UserError for an unknown split, an absent part, or a malformed line (with file and line number).
    """
    return parse_split(_part_file(name_or_file, part))


def has_part(name_or_file: str | Path, part: Part) -> bool:
    """Whether `load_split` would find a file for this part. Raises UserError for an unknown split."""
    find_split(name_or_file)
    try:
        return _part_file(name_or_file, part).is_file()
    except UserError:
        return False


def split_name(name_or_file: str | Path) -> str:
    """What a split is called in results: its folder's name, or its file's.

    A file that is called after a part, like splits/eigen_benchmark/test.txt, is one of its folder's. Raises UserError
    for an unknown split.
    """
    place = Path(os.path.abspath(find_split(name_or_file)))
    if place.is_dir():
        return place.name
    return place.parent.name if _part_of(place) else place.stem


def parse_split(path: Path) -> list[FrameRef]:
    """Reads one split file. Raises UserError with file and line number for anything that is not in the notation."""
    text = read_text(path, "the split file")
    refs: list[FrameRef] = []
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            folder, ranges, sides = _parse_line(words)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        if len(refs) + len(sides) * sum(map(len, ranges)) > _MAX_FRAMES_IN_FILE:
            raise UserError(f"{path}, line {number}: more than {_MAX_FRAMES_IN_FILE:,} frames in one split")
        refs.extend(FrameRef(folder, frame, side) for frames in ranges for frame in frames for side in sides)
    if not refs:
        raise UserError(f"the split file {path} names no frame; a line is '<folder> <sides> <ranges>'")
    return refs


def find_split(name_or_file: str | Path) -> Path:
    """The folder or file that is meant: a name of splits/ first, then a path. Raises UserError where there is none."""
    text = str(name_or_file)
    if text in split_names():
        return SPLITS_FOLDER / text
    path = Path(text)
    # A NUL character or an overlong name makes the system call fail rather than say no.
    try:
        found = path.exists()
    except (OSError, ValueError):
        found = False
    if not text or not found:
        raise UserError(f"unknown split {text!r}: it is neither a file nor one of {', '.join(split_names())}")
    return path


def _part_file(name_or_file: str | Path, part: Part) -> Path:
    place = find_split(name_or_file)
    parts: tuple[str, ...] = get_args(Part)
    if part not in parts:
        raise UserError(f"unknown part {part!r} of a split: choose from {', '.join(parts)}")
    if place.is_dir():
        present = {p: f for p in parts for f in (place / f"{p}_files.txt", place / f"{p}.txt") if f.is_file()}
        if part not in present:
            raise UserError(f"split {place.name!r} has no {part} part; it has {', '.join(present) or 'no part at all'}")
        return present[part]
    own_part = _part_of(place)
    if own_part not in (None, part):
        beside = place.with_name(place.name.replace(own_part, part, 1))
        if beside.is_file():
            return beside
        raise UserError(f"the split file {place} has no {part} part: there is no {beside.name} beside it")
    if own_part is None and part == "val":
        raise UserError(f"the split file {place} has no val part: give a folder with train.txt and val.txt")
    return place


def _part_of(file: Path) -> Part | None:
    """The part that a single split file is called after."""
    return next((part for part in get_args(Part) if file.stem in (part, f"{part}_files")), None)


def _parse_line(words: list[str]) -> tuple[str, list[range], str]:
    """Folder, frames and sides of one line. Raises ValueError that says what is wrong with it."""
    if len(words) != 3:
        raise ValueError(f"expected '<folder> <sides> <ranges>' or '<folder> <frame> <side>', got {len(words)} words")
    folder, second, third = words
    _check_folder(folder)
    if _FRAME.fullmatch(second) and third in ("l", "r"):
        frame = _frame(second)
        return folder, [range(frame, frame + 1)], third
    if second not in ("l", "r", "lr"):
        raise ValueError(f"sides are l, r or lr, not {second!r}")
    return folder, [_parse_range(text) for text in third.split(",")], second


def _check_folder(folder: str) -> None:
    """Split files come from others: a folder may not lead out of the data path."""
    if folder.startswith("/") or "\\" in folder or ":" in folder or "\0" in folder:
        raise ValueError(f"the folder {folder!r} is not a plain path below the data path")
    if any(step in ("", ".", "..") for step in folder.split("/")):
        raise ValueError(f"the folder {folder!r} leads out of the data path or has an empty step")


def _parse_range(text: str) -> range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a frame number or a range like 3-15")
    first = _frame(match[1])
    last = first if match[2] is None else _frame(match[2])
    if last < first:
        raise ValueError(f"the range {text!r} runs backwards")
    return range(first, last + 1)


def _frame(digits: str) -> int:
    frame = int(digits)
    if frame > _MAX_FRAME:
        raise ValueError(f"frame {digits} is beyond {_MAX_FRAME:,}")
    return frame

"""Which files of a folder and of those below it are footage: no maps of depth or classes, nothing predict.py wrote."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from datasets.core.images import has_16_bits
from datasets.footage.naming import in_order, is_video
from depth.types import UserError

# A word of a name that says what is drawn instead of photographed; others may be stuck to it, as in trainannot.
_MAP_WORD = re.compile(
    r"depth.*|.*depth|disp|disparit(y|ies)|.*annot(ations?)?|masks?|labels?|(label|instance).*ids|semantics?|"
    r"segmentations?|normals"
)
# What predict.py adds to a frame's or a clip's name; a sidecar lies there too.
_OWN = re.compile(r"(.+)_(depth\.png|colour\.jpg|side_by_side\.mp4)")
_SIDECAR_ENTRIES = frozenset({"unit", "scale", "files", "network_input"})
_CACHED_ENTRIES = frozenset({"segments", "stored_width", "stored_height"})
_MOST_FOLDERS_DEEP = 16  # between a frame's file and the sidecar of its clip


@dataclass(frozen=True)
class Contents:
    """What lies in one folder, in order."""

    folder: Path
    images: tuple[Path, ...]
    videos: tuple[Path, ...]


def look_into(root: Path, suffixes: Set[str]) -> tuple[list[Contents], list[str]]:
    """The footage of a folder and of those below it, and a line for each kind of file that was left out.

    Hidden files and folders are other programs': macOS leaves a ._frame.jpg beside a frame.jpg on foreign disks.

    Args:
        root: the folder.
        suffixes: of images, lower case.

    Raises:
        UserError: a folder cannot be listed.
    """
    all_files, own = _files(root)
    files = [file for file in all_files if is_video(file) or file.suffix.lower() in suffixes]
    kept, notes = sort_out(sorted(files), root)
    if own:
        notes.append(f"left out: {len(own):,} folders of runs, caches or the embedded world ({own[0]})")
    folders: dict[Path, list[Path]] = {}
    for file in kept:
        folders.setdefault(file.parent, []).append(file)
    found = []
    for folder in in_order(folders, root):
        here = in_order(folders[folder], folder)
        images = tuple(file for file in here if not is_video(file))
        found.append(Contents(folder, images, tuple(filter(is_video, here))))
    return found, notes


def sort_out(files: Iterable[Path], root: Path) -> tuple[list[Path], list[str]]:
    """The files without maps and without what predict.py wrote, and a line for each kind that was left out.

    Args:
        files: images and videos.
        root: the names of folders above it say nothing.
    """
    files = list(files)
    own = _own_outputs(files)
    others = [file for file in files if file not in own]
    maps = _maps([file for file in others if not is_video(file)], root)
    texts = {"that predict.py wrote": own, "that are maps by name or by their 16 bits, not pictures": maps}
    notes = [f"left out: {len(found):,} files {text} ({next(iter(found))})" for text, found in texts.items() if found]
    kept = [file for file in others if file not in maps]
    first = next((file for file in kept if not is_video(file)), None)
    return kept, notes + ([] if first is None else _oblong(first))


def _oblong(image: Path) -> list[str]:
    """A line where a header says that the pixels are not square. Programs write it either way round: it is not used."""
    try:
        with Image.open(image) as header:
            said = header.info.get("aspect") or (1, 1)  # of a PNG
            if header.info.get("jfif_unit") == 0:
                said = header.info.get("jfif_density", said)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return []  # whoever reads it says what is wrong with it
    if said[0] == said[1]:
        return []
    return [f"{image} says that its pixels are {said[0]}:{said[1]}, which is not used: fx and fy of --intrinsics tell"]


def _files(root: Path) -> tuple[list[Path], list[Path]]:
    """All files below a folder, links followed, but in no circles; and folders of ours, which were not looked into."""
    seen: set[Path] = set()
    files: list[Path] = []
    own: list[Path] = []
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        real = folder.resolve()
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise UserError(f"cannot list {folder}: {error.strerror or error}") from None
        if folder != root and _is_own(folder, {entry.name for entry in visible}):
            own.append(folder)
            continue
        waiting += [folder / entry.name for entry in visible if entry.is_dir()]
        files += [folder / entry.name for entry in visible if entry.is_file()]
    return files, own


def _is_own(folder: Path, names: Set[str]) -> bool:
    """Whether a folder is a run, an embedded world, or a clip of the footage cache, by what it holds."""
    if {"config.json", "checkpoints"} <= names or "world.json" in names:
        return True
    return "clip.json" in names and _holds(folder / "clip.json", _CACHED_ENTRIES)


def _maps(images: list[Path], root: Path) -> dict[Path, None]:
    """Those of the images that are maps, by their names, or by 16 bits of grey beside others that have 8.

    Where all have 16 bits they are a camera's that gives so many.
    """
    found = {image: None for image in images if _named_as_map(image, root)}
    series: dict[tuple[Path, str, str], list[Path]] = {}
    for image in images:
        if image not in found:
            series.setdefault((image.parent, re.sub(r"\d+", "#", image.stem), image.suffix), []).append(image)
    deep = {key for key, members in series.items() if has_16_bits(members[0]) and has_16_bits(members[-1])}
    if len(deep) < len(series):
        found |= {image: None for key in deep for image in series[key]}
    return found


def _named_as_map(image: Path, root: Path) -> bool:
    """Whether a word of the name, or of a folder's name below the root, is one of _MAP_WORD."""
    inside = image.relative_to(root) if image.is_relative_to(root) else Path(image.name)
    words = re.split(r"[\W\d_]+", str(inside.with_suffix("")).lower())
    return any(_MAP_WORD.fullmatch(word) for word in words)


def _own_outputs(files: list[Path]) -> dict[Path, None]:
    """The files that bear names of predict.py's, with a sidecar of it beside them or above."""
    known: dict[Path, bool] = {}

    def is_sidecar(path: Path) -> bool:
        if path not in known:
            known[path] = _holds(path, _SIDECAR_ENTRIES)
        return known[path]

    found: dict[Path, None] = {}
    for file in files:
        match = _OWN.fullmatch(file.name)
        if match is None:
            continue
        above = [file.parent, *file.parent.parents][:_MOST_FOLDERS_DEEP]
        if is_sidecar(file.parent / f"{match[1]}.json") or any(is_sidecar(folder / "clip.json") for folder in above):
            found[file] = None
    return found


def _holds(path: Path, entries: Set[str]) -> bool:
    """Whether a file is JSON with these entries."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and entries <= values.keys()

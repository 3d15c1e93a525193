"""A folder of images, with its folders as sequences, one camera's file, and, if there is any, depth beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets.core.depth_files import DEPTH_SUFFIXES
from datasets.footage.finding import look_into
from datasets.footage.naming import TRAINING_SUFFIXES
from datasets.tools.writers.writing import Line, Written, camera_of_file
from depth.types import UserError


def lines(root: Path, intrinsics: Path | None, depth: Path | None, depth_scale: float | None) -> Written:
    """Frames in natural order. `depth` has a map per image under the image's path, with `depth_scale` for a metre.

    Raises UserError where there is no image, no camera, or no map at all.
    """
    found, notes = look_into(root, TRAINING_SUFFIXES)
    sequences = {contents.folder: contents.images for contents in found if contents.images}
    if not sequences:
        raise UserError(f"{root} holds no PNG or JPEG images")
    if intrinsics is None:
        raise UserError("images need their camera: --intrinsics FILE.json (fx fy cx cy width height)")
    first = next(iter(sequences.values()))[0]
    lines = list(_lines(root, sequences, depth, depth_scale))
    if depth is not None and not any("depth" in line for line in lines):
        raise UserError(f"--depth {depth} has no map called as the images are, e.g. {depth / first.relative_to(root)}")
    return Written({"camera": camera_of_file(intrinsics, first)}, lines, tuple(notes))


def _lines(root: Path, sequences: dict, depth: Path | None, scale: float | None) -> Iterator[Line]:
    for folder, images in sequences.items():
        name = folder.relative_to(root).as_posix() if folder != root else root.resolve().name or "root"
        for order, image in enumerate(images):
            line: Line = {"image": image, "sequence": name, "order": order, "camera": "camera"}
            stem = None if depth is None else depth / image.relative_to(root).with_suffix("")
            maps = [stem.parent / f"{stem.name}{suffix}" for suffix in DEPTH_SUFFIXES] if stem else []
            there = next((path for path in maps if path.is_file()), None)
            if there is not None:
                line["depth"] = {"path": there, "scale": scale or (256 if there.suffix == ".png" else 1)}
            yield line

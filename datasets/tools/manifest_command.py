"""The command `python -m datasets.prepare manifest`."""

from __future__ import annotations

import argparse
import inspect
from dataclasses import replace
from pathlib import Path

from datasets.tools.writers import WRITERS
from datasets.tools.writers.writing import write_manifest
from depth.support.parts import build_part, constructor_of
from depth.types import UserError

_OPTIONS = ("intrinsics", "depth", "depth_scale", "depth_to")


def add_manifest_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("layout", choices=list(WRITERS), help="what lies at the path")
    parser.add_argument("path", type=Path, help="folder of the data set")
    parser.add_argument("--to", type=Path, required=True, help="the manifest, FILE.jsonl")
    parser.add_argument("--mask", type=Path, help="image whose pixels that are not 0 count in no frame, e.g. a bonnet")
    parser.add_argument("--intrinsics", type=Path, help="images, tum: JSON file of the camera")
    parser.add_argument("--depth", type=Path, help="images: folder with a depth map per image, called as it is")
    parser.add_argument("--depth_scale", type=float, help="images: what stands for a metre (default: PNG 256, else 1)")
    parser.add_argument("--depth_to", type=Path, help="ddad: folder for depth maps made of the lidar's points")


def write(options: argparse.Namespace) -> str:
    """Writes the manifest; returns lines about it. Raises UserError for flags that the layout has no use for."""
    if not options.path.is_dir():
        raise UserError(f"{options.path} is not a folder")
    given = {name: getattr(options, name) for name in _OPTIONS}
    wanted = inspect.signature(constructor_of(WRITERS, options.layout, "layout")).parameters
    unused = [name for name, value in given.items() if value is not None and name not in wanted]
    if unused:
        raise UserError(f"--{unused[0]} has no place with {options.layout}")
    found = build_part(WRITERS, options.layout, "layout", root=options.path, **given)
    if options.mask is not None:
        found = replace(found, lines=({**line, "mask": options.mask} for line in found.lines))
    manifest = write_manifest(found, options.to)
    lines = [*found.notes, *manifest.notes(), f"written: {options.to}", f"look: python -m datasets.check {options.to}"]
    return "\n".join([*lines, f"train: python train.py --dataset frames --data_path {options.to}"])

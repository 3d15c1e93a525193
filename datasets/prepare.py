"""Prepares a dataset, once, before training: makes it faster to read, or describes it in one file.

    python -m datasets.prepare jpeg --data_path kitti_data
    python -m datasets.prepare jpeg --data_path kitti_data --delete_png
    python -m datasets.prepare cache --data_path kitti_data --split eigen_zhou --height 192 --width 640 --to frames
    python -m datasets.prepare manifest tum rgbd_dataset_freiburg1_desk --to desk.jsonl

The first writes a JPEG beside every PNG of KITTI's colour cameras (or of any folder of images): a fifth of the bytes,
and a fifth of the time to decode. PNG is preferred where both are there, so --delete_png is what makes it count; each
PNG is deleted only once its JPEG has been written and read back. Depth maps and scans are left alone. Quality 92 with
chroma at half size (4:2:0), which is the recipe of the field for training on KITTI; evaluation figures are published
for PNG.
Stopped and started again it goes on where it was.

manifest writes a manifest (docs/MANIFEST.md) of a folder of images, TUM RGB-D, EuRoC, KITTI odometry, Cityscapes'
sequences, nuScenes or DDAD.

cache writes the frames of a split at training size into one file (see datasets.core.cache), which a training with the
same data, size, sources and validation samples finds. It is written whole or not at all.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from datasets.core.images import has_16_bits, image_size, read_image
from datasets.core.sampler import Loading
from datasets.footage.finding import sort_out
from datasets.locate import default_cache_dir, find_data
from datasets.sets import Samples
from datasets.tools.command import Parser, as_command
from datasets.tools.manifest_command import add_manifest_flags, write
from datasets.training_sets import training_sets
from depth.support.files import write_file
from depth.types import UserError

Outcome = Literal["written", "there"]

QUALITY = 92
_COLOUR_FOLDERS = ("image_02", "image_03", "image_2", "image_3")
_DEPTH_FOLDERS = frozenset({"proj_depth", "data_depth_annotated", "semantics"})
_CHUNK = 16  # files handed to a process at a time
_PART = 32  # pixels a side whose means are compared
_DIFFERENT = 16.0  # grey levels between two pictures; photographs of quality 10 were within 11


def png_files(root: Path) -> list[Path]:
    """The PNGs to be converted below a folder: those of KITTI's colour cameras, or, where there are none, those that
    lie in the folder itself and in its subfolders, maps of depth or classes left out. Raises UserError where there is
    none."""
    if not root.is_dir():
        raise UserError(f"--data_path {root} is not a folder")
    files = list(_walk(root))
    colour = [f for f in files if set(_COLOUR_FOLDERS) & set(f.parent.parts[-2:])]
    colour = [f for f in colour if not _DEPTH_FOLDERS & set(f.relative_to(root).parts)]
    pictures, notes = (colour, []) if colour else sort_out(files, root)
    if not pictures:
        raise UserError("; ".join([f"{root} holds no PNG images: nothing to convert", *notes]))
    return sorted(pictures)


def _walk(root: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:  # a circle of links, or two that lead to one folder
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names if name.lower().endswith(".png") and name[0] != ".")


def convert(path: Path, delete_png: bool = False) -> Outcome:
    """Writes the JPEG beside a PNG, unless it is there and as old or newer.

    Raises UserError naming the file that cannot be converted, and where a JPEG that would be written over, or that a
    PNG would be deleted for, is another picture.
    """
    if has_16_bits(path):
        raise UserError(f"{path} has 16 bits a pixel, of which a JPEG would keep 8: a depth map? move it elsewhere")
    jpeg = path.with_suffix(".jpg")
    outcome: Outcome = "there"
    there = jpeg.is_file()
    wanted = not there or jpeg.stat().st_mtime_ns < path.stat().st_mtime_ns
    image = read_image(path).permute(1, 2, 0).contiguous().numpy() if wanted or delete_png else None
    if there and image is not None and not _alike(jpeg, image):
        raise UserError(f"{jpeg} is another picture than {path.name}: move one of them elsewhere and start again")
    if wanted:
        flags = [
            cv2.IMWRITE_JPEG_QUALITY, QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        ]  # fmt: skip
        write_file(jpeg, cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), flags)[1].tobytes(), flush=False)
        outcome = "written"
    if delete_png:
        if image_size(jpeg) != image_size(path):
            raise UserError(f"{jpeg} was not written as it should be: remove it and start again")
        path.unlink()
    return outcome


def _alike(jpeg: Path, image: np.ndarray) -> bool:
    """Whether a file shows what an image, uint8 (H,W,3), does: of one size, and no part lighter or darker by much."""
    there = read_image(jpeg).permute(1, 2, 0).contiguous().numpy()
    if there.shape != image.shape:
        return False
    parts = (max(1, image.shape[1] // _PART), max(1, image.shape[0] // _PART))
    one, other = (cv2.resize(each.astype(np.float32), parts, interpolation=cv2.INTER_AREA) for each in (there, image))
    return bool(np.abs(one - other).max() < _DIFFERENT)


def convert_all(root: Path, delete_png: bool, workers: int) -> Counter[str]:
    """Converts what `png_files` finds, in processes. Returns how many were written and how many were there.

    Raises UserError for the first file that cannot be read or written; what is finished stays.
    """
    files = png_files(root)
    counts: Counter[str] = Counter()
    bar = tqdm(total=len(files), desc="PNG to JPEG", unit="file", disable=None)
    work = partial(convert, delete_png=delete_png)
    with bar:
        if workers <= 1:
            results: Iterator[str] = map(work, files)
            _count(results, counts, bar)
        else:
            with ProcessPoolExecutor(workers) as pool:
                _count(pool.map(work, files, chunksize=_CHUNK), counts, bar)
    return counts


def _count(results: Iterator[str], counts: Counter[str], bar: tqdm) -> None:
    for outcome in results:
        counts[outcome] += 1
        bar.update()


def write_cache(options: argparse.Namespace) -> str:
    """Writes the caches that a training with these options would write; returns a line about them.

    Raises UserError for missing frames, an unknown split, or a disk that is too small.
    """
    place = find_data(str(options.data_path), "kitti", default_cache_dir())
    sets = training_sets(
        place,
        options.split,
        Samples(options.height, options.width, (-1, 1), options.stereo),
        Loading(num_workers=options.num_workers),
        cache_dir=default_cache_dir(),
        eval_collate=list,
        frame_cache=options.to,
        skip_missing=options.skip_missing,
        val_samples=options.val_samples,
    )
    return "\n".join((*sets.notes, f"the cache is in {options.to}"))


def _parser() -> Parser:
    parser = Parser(prog="python -m datasets.prepare", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    jpeg = commands.add_parser("jpeg", help="PNG to JPEG")
    jpeg.add_argument("--delete_png", action="store_true", help="deletes each PNG whose JPEG is finished")
    cache = commands.add_parser("cache", help="frames at training size in one file")
    cache.add_argument("--split", default="eigen_zhou", help="name, folder or file (default eigen_zhou)")
    cache.add_argument("--height", type=int, default=192, help="rows of the network's input (default 192)")
    cache.add_argument("--width", type=int, default=640, help="columns of the network's input (default 640)")
    cache.add_argument("--stereo", action="store_true", help="also the other camera")
    cache.add_argument("--skip_missing", action="store_true", help="goes on with the frames that are there")
    cache.add_argument("--val_samples", type=int, default=400, help="as in training (default 400)")
    cache.add_argument("--to", type=Path, required=True, help="folder of the caches")
    add_manifest_flags(commands.add_parser("manifest", help="any data set in one file, from a layout"))
    for command in (jpeg, cache):
        command.add_argument("--data_path", type=Path, required=True, help="folder of KITTI data, or of images")
        command.add_argument("--num_workers", type=int, default=os.cpu_count() or 1, help="processes (default: cores)")
    return parser


@as_command("stopped; the same command goes on")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.command in ("cache", "manifest"):
        print(write_cache(options) if options.command == "cache" else write(options))
        return 0
    counts = convert_all(options.data_path, options.delete_png, options.num_workers)
    kept = "the PNGs are deleted" if options.delete_png else "the PNGs are kept and still read first: --delete_png"
    print(f"{counts['written']:,} JPEGs written, {counts['there']:,} were there; {kept}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

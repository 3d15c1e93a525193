"""The loader: frames from JPEG and from the cache, in one process, and the parts of its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.timings.reference import ReferenceSamples
from benchmarks.timings.timing import Row, measure
from datasets.core.cache import open_cache
from datasets.core.frames import FrameDataset
from datasets.core.images import read_image, resize_image
from datasets.core.sampler import Loading, make_train_loader
from datasets.core.splits import FrameRef
from datasets.kitti.layout import KittiRaw
from depth.types import RawBatch

_DATE = "2011_09_26"
_DRIVE = f"{_DATE}/{_DATE}_drive_0001_sync"
_WIDTH, _HEIGHT = 1242, 375
_CALIBRATION = f"""R_rect_00: 1 0 0 0 1 0 0 0 1
S_rect_02: {_WIDTH} {_HEIGHT}
P_rect_02: 721 0 609 45 0 721 172 0 0 0 1 0
S_rect_03: {_WIDTH} {_HEIGHT}
P_rect_03: 721 0 609 -340 0 721 172 0 0 0 1 0
"""


def write_frames(root: Path, count: int) -> KittiRaw:
    """A KITTI raw folder with `count` JPEGs of 1242x375 with about the bytes of KITTI's (quality 92, 4:2:0)."""
    folder = root / _DRIVE / "image_02" / "data"
    folder.mkdir(parents=True)
    (root / _DATE / "calib_cam_to_cam.txt").write_text(_CALIBRATION)
    draws = np.random.default_rng(0)
    for frame in range(count):
        # An octave has half the amplitude of the one before: about the spectrum of streets and trees.
        image = sum(
            cv2.resize(
                draws.normal(0, 42 * 0.55**octave, (2 ** (octave + 1), 3 * 2 ** (octave + 1), 3)),
                (_WIDTH, _HEIGHT),
                interpolation=cv2.INTER_CUBIC,
            )
            for octave in range(8)
        )
        pixels = (image + 110 + draws.normal(0, 4.5, (_HEIGHT, _WIDTH, 1))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{frame:010d}.jpg", quality=92, subsampling="4:2:0")
    return KittiRaw(root)


def frame_refs(count: int) -> list[FrameRef]:
    """Those of the frames that have neighbours."""
    return [FrameRef(_DRIVE, frame, "l") for frame in range(1, count - 1)]


def batches(dataset: FrameDataset, batch_size: int, workers: int | None, pin: bool = False) -> Iterator[RawBatch]:
    """Epoch after epoch."""
    loader = make_train_loader(dataset, Loading(batch_size, workers, pin=pin))
    epoch = 0
    while True:
        loader.batch_sampler.set_epoch(epoch)
        yield from loader
        epoch += 1


def datasets_of(source: KittiRaw, count: int, size: tuple[int, int], folder: Path) -> dict[str, FrameDataset]:
    """The same samples from JPEG and from a cache under `folder`; size is (height, width)."""
    refs = frame_refs(count) * 50  # so that an epoch is long, as a real one is
    everything = [FrameRef(_DRIVE, frame, "l") for frame in range(count)]
    cache = open_cache(folder, source, everything, *size, workers=0, progress=False)
    return {"JPEG": FrameDataset(source, refs, *size), "cache": FrameDataset(source, refs, *size, cache=cache)}


def loader_rows(
    found: dict[str, FrameDataset], source: KittiRaw, size: tuple[int, int], batch_size: int, seconds: float
) -> list[Row]:
    """Samples a second in one process, and what a frame's reading and resizing take."""
    cpu = torch.device("cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a loader's process
    try:
        streams = {name: batches(dataset, batch_size, 0) for name, dataset in found.items()}
        works: dict[str, Callable[[], object]] = {name: lambda s=s: next(s) for name, s in streams.items()}
        reference = ReferenceSamples(source, found["JPEG"].refs, size)
        works["JPEG, as first published"] = lambda: [reference[index] for index in range(batch_size)]
        timings = measure(works, cpu, seconds, warmup=2)
        *rows, published = (t.row(f"loader, {n}, one process", batch_size, "samples/s") for n, t in timings.items())
        rows = [replace(row, note=f"{row.rate / published.rate:.1f} x as first published") for row in rows]
        paths = [source.image_path(ref) for ref in dict.fromkeys(found["JPEG"].refs)]
        images = [read_image(path) for path in paths[:8]]
        parts = measure(
            {
                "read and decode": lambda: [read_image(path) for path in paths[:8]],
                "resize": lambda: [resize_image(image, *size) for image in images],
            },
            cpu,
            seconds / 2,
        )
    finally:
        torch.set_num_threads(threads)
    kilobytes = np.mean([path.stat().st_size for path in paths]) / 1e3
    decode, resize = (t.row(f"one frame of 1242x375: {name}", len(images), "frames/s") for name, t in parts.items())
    return [*rows, published, replace(decode, note=f"JPEGs of {kilobytes:.0f} KB"), resize]

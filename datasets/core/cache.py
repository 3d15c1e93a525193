"""Frames at training size in one memory-mapped file: decoded and resized once, then read thousands of times a second.

A cache is a folder <width>x<height>_<key> with frames.npy, uint8 (N,3,H,W), and index.json. The key is a hash of the
size, the filter and every source file's path, bytes and time of change, so a split that is changed, or a file that is
replaced, gets a new cache and never another one's pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datasets.core.frames import load_view
from datasets.core.sampler import Loading, make_loader
from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from depth.support.files import whole_folder, write_file
from depth.types import UserError

try:
    import fcntl
except ImportError:  # not on Windows, where two processes that start at once both write
    fcntl = None

_BATCH = 16


class FrameCache:
    """Frame -> uint8 (3,H,W), a view of the mapped file; writing into it never reaches the file.

    Args:
        path: frames.npy.
        refs: its frames, in its order.
        height, width: of the frames.

    Raises UserError where the file cannot be mapped or holds something else. Travels to other processes by name.
    """

    def __init__(self, path: Path, refs: list[FrameRef], height: int, width: int) -> None:
        self.path, self.shape = path, (len(refs), 3, height, width)
        self._place = {ref: place for place, ref in enumerate(refs)}
        self._map()

    def __getitem__(self, ref: FrameRef) -> Tensor:
        return self._frames[self._place[ref]]

    def __len__(self) -> int:
        return len(self._place)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_frames"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._map()

    def _map(self) -> None:
        try:
            frames = np.load(self.path, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(_damaged(self.path.parent, f"its frames.npy cannot be read: {error}")) from None
        if frames.shape != self.shape or frames.dtype != np.uint8:
            raise UserError(_damaged(self.path.parent, f"it holds {frames.dtype} {frames.shape}, not {self.shape}"))
        self._frames = torch.from_numpy(frames)


def open_cache(
    folder: Path,
    source: FrameSource,
    refs: Iterable[FrameRef],
    height: int,
    width: int,
    workers: int | None = None,
    progress: bool = True,
) -> FrameCache:
    """The cache of these frames; it is written first where it is not there.

    Of several processes that want the same one, one writes and the others wait for it. An interrupted writer leaves
    nothing that would be taken for a cache. The first, middle and last frame are compared with their files.

    Args:
        folder: holds caches of any data and size.
        refs: which; each is kept once.
        height, width: see datasets.core.images.resize_image.
        workers: processes that decode; None suits the machine.
        progress: shows a bar while it is written.

    Raises:
        UserError: the disk is too small or not writable; a frame is missing or damaged; an existing cache is damaged.
    """
    ordered = sorted(set(refs), key=lambda ref: (ref.folder, ref.side, ref.frame))
    files = [_file_record(source, ref) for ref in ordered]
    index = {"height": height, "width": width, "filter": "lanczos", "files": files}
    key = hashlib.sha256(json.dumps(index).encode()).hexdigest()[:16]
    final = folder / f"{width}x{height}_{key}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _turn(folder / f"{final.name}.lock"):
            if not (final / "index.json").is_file():
                loader = make_loader(_Views(source, ordered, height, width), Loading(_BATCH, workers), list)
                _write(final, loader, (len(ordered), 3, height, width), index, progress)
    except OSError as error:
        raise UserError(f"--cache {folder} cannot be written: {error.strerror or error}") from None
    cache = FrameCache(final / "frames.npy", ordered, height, width)
    _compare(cache, source, [ordered[0], ordered[len(ordered) // 2], ordered[-1]])
    return cache


def _compare(cache: FrameCache, source: FrameSource, refs: list[FrameRef]) -> None:
    """Raises UserError where a frame is not what its file gives."""
    for ref in refs:
        if not torch.equal(cache[ref], load_view(source, ref, *cache.shape[2:])[0]):
            raise UserError(_damaged(cache.path.parent, f"{ref.name} is not what its file gives with these versions"))


def _file_record(source: FrameSource, ref: FrameRef) -> list[str | int]:
    path = source.image_path(ref)
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    lens = source.lens(ref)
    return [os.path.relpath(path, source.root), stat.st_size, stat.st_mtime_ns, *([repr(lens)] if lens else [])]


class _Views(torch.utils.data.Dataset):
    """The frames at training size, for the processes that decode."""

    def __init__(self, source: FrameSource, refs: list[FrameRef], height: int, width: int) -> None:
        self.source, self.refs, self.size = source, refs, (height, width)

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Tensor:
        return load_view(self.source, self.refs[index], *self.size)[0]


def _write(
    final: Path, batches: Iterable[list[Tensor]], shape: tuple[int, int, int, int], index: dict, progress: bool
) -> None:
    size = int(np.prod(shape))
    free = shutil.disk_usage(final.parent).free
    if size > free:
        raise UserError(f"--cache needs {size / 1e9:.1f} GB in {final.parent}, where {free / 1e9:.1f} GB are free")
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with whole_folder(final, "index.json") as fresh:
        with (
            # Not through a memory map: that would die of a signal where the disk runs full.
            (fresh / "frames.npy").open("wb") as file,
            tqdm(total=shape[0], desc=f"cache, {size / 1e9:.1f} GB", unit="frame", disable=not progress) as bar,
        ):
            np.lib.format.write_array_header_1_0(file, header)
            for frames in batches:
                for frame in frames:
                    file.write(frame.numpy())
                bar.update(len(frames))
            file.flush()
            os.fsync(file.fileno())
        write_file(fresh / "index.json", json.dumps(index).encode(), flush=False)


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Held by one process at a time; a process that dies gives it back."""
    with path.open("a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for the process that writes {path.with_suffix('')}", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _damaged(folder: Path, why: str) -> str:
    return f"the cache {folder} is damaged or of other versions ({why}): delete the folder, and it is written anew"

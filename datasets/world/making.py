"""The embedded world: street scenes with known depth, poses and K, in KITTI raw layout.

    python -m datasets.synthetic [--root FOLDER] [--labels] ...

writes it (or finds it in the cache) and prints its folder. A world is cached under a name that holds a hash of
its spec; it is written into a folder beside that and renamed when it is complete, so that an interrupted or
a concurrent run leaves nothing half done.

    <world>/world.json                             {"dataset": "synthetic", spec, version}
    <world>/splits/{train,val,test}.txt            lines `<folder> <sides> <ranges>`
    <world>/<date>/calib_*.txt                     as KITTI
    <world>/<date>/<drive>/image_02, image_03, oxts, velodyne_points    as KITTI
    <world>/<date>/<drive>/proj_depth/groundtruth/image_0[23]           dense exact depth, metres * 256
    <world>/<date>/<drive>/poses.txt               rows of 3x4 frame0_from_frame of camera 2, metres
    <world>/<date>/<drive>/semantics/{class,instance,normal,surface}_02          with labels=True, see datasets/world
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

from tqdm import tqdm

from datasets.world import worker
from datasets.world.spec import SPLITS, WorldSpec
from datasets.world.writer import write_calibration, write_drive
from depth.support.files import whole_folder
from depth.types import UserError

__all__ = ["DEFAULT_WORLD", "LABELLED_WORLD", "SPLITS", "WorldSpec", "ensure_world"]

DEFAULT_WORLD = WorldSpec()
# Labels teach what a street looks like: many short drives say more than a few long ones that take as long to write.
LABELLED_WORLD = WorldSpec(labels=True, train_drives=110, val_drives=12, test_drives=24, frames_per_drive=4)

_REPOSITORY = Path(__file__).resolve().parents[2]
_SMALL = 2_000_000  # pixels in all images of a world below which starting processes does not pay
_MOST_WORKERS = 8


def ensure_world(root: Path | None = None, spec: WorldSpec = DEFAULT_WORLD) -> Path:
    """The folder of the finished world; writes it first where the cache does not have it.

    Args:
        root: the cache; default $DEJAVU_CACHE, else ~/.cache/dejavu-depth.
        spec: which world.

    Raises:
        UserError: a spec out of range, or a cache that cannot be written or is full.
    """
    _check(spec)
    root = Path(root or os.environ.get("DEJAVU_CACHE") or "~/.cache/dejavu-depth").expanduser().absolute()
    final = root / spec.folder_name()
    if (final / "world.json").is_file():
        return final
    try:
        with whole_folder(final, "world.json") as folder:
            _write_world(folder, spec)
    except OSError as error:
        hint = "set $DEJAVU_CACHE to a folder that can be written and has room"
        raise UserError(f"cannot write the embedded world into {root} ({error}): {hint}") from error
    return final


def _check(spec: WorldSpec) -> None:
    limits = {"height": (16, 2048), "width": (32, 4096), "seed": (0, 2**31), "frames_per_drive": (3, 200)}
    for name, value in asdict(spec).items():
        low, high = limits.get(name, (0, 1) if name == "labels" else (1, 1000))
        if not low <= value <= high:
            raise UserError(f"embedded world: {name} is {value}, it must lie in {low}..{high}")


def _write_world(folder: Path, spec: WorldSpec) -> None:
    write_calibration(folder, spec)
    (folder / "splits").mkdir()
    for split in SPLITS:
        (folder / "splits" / f"{split}.txt").write_text("\n".join(spec.split(split)) + "\n")
    drives = spec.drives()
    with tqdm(total=len(drives), desc="embedded world", unit="drive", disable=None) as bar:
        for _ in _write_drives(folder, spec):
            os.utime(folder.parent)  # which tells other processes that this one lives
            bar.update()
    (folder / "world.json").write_text(json.dumps(spec.manifest(), indent=2) + "\n")


def _write_drives(folder: Path, spec: WorldSpec) -> Iterator[str]:
    """Writes all drives, here or in processes; yields a name per finished drive. Raises OSError."""
    drives = spec.drives()
    count = min(os.cpu_count() or 1, _MOST_WORKERS, len(drives))
    if count == 1 or 2 * spec.height * spec.width * len(drives) * spec.frames_per_drive < _SMALL:
        for drive in drives:
            write_drive(folder, spec, drive)
            yield drive.name
        return
    lines: SimpleQueue[str | tuple[int, str]] = SimpleQueue()
    shares = [",".join(str(d.number) for d in drives[i::count]) for i in range(count)]
    processes = [_start(folder, spec, share) for share in shares]
    try:
        for process in processes:
            threading.Thread(target=_forward, args=(process, lines), daemon=True).start()
        running = count
        while running:
            line = lines.get()
            if isinstance(line, str):
                yield line
                continue
            running -= 1
            code, last = line
            if code == worker.FAILED:
                raise OSError(last)
            if code != 0:
                raise RuntimeError(f"a worker of the embedded world ended with exit code {code}")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start(folder: Path, spec: WorldSpec, numbers: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "datasets.world.worker", str(folder), json.dumps(asdict(spec)), numbers]
    path = os.pathsep.join(filter(None, [str(_REPOSITORY), os.environ.get("PYTHONPATH")]))
    # One thread a process: there is a process per core already.
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    # A session of its own: Ctrl-C is the business of the caller, who then ends these processes.
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def _forward(process: subprocess.Popen[str], lines: SimpleQueue[str | tuple[int, str]]) -> None:
    """Passes a process's lines on, its last one with its exit code if that is not 0."""
    previous = ""
    for line in process.stdout or ():
        previous = line.strip()
        lines.put(previous)
    lines.put((process.wait(), previous))

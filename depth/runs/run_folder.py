"""A run's folder: its name, and the record of what made it."""

from __future__ import annotations

import itertools
import json
import platform
import subprocess
import warnings
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import torch

from depth.support.files import read_text, write_file
from depth.types import UserError

try:
    import fcntl
except ImportError:  # not on Windows, where nothing keeps two processes out of one run
    fcntl = None

_PACKAGES = ("dejavu-depth", "torch", "torchvision", "kornia", "lpips", "numpy", "opencv-python-headless")


def versions() -> dict[str, str]:
    """Versions of Python and the packages, the git revision of this code, and the processor or GPU."""
    found = {"python": platform.python_version(), "git": _git_revision(), "machine": machine_name()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine_name() -> str:
    """The first GPU's name, or the processor's, with the number of threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {torch.get_num_threads()} threads"


def _git_revision() -> str:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # installed, perhaps inside another project's checkout
        return "unknown"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def create_run(
    log_dir: str, name: str | None, what: str, record: dict[str, Any], again: bool = False
) -> tuple[Path, IO[str]]:
    """Makes log_dir/name with checkpoints/ and config.json, and claims it, see `claim_run`.

    Args:
        log_dir: folder of the runs.
        name: None makes one from the date, the time and `what`, and numbers runs that start in the same second.
        what: what is trained, as part of a folder's name.
        record: plain values for config.json.
        again: the run may be there already; torchrun restarts one that has not come to its first checkpoint.

    Raises:
        UserError: there is a checkpoint in the folder, another process trains in it, or it cannot be written.
    """
    stem = name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{what}"
    for number in itertools.count(1):
        folder = Path(log_dir) / (stem if number == 1 else f"{stem}_{number}")
        try:
            folder.mkdir(parents=True, exist_ok=name is not None)
            (folder / "checkpoints").mkdir(exist_ok=True)
            break
        except FileExistsError:
            if name is not None:
                raise UserError(f"run folder {folder} cannot be made: a file has that name") from None
        except OSError as error:
            raise UserError(f"run folder {folder} cannot be made: {error.strerror}") from None
    claim = claim_run(folder)
    # A run that died before its first checkpoint has left nothing to keep or to go on from.
    if not again and any((folder / "checkpoints").glob("*.pt")):
        raise UserError(f"{folder} holds a run already: choose another --model_name, or --resume {folder}")
    write_file(folder / "config.json", json.dumps(record, indent=2).encode())
    return folder, claim


def claim_run(folder: Path) -> IO[str]:
    """Keeps other processes from training in a run's folder until the file that is returned is closed.

    Raises UserError where another process has the folder, or it cannot be written.
    """
    try:
        file = (folder / ".lock").open("a")
    except OSError as error:
        raise UserError(f"run folder {folder} cannot be written: {error.strerror}") from None
    try:
        if fcntl is not None:
            # Not flock: loader processes would inherit that, and keep it for seconds after this one was killed.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.close()
        raise UserError(
            f"{folder} is being trained by another process: wait for it, or choose another --model_name"
        ) from None
    except OSError as error:
        warnings.warn(f"{folder} cannot be locked against other processes ({error.strerror})", stacklevel=2)
    return file


def read_run(folder: Path) -> dict[str, Any]:
    """The record of a run. Raises UserError where there is none or it cannot be read."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a run: it has no config.json")
    try:
        record = json.loads(read_text(folder / "config.json", "the record"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder}/config.json cannot be read: {error}") from None
    if not isinstance(record, dict):
        raise UserError(f"{folder}/config.json is not a run's record")
    return record

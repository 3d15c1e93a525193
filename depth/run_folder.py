"""A run's folder: its name, and the record of what made it."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from depth.files import write_file
from depth.types import UserError

_PACKAGES = ("torch", "torchvision", "kornia", "lpips", "numpy", "opencv-python-headless")


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
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def create_run(log_dir: str, name: str | None, what: str, record: dict[str, Any], again: bool = False) -> Path:
    """Makes log_dir/name with checkpoints/ and config.json.

    Args:
        log_dir: folder of the runs.
        name: None makes one from the date, the time and `what`.
        record: plain values for config.json.
        again: the run may be there already; torchrun restarts one that has not come to its first checkpoint.

    Raises:
        UserError: the folder is there already with a run in it, or cannot be written.
    """
    folder = Path(log_dir) / (name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{what}")
    if (folder / "config.json").exists() and not again:
        raise UserError(f"{folder} holds a run already: choose another --model_name, or --resume {folder}")
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"run folder {folder} cannot be made: {error.strerror}") from None
    write_file(folder / "config.json", json.dumps(record, indent=2).encode())
    return folder


def read_run(folder: Path) -> dict[str, Any]:
    """The record of a run. Raises UserError where there is none or it cannot be read."""
    try:
        record = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        raise UserError(f"{folder} is not a run: it has no config.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{folder}/config.json cannot be read: {error}") from None
    if not isinstance(record, dict):
        raise UserError(f"{folder}/config.json is not a run's record")
    return record

"""Checkpoints: one file, written aside, flushed, read back and renamed; plain tensors and values only.

`last.pt` holds all that is needed to go on; the one before it is kept as `previous.pt`. `best.pt` holds the
inference networks alone and is the same with and without DejaVu.
"""

from __future__ import annotations

import os
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depth.types import UserError, reason_of

FORMAT = "dejavu-depth/1"


def save_checkpoint(path: Path, state: dict[str, Any], keep_previous: bool = False) -> None:
    """Writes a checkpoint; the file that was there stays until the new one has been read back.

    Args:
        path: the file.
        state: tensors and plain values.
        keep_previous: True renames the file that was there to `previous.pt`.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    # Always the same name: what a killed run left half written is overwritten, and never adds up.
    aside = path.with_name(f".{path.name}.tmp")
    try:
        with aside.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        load_checkpoint(aside)
        if keep_previous and path.exists():
            os.replace(path, path.with_name("previous.pt"))
        os.replace(aside, path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError, UserError) as error:
        aside.unlink(missing_ok=True)
        # torch's writer stumbles over its own unfinished file and hides the disk's error behind that.
        cause = error if isinstance(error, OSError) else error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else str(error).splitlines()[0]
        intact = "; the one before it is intact" if path.exists() else ""
        raise UserError(f"checkpoint {path} cannot be written ({reason}){intact}") from None


def _flush_folder(folder: Path) -> None:
    """Renames survive a loss of power once the folder itself is on the disk."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without running anything that is in it.

    Raises UserError where the file is absent, damaged, or no checkpoint of this project.
    """
    try:
        # torch.load takes damaged bytes of a tensor for numbers: it does not look at the archive's checksums.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} does not have its checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no checkpoint at {path}") from None
    except Exception as error:  # whatever the restricted reader trips over in foreign bytes, the file is at fault
        raise UserError(f"{path} is damaged or not a checkpoint: {reason_of(error)}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of this project (format {FORMAT})")
    return state


def find_checkpoint(place: Path) -> Path:
    """The file to load weights from: a file itself, or a run's best, last or previous checkpoint."""
    if place.is_file():
        return place
    for name in ("best.pt", "last.pt", "previous.pt"):
        for folder in (place / "checkpoints", place):
            if (folder / name).is_file():
                return folder / name
    raise UserError(f"no checkpoint in {place}: expected checkpoints/best.pt or last.pt")


def newest_run(log_dir: Path) -> Path:
    """The run in `log_dir` whose checkpoint was written last. Raises UserError where there is none."""
    files = [*log_dir.glob("*/checkpoints/best.pt"), *log_dir.glob("*/checkpoints/last.pt")]
    if not files:
        raise UserError(f"no run with a checkpoint in {log_dir}/; train first, or name one with --load_weights_folder")
    return max(files, key=lambda file: file.stat().st_mtime).parent.parent


def model_place(checkpoint: str | None, log_dir: str) -> Path:
    """The model that is to predict: the one that was named, or the newest run. Raises UserError where there is none."""
    if checkpoint:
        return Path(checkpoint)
    try:
        return newest_run(Path(log_dir))
    except UserError:
        raise UserError(
            f"no run with a checkpoint in {log_dir}/: train first, or name a model with --checkpoint"
        ) from None


def load_resumable(run: Path, say: bool = True) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint of a run that can be read; with `say`, a line tells where that is not the newest one.

    Raises UserError where there is none.
    """
    complaints = []
    for name in ("last.pt", "previous.pt"):
        path = run / "checkpoints" / name
        try:
            state = load_checkpoint(path)
            progress = state.get("progress")
            if not isinstance(progress, dict) or not isinstance(progress.get("step"), int):
                raise UserError(f"{path} does not say where its training stood")
        except UserError as error:
            complaints.append(str(error))
            continue
        if complaints and say:
            print(f"{complaints[0]}; going on from the one before it, {path}", flush=True)
        return path, state
    raise UserError(f"--resume {run}: {complaints[0]}")


def load_weights(module: nn.Module, weights: dict[str, Tensor], what: str, path: Path) -> None:
    """Loads a state dict strictly. Raises UserError where it belongs to another network or is none."""
    try:
        module.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError):
        detail = _mismatch(module, weights)
        raise UserError(f"{path} holds another {what} than these options build: {detail}") from None


def _mismatch(module: nn.Module, weights: object) -> str:
    """Which names and sizes of a state dict are not the module's, a few of each kind."""
    if not isinstance(weights, dict):
        return "it is no table of weights"
    built = module.state_dict()
    kinds = {
        "missing": [name for name in built if name not in weights],
        "unknown": [str(name) for name in weights if name not in built],
        "of another size": [n for n in built if n in weights and getattr(weights[n], "shape", None) != built[n].shape],
    }
    texts = [
        f"{len(names)} {kind} ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
        for kind, names in kinds.items()
        if names
    ]
    return f"of its weights, {'; '.join(texts)}" if texts else "its weights cannot be copied"


def seed_generators(seed: int) -> None:
    """Seeds the random generators of Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """This process's random generators, of Python, NumPy, PyTorch and its GPU, as plain values."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Puts back what `rng_state` took; a GPU's state only where this process uses one."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"])

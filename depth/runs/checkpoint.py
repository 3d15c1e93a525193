"""Checkpoints: one file, written aside, flushed, read back and renamed; plain tensors and values only.

`last.pt` holds all that is needed to go on; the one before it is kept as `previous.pt`. `best.pt` holds the
inference networks alone, of the epoch that validation liked best, and is the same with and without DejaVu. Where
nothing else is asked for, results are the last one's: so are those that are published of these methods, and a best one
that is chosen by validation's ground truth flatters.
"""

from __future__ import annotations

import os
import random
import zipfile
from dataclasses import dataclass
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


# previous.pt is a run's last one where it was killed between two renames.
_FILES = {"last": ("last.pt", "previous.pt"), "best": ("best.pt",)}


def find_checkpoint(place: Path, choice: str = "last") -> Path:
    """The file to load weights from.

    Args:
        place: a checkpoint file, or a run.
        choice: which of a run's, "last" or "best".

    Raises UserError where there is none, where there is only one of the other kind, and for a choice beside a file.
    """
    if not place.exists():
        raise UserError(f"there is no run, checkpoint or Monodepth2 folder at {place}")
    if place.is_file():
        if choice != "last":
            raise UserError(f"--checkpoint_choice {choice} chooses in a run, and {place} is a file: leave it out")
        return place
    folders = (place / "checkpoints", place)
    found = {kind: [f / n for n in names for f in folders if (f / n).is_file()] for kind, names in _FILES.items()}
    if found[choice]:
        return found[choice][0]
    if found["best"]:
        path = found["best"][0]
        raise UserError(
            f"{place} has no last.pt; for its best.pt add --checkpoint_choice best, or name the file {path}"
        )
    if found["last"]:
        raise UserError(f"{place} has no best.pt, which validation chooses; leave --checkpoint_choice out for the last")
    raise UserError(f"no checkpoint in {place}: expected checkpoints/last.pt or best.pt")


@dataclass(frozen=True)
class CheckpointFacts:
    """Which checkpoint weights come from, for reports."""

    which: str  # "last", "best", or "original Monodepth2"
    epochs: int | None  # that were finished; None where it is not known
    steps: int | None
    chosen_by: str | None  # of the best: what was lowest, on what; None where it is not known

    @classmethod
    def of(cls, state: dict[str, Any]) -> CheckpointFacts:
        """Those of a loaded checkpoint, whose values may be anything."""
        progress = state.get("progress")
        epochs, steps = (progress.get(k) if isinstance(progress, dict) else None for k in ("epoch", "step"))
        epochs, steps = (n if type(n) is int and 0 <= n < 10**12 else None for n in (epochs, steps))
        if "objective" in state:
            return cls("last", epochs, steps, None)
        criterion = state.get("chosen_by")
        return cls("best", epochs, steps, criterion[:200] if isinstance(criterion, str) else None)

    def __str__(self) -> str:
        how = f", chosen by {self.chosen_by or 'validation'}" if self.which == "best" else ""
        stood = "" if self.steps is None else f" after {self.epochs} epochs, {self.steps} steps"
        return f"{self.which} checkpoint{stood}{how}"


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

"""One cell of a grid: a training that can go on after an interruption."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from depth.options.config import Config, config_from_dict, resolved
from depth.options.dejavu import DejaVuOptions
from depth.runs.checkpoint import load_resumable
from depth.runs.run_folder import read_run
from depth.support.distributed import Process
from depth.types import UserError
from train import train

_MACHINE = ("cache_dir", "cache", "num_workers", "device", "log")


def settings_of(config: Config) -> dict[str, Any]:
    """What decides a result, as plain values: the resolved config without what belongs to the machine.

    Of the data's place its last name stays, and nothing of the embedded world's, which is rendered where it is needed.

    Without the branch its options are the defaults, whatever these were when a run was made.
    """
    if not config.dejavu.dejavu:
        read = config.dejavu if config.dejavu.dejavu_attention else DejaVuOptions()
        config = replace(config, dejavu=replace(read, edit=DejaVuOptions.edit))
    return plain_settings(config)


def plain_settings(config: Config) -> dict[str, Any]:
    """As `settings_of`, with the branch's options as they are."""
    return _without_machine(json.loads(json.dumps(resolved(config).to_dict())))


def trained_with(recorded: Mapping[str, Any], config: Config) -> bool:
    """Whether a record's settings are a config's: an option that is younger than the record counts as it was then."""
    wanted, data = settings_of(config), config.data.data_path
    if data and "data_path" not in recorded.get("data", {}):  # nor did older records say which data
        recorded = {**recorded, "data": {**recorded.get("data", {}), "data_path": data}}
    try:
        return settings_of(config_from_dict(_without_machine(recorded))) == wanted
    except UserError:  # options or values that are no longer known
        return False


def _without_machine(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        group: {name: value for name, value in options.items() if name not in _MACHINE}
        for group, options in values.items()
        if group not in _MACHINE
    }
    data = kept.get("data", {})
    path = data.pop("data_path", None)
    if path and data.get("dataset") != "synthetic":
        data["data_path"] = Path(path).resolve().name or "root"
    return kept


def train_cell(config: Config, folder: Path, process: Process) -> float | None:
    """Trains to the end in folder/run, from where an interrupted training stood.

    Returns the seconds it took; NaN where it did not begin or end in this call; None where a signal ended it.
    Raises UserError where the folder holds a training with other settings.
    """
    run = folder / "run"
    log = replace(config.log, log_dir=str(folder), model_name="run")
    begun = any((run / "checkpoints" / name).is_file() for name in ("last.pt", "previous.pt"))
    if begun:
        if not trained_with(read_run(run).get("config", {}), config):
            raise UserError(f"{run} was trained with other settings: choose another --out, or remove it")
        if last_checkpoint(run)[1] >= config.train.max_steps:
            return float("nan")
        log = replace(log, resume=str(run))
    elif run.exists():
        shutil.rmtree(run)  # ended before its first checkpoint
    started = time.monotonic()
    if not train(replace(config, log=log), process):
        return None
    return float("nan") if begun else time.monotonic() - started


def last_checkpoint(run: Path) -> tuple[Path, int]:
    """A run's newest checkpoint that can be read, and its steps. Raises UserError where there is none."""
    path, state = load_resumable(run)
    return path, state["progress"]["step"]

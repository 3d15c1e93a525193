"""Going on with a run: whose options count, and the command to do it."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import IO, Any

import torch

from depth.options.config import Config, config_from_dict
from depth.options.describe import run_name
from depth.runs.checkpoint import load_resumable
from depth.runs.run_folder import claim_run, create_run, read_run
from depth.support.distributed import Process, any_rank, from_main
from depth.support.files import write_file
from depth.types import UserError

# What belongs to the machine and not to the run. A run's record may come from someone else: it does not choose where
# files are written, nor how many processes are started.
_MACHINE = {"data": ("cache", "cache_dir", "num_workers"), "train": ("device",)}
_MAY_CHANGE = {"data": ("data_path",), "train": ("num_epochs", "max_steps")}


def resumed(config: Config) -> Config:
    """Where --resume is given, the run's own options; those of the machine are the command line's.

    --num_epochs, --max_steps and --data_path are the run's unless they are given. Raises UserError where the folder is
    no run or its record is malformed, and where another option is given that is not as in the run.
    """
    if config.log.resume is None:
        return config
    folder = Path(config.log.resume)
    try:
        saved = config_from_dict(read_run(folder).get("config", {}))
    except UserError as error:
        raise UserError(f"--resume {folder}: {error}") from None
    _refuse_others(config, saved)
    for group in ("data", "train"):
        given = {name: getattr(getattr(config, group), name) for name in (*_MACHINE[group], *_MAY_CHANGE[group])}
        kept = {n: v for n, v in given.items() if n in _MACHINE[group] or v is not None}
        saved = replace(saved, **{group: replace(getattr(saved, group), **kept)})
    return replace(saved, log=replace(saved.log, resume=str(folder)))


def _refuse_others(config: Config, saved: Config) -> None:
    """Raises UserError for flags that would be ignored; one that repeats what the run has is no contradiction."""
    free = {"resume", *(name for names in (*_MACHINE.values(), *_MAY_CHANGE.values()) for name in names)}
    for group in fields(Config):
        given, usual, kept = (getattr(each, group.name) for each in (config, Config(), saved))
        for option in fields(given):
            value = getattr(given, option.name)
            if option.name not in free and value not in (getattr(usual, option.name), getattr(kept, option.name)):
                raise UserError(
                    f"--{option.name} has no place beside --resume: the run goes on with its own, "
                    f"{getattr(kept, option.name)}"
                )


def was_restarted(process: Process) -> bool:
    """Whether torchrun (--max_restarts) has started this process group again.

    Of several machines, only the one that lost a process counts that; the others started again to meet it.
    """
    own = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    return any_rank(torch.tensor(own, device=process.device))[0]


def restarted(config: Config, again: bool) -> Config:
    """With torchrun's --max_restarts: a restarted run goes on from its checkpoint, by the same command.

    Args:
        again: see `was_restarted`, the same on every rank.

    Raises UserError without --model_name, since a name made of the time would not be found again.
    """
    if config.log.resume or int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) == 0:
        return config
    if config.log.model_name is None:
        raise UserError("torchrun --max_restarts needs --model_name, so that a restarted run finds its folder")
    folder = Path(config.log.log_dir) / config.log.model_name
    # Rank 0's view counts: one rank that resumes and another that begins would wait for each other for ever.
    if not from_main(again and any((folder / "checkpoints").glob("*.pt"))):
        return config
    return replace(config, log=replace(config.log, resume=str(folder)))


def load_same(run: Path, process: Process) -> tuple[Path, dict[str, Any]]:
    """`load_resumable` on every rank; a last.pt that cannot be read becomes last.damaged.pt.

    Raises UserError where they find different steps.
    """
    path, state = load_resumable(run, say=process.is_main)
    step, steps = state["progress"]["step"], from_main(state["progress"]["step"])
    if step != steps:
        raise UserError(f"{path} is at step {step}, the main process's at {steps}: all machines must share this folder")
    last = path.with_name("last.pt")
    if process.is_main and path != last and last.exists():  # the next one would push it onto the only good one
        os.replace(last, last.with_name("last.damaged.pt"))
    return path, state


def resume_command(config: Config, folder: Path, world_size: int) -> str:
    """What to type to go on with a run."""
    command = "python train.py"
    if world_size > 1:
        command = f"torchrun --nproc_per_node {os.environ.get('LOCAL_WORLD_SIZE', world_size)} train.py"
    machine = [(name, getattr(getattr(config, group), name)) for group, names in _MACHINE.items() for name in names]
    flags = [f"--{name} {shlex.quote(str(value))}" for name, value in machine if value is not None]
    return " ".join([command, "--resume", shlex.quote(str(folder)), *flags])


def open_run(config: Config, record: dict[str, Any], again: bool) -> tuple[Path, IO[str]]:
    """The run's folder, a new one but with --resume, and the claim on it; see depth.runs.run_folder.create_run."""
    log = config.log
    if log.resume:
        return Path(log.resume), claim_run(Path(log.resume))
    return create_run(log.log_dir, log.model_name, run_name(config), record, again)


def keep_changes(config: Config, folder: Path) -> None:
    """Writes what may change into the record of a run that goes on: whoever resumes it next goes on with that.

    After its checkpoint was accepted: a resume that is refused leaves the record as it was.
    """
    if not config.log.resume:
        return
    kept = read_run(folder)
    for group, names in _MAY_CHANGE.items():
        values = {name: getattr(getattr(config, group), name) for name in names}
        kept.setdefault("config", {}).setdefault(group, {}).update(values)
    write_file(folder / "config.json", json.dumps(kept, indent=2).encode())


def next_steps(config: Config, folder: Path, world_size: int, stopped_at: int | None) -> str:
    """The end of a training's output: what to type next. `stopped_at` is the step after which a signal ended it."""
    if stopped_at is not None:
        return f"stopped after step {stopped_at} and saved; go on with: {resume_command(config, folder, world_size)}"
    quoted, data = shlex.quote(str(folder)), config.data
    path = shlex.quote(str(Path(data.data_path or "")))
    if data.dataset == "video":
        return f"done: {folder}\npredict: python predict.py {path} --checkpoint {quoted}"
    # Depth from video has no unit: evaluate_dense.py leaves it out.
    ways = {"evaluate_dense.py": config.tasks.labelled, "evaluate_depth.py": config.tasks.video}
    scripts = [script for script, asked in ways.items() if asked]
    flags = " --dataset frames" if data.dataset == "frames" else ""
    flags += f" --data_path {path}" if data.data_path else ""
    lines = [f"evaluate: python {script} --load_weights_folder {quoted}{flags}" for script in scripts]
    return "\n".join([f"done: {folder}", *lines])

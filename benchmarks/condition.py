"""The oracle: what is a regeneration module able to make of a perfect C, and of one that hides the image in it?

    python benchmarks/condition.py
    python benchmarks/condition.py --edits bandstop --modules additive --designs plain bends --seeds 3
    python benchmarks/condition.py --run runs/NAME
    python benchmarks/condition.py --share 0/2

A module is trained alone on the embedded world, half a minute a cell on one core, with C = nothing, the true disparity,
classes, normals, all of them, the truth with some of the image's texture in it, the grey image; and measured on test
drives. A design of the branch deserves a training of the network where the truth helps and texture does not. With
--run, C is also what a half-trained depth network predicts, and the table says whether the gradient on it points to
the truth. Finished cells are kept: the same command goes on, and --share I/N does every N-th cell, for one process a
core. --out gets condition.json, condition.md and cells/.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.oracle.agreement import agreement
from benchmarks.oracle.cell import Cell, Schedule, measure_module, train_module
from benchmarks.oracle.conditions import CONDITIONS, PREDICTION, condition_of
from benchmarks.oracle.designs import DESIGNS
from benchmarks.oracle.scenes import load_scenes
from benchmarks.oracle.table import markdown, summary
from benchmarks.record import as_json, write_record
from datasets.locate import default_cache_dir, find_data
from datasets.world.making import WorldSpec
from depth.losses.perceptual import PerceptualLoss
from depth.options.dejavu import DejaVuOptions, scheduled
from depth.runs.run_folder import versions
from depth.support.cli import parse, run
from depth.support.files import make_folder, write_file
from depth.trained import load_trained
from depth.types import UserError

WORLD = WorldSpec(labels=True, val_drives=8, test_drives=16)  # the ablation's
_NETWORKS_RATE = 2e-4  # --learning_rate on the embedded world


@dataclass(frozen=True)
class Options:
    """Which cells, and how long each is trained."""

    edits: tuple[str, ...] = ("bandstop", "blocks")
    """Names of --edit."""
    modules: tuple[str, ...] = ("additive",)
    """Names of --crm, auto among them; each learns at its default rate."""
    designs: tuple[str, ...] = ("plain",)
    """How C is shown to the module, see benchmarks/oracle/designs.py."""
    conditions: tuple[str, ...] = tuple(CONDITIONS)
    """What C is, see benchmarks/oracle/conditions.py."""
    run: str | None = None
    """A run or checkpoint of train.py, whose predictions are one more C."""
    seeds: int = 3
    """Runs of each cell, with seeds 0, 1, ..."""
    steps: int = 480
    """Optimiser steps of every cell, of 4 frames each."""
    height: int = 64
    """Rows of the frames, pixels."""
    width: int = 224
    """Columns of the frames, pixels."""
    lpips: float = 0.1
    """beta, the weight of LPIPS in what a module learns; with 0 a cell takes half the time."""
    lpips_net: str = "squeeze"
    """Trunk of LPIPS, which is measured in any case."""
    lpips_weights: str = "pretrained"
    """pretrained, random, or a file with the trunk's state dict."""
    out: str = "runs/condition"
    """Folder of the results."""
    share: str = "0/1"
    """I/N: every N-th cell, from the I-th on."""
    cache_dir: str | None = None
    """Folder of the embedded world. Default: $DEJAVU_CACHE, then ~/.cache/dejavu-depth."""

    @property
    def cells(self) -> list[Cell]:
        """All of them, seed by seed, so that a run that is cut short has whole ones."""
        conditions = self.conditions + ((PREDICTION,) if self.run else ())
        axes = (range(self.seeds), self.edits, self.modules, self.designs, conditions)
        return [Cell(edit, crm, design, condition, seed) for seed, edit, crm, design, condition in product(*axes)]

    def __post_init__(self) -> None:
        for name, known in (("designs", DESIGNS), ("conditions", CONDITIONS)):
            unknown = sorted(set(getattr(self, name)) - set(known))
            if unknown:
                raise UserError(f"--{name} {unknown[0]}: choose of {'; '.join(known)}")
        share, _, count = self.share.partition("/")
        if not (share.isdecimal() and count.isdecimal() and int(share) < int(count)):
            raise UserError(f"--share {self.share} is not I/N with I below N, e.g. 0/2")
        if self.seeds < 1 or self.steps < 1:
            raise UserError("--seeds and --steps are 1 or more")


def main() -> None:
    """Trains this process's share of the cells and writes the tables. Raises UserError for bad flags."""
    options = parse(Options, __doc__)
    out = Path(options.out)
    make_folder(out / "cells")
    share, count = map(int, options.share.split("/"))
    todo = [cell for cell in options.cells[share::count] if load_cell(options, cell) is None]
    if todo:
        run_cells(options, todo)
    found = [result for cell in options.cells if (result := load_cell(options, cell)) is not None]
    record = {"options": asdict(options), "versions": versions(), "summary": summary(found), "cells": found}
    write_record(out / "condition", record, markdown(found, options.steps))
    print(f"table: {out / 'condition.md'}, {len(found)} of {len(options.cells)} cells")


def run_cells(options: Options, todo: list[Cell]) -> None:
    """Trains and measures cells, and keeps each one's result."""
    place = find_data(None, "synthetic", Path(options.cache_dir) if options.cache_dir else default_cache_dir(), WORLD)
    train, test = (load_scenes(place, part, options.height, options.width) for part in ("train", "test"))
    perceptual = PerceptualLoss(options.lpips_net, options.lpips_weights)
    depth_net = load_trained(Path(options.run)).depth_net if options.run else None
    for number, cell in enumerate(todo, 1):
        schedule = schedule_of(options, cell)
        seen, unseen = (condition_of(cell.condition, scenes, depth_net) for scenes in (train, test))
        branch = train_module(cell, schedule, train, seen, perceptual)
        result = asdict(cell) | measure_module(branch, cell.design, test, unseen, perceptual)
        if cell.condition == PREDICTION:
            truth = condition_of("disparity", test, None)
            result |= agreement(branch, cell.design, test, unseen, truth, schedule, perceptual)
        result |= {"settings": settings_of(options, cell), "machine": versions()["machine"]}
        write_file(_path(options, cell), as_json(result))
        print(f"[{number}/{len(todo)}] {cell.name}: {result['mse']:.5f} of {result['mse_redacted']:.5f}", flush=True)


def schedule_of(options: Options, cell: Cell) -> Schedule:
    """The module's default rate on the embedded world."""
    rate = scheduled(DejaVuOptions(crm=cell.crm), 1, _NETWORKS_RATE).crm_learning_rate
    return Schedule(steps=options.steps, learning_rate=rate, lpips=options.lpips)


def settings_of(options: Options, cell: Cell) -> dict[str, Any]:
    """What decides a result beside the cell itself."""
    same = {name: getattr(options, name) for name in ("height", "width", "lpips_net")}
    weights = Path(options.lpips_weights).name
    run = {"run": _fingerprint(Path(options.run))} if cell.condition == PREDICTION else {}
    return same | {"lpips_weights": weights} | run | asdict(schedule_of(options, cell))


@lru_cache
def _fingerprint(run: Path) -> str:
    """Of its depth network: runs share names, and one that is trained on keeps its name."""
    digest = hashlib.sha256()
    for value in load_trained(run).depth_net.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:12]


def load_cell(options: Options, cell: Cell) -> dict[str, Any] | None:
    """A finished cell's result; None where there is none. Raises UserError where it has other settings."""
    path = _path(options, cell)
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}): remove it") from None
    if result.get("settings") != settings_of(options, cell):
        raise UserError(f"{path} was made with other settings: choose another --out, or remove it")
    return result


def _path(options: Options, cell: Cell) -> Path:
    return Path(options.out) / "cells" / f"{cell.name}.json"


if __name__ == "__main__":
    torch.set_num_threads(1)  # a cell is small: processes share cores better than threads do
    run(main)

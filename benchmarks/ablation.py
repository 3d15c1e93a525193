"""Trains a grid of models and says which differences to the baseline are more than chance.

    python benchmarks/ablation.py --grid edits --seeds 3 --steps 2000 --use_stereo
    python benchmarks/ablation.py --grid edits --seeds 3 --steps 2000 --use_stereo --part val
    python benchmarks/ablation.py --grid edits --seeds 3 --steps 2000 --use_stereo --share 0/2 --device cuda:0
    python benchmarks/ablation.py --grid controls --steps 243 --tasks semantics --dataset synthetic

Depth from video is trained and measured on the embedded world, against its exact depth; tasks from labels on whatever
labelled set is given.

Every flag of train.py may be given: it holds for all cells. A cell that is finished is kept, one that was interrupted
goes on; the same command does both. --share I/N does every N-th run, for one process a GPU; call it once more without
for the tables. All runs have equal steps, and the same frames in the same order for a seed. Written to --out:
<grid>_<part>.json, .md and .png; runs are in cells/, shared by the grids.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.cells.cell import last_checkpoint, plain_settings, settings_of, train_cell, trained_with
from benchmarks.cells.dense_measure import DenseMeasure
from benchmarks.cells.depth_measure import DepthMeasure
from benchmarks.cells.grids import GRIDS, Cell
from benchmarks.cells.measure import Measure, Part
from benchmarks.cells.table import difference, figure, headlines, markdown
from benchmarks.record import as_json, write_record
from datasets.locate import DataPlace, default_cache_dir
from datasets.tools.command import Parser
from depth.evaluation.report import DATASETS
from depth.options.config import Config, resolved
from depth.options.presets import parse_training
from depth.runs.run_folder import versions
from depth.support.cli import run
from depth.support.distributed import Process, choose_device
from depth.support.files import make_folder, write_file
from depth.types import UserError


@dataclass(frozen=True)
class Plan:
    """What is run."""

    grid: str
    seeds: int
    steps: int
    part: Part
    out: Path
    share: tuple[int, int]
    leave_out: tuple[str, ...]

    @property
    def cells(self) -> list[Cell]:
        """The grid's, without those that are left out."""
        return [cell for cell in GRIDS[self.grid] if cell.label not in self.leave_out]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs this process's share of the grid and writes the tables. Raises UserError for bad flags and settings."""
    plan, config = parse_plan(arguments)
    make_folder(plan.out)  # complains before a world is rendered
    measure = DenseMeasure(config) if config.tasks.labelled else DepthMeasure()
    cache_dir = Path(config.data.cache_dir) if config.data.cache_dir else default_cache_dir()
    place = measure.place(config, cache_dir)
    config = common_config(config, plan, place, measure)
    process = Process(0, 1, choose_device(config.train.device))
    if not run_grid(plan, config, place, measure, process):
        sys.exit(130)
    print(*write_tables(plan, config, place, measure), sep="\n")


def parse_plan(arguments: Sequence[str] | None = None) -> tuple[Plan, Config]:
    """The flags of this command and, of the rest, those of train.py. Raises UserError for what neither knows."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # A flag of train.py must not be taken for the beginning of one of these.
    parser.allow_abbrev = False
    parser.add_argument("--grid", required=True, choices=GRIDS)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each cell, with seeds 0, 1, ... (default 3)")
    parser.add_argument("--steps", type=int, default=2000, help="optimiser steps of every run (default 2000)")
    parser.add_argument("--part", choices=("val", "test"), default="test", help="drives to measure on (default test)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder (default runs/ablation)")
    parser.add_argument("--share", default="0/1", help="I/N: every N-th run, from the I-th on (default 0/1)")
    parser.add_argument("--leave_out", nargs="*", default=[], metavar="CELL", help="labels of cells, e.g. TS")
    own, rest = parser.parse_known_args(arguments)
    labels = {cell.label for cell in GRIDS[own.grid]}
    unknown = sorted(set(own.leave_out) - labels)
    if unknown:
        raise UserError(f"--leave_out {unknown[0]}: grid {own.grid} has {', '.join(sorted(labels))}")
    if own.seeds < 1 or own.steps < 1:
        raise UserError("--seeds and --steps are 1 or more")
    share, _, count = own.share.partition("/")
    if not (share.isdecimal() and count.isdecimal() and int(share) < int(count)):
        raise UserError(f"--share {own.share} is not I/N with I below N, e.g. 0/2")
    plan = Plan(
        own.grid, own.seeds, own.steps, own.part, own.out, (int(share), int(count)), tuple(own.leave_out)
    )  # fmt: skip
    config = parse_training("", rest, of_one=False)
    if config.dejavu.dejavu or config.dejavu.dejavu_attention or config.log.resume or config.train.max_steps:
        raise UserError("--dejavu, --dejavu_attention, --resume and --max_steps are the grid's to choose")
    return plan, config


def common_config(config: Config, plan: Plan, place: DataPlace, measure: Measure) -> Config:
    """The settings of all cells: the place's data, and as many epochs as the steps take."""
    if place.own is None:
        config = replace(config, data=replace(config.data, data_path=str(place.root), dataset=place.kind))
    steps_per_epoch = max(1, measure.training_images(config, place) // resolved(config).train.batch_size)
    train = replace(config.train, max_steps=plan.steps, num_epochs=math.ceil(plan.steps / steps_per_epoch))
    return replace(config, train=train)


def run_grid(plan: Plan, common: Config, place: DataPlace, measure: Measure, process: Process) -> bool:
    """Trains and measures this process's share; False where a signal ended it.

    Raises UserError where a cell's folder was made with other settings.
    """
    todo = [(cell, seed) for seed in range(plan.seeds) for cell in plan.cells]
    mine = todo[plan.share[0] :: plan.share[1]]
    for number, (cell, seed) in enumerate(mine, 1):
        config = _seeded(cell, common, seed)
        if load_result(plan, cell, config, seed) is not None:
            continue
        folder = _folder(plan, cell, seed)
        print(f"[{number}/{len(mine)}] {cell.label}, seed {seed}: {folder}", flush=True)
        seconds = train_cell(config, folder, process)
        if seconds is None:
            return False
        result = measure.result(config, folder, place, plan.part, process.device)
        result |= {"settings": settings_of(config), "versions": versions(), "steps": last_checkpoint(folder / "run")[1]}
        result |= {"cell": cell.name, "seed": seed, "part": plan.part, "train_seconds": seconds}
        write_file(folder / f"result_{plan.part}.json", as_json(result))
    return True


def _seeded(cell: Cell, common: Config, seed: int) -> Config:
    config = cell.config(common)
    return replace(config, train=replace(config.train, seed=seed))


def _folder(plan: Plan, cell: Cell, seed: int) -> Path:
    return plan.out / "cells" / f"{cell.name}-seed{seed}"


def load_result(plan: Plan, cell: Cell, config: Config, seed: int) -> dict[str, Any] | None:
    """A finished cell's result; None where there is none. Raises UserError where it has other settings."""
    path = _folder(plan, cell, seed) / f"result_{plan.part}.json"
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}): remove it") from None
    if not trained_with(result.get("settings", {}), config):
        raise UserError(f"{path} was made with other settings: choose another --out, or remove its folder")
    return result


def write_tables(plan: Plan, common: Config, place: DataPlace, measure: Measure) -> list[str]:
    """Writes JSON, Markdown and figure from what is finished; returns lines that say where, and what is missing."""
    results: dict[str, list[dict[str, Any]]] = {}
    missing = 0
    for cell in plan.cells:
        each = [load_result(plan, cell, _seeded(cell, common, seed), seed) for seed in range(plan.seeds)]
        results[cell.label] = [result for result in each if result is not None]
        missing += each.count(None)
    finished = [result for each in results.values() for result in each]
    prior = measure.prior(common, place, plan.part, finished)
    title = f"Ablation {plan.grid}, {plan.part} part of {DATASETS.get(place.kind, place.kind)}"
    # The runs' machines: this process, which only writes, may have another number of threads.
    machines = sorted({result["versions"]["machine"] for result in finished})
    images = f", {len(finished[0]['per_image']['name'])} images" if finished else ""
    note = (
        f"{plan.steps} steps, {plan.seeds} seeds{images}, {measure.means}; mean ± standard deviation over seeds. "
        f"Machine: {'; '.join(machines)}."
    )
    stem = plan.out / f"{plan.grid}_{plan.part}"
    record = _record(plan, common, results, measure) | {"constant_prior": _means([prior] if prior else [], measure)}
    write_record(stem, record, markdown(title, note, measure.columns, plan.cells, results, prior))
    panels = {name: measure.columns[name] for name in measure.drawn}
    drawn = figure(stem.with_suffix(".png"), title, panels, plan.cells, results)
    lines = [f"table: {stem}.md", f"results: {stem}.json"]
    lines.append(f"figure: {stem}.png" if drawn else "no figure: it needs matplotlib, pip install -e '.[bench]'")
    return lines + ([f"{missing} runs are not finished yet"] if missing else [])


def _record(
    plan: Plan, common: Config, results: Mapping[str, Sequence[dict[str, Any]]], measure: Measure
) -> dict[str, Any]:
    record = {
        "command": "python benchmarks/ablation.py " + " ".join(sys.argv[1:]),
        "plan": asdict(plan) | {"out": str(plan.out)},
        "versions": versions(),
        "common": plain_settings(common),
        "cells": {},
    }
    for cell in plan.cells:
        found = results[cell.label]
        against = results.get(cell.against, []) if cell.against else []
        record["cells"][cell.label] = {
            "changes": {group: dict(values) for group, values in cell.changes.items()},
            "seeds": [result["seed"] for result in found],
            "machines": sorted({result["versions"]["machine"] for result in found}),
            "inference_parameters": found[0]["inference_parameters"] if found else None,
            "means": _means(found, measure),
            "against": cell.against,
            "differences": {m: difference(found, against, m) for m in (measure.columns if against else ())},
            "gradients": [result["gradients"] for result in found],
        }
    return record


def _means(results: Sequence[Mapping[str, Any]], measure: Measure) -> dict[str, list[float]]:
    return {metric: headlines(results, metric) for metric in measure.columns}


if __name__ == "__main__":
    run(main)

"""What a trained branch regenerates on frames that it never saw: the figures of a validation, over a whole part.

    python benchmarks/regeneration.py --runs runs/A runs/B
    python benchmarks/regeneration.py --runs runs/A --part val --out runs/regeneration

Every run is measured on its own data set's part, with the module of its last checkpoint, whose gamma counts in full:
mean squared error and perceptual distance of the edited and of the regenerated frame against the clean one, the error
with C replaced by its mean, and whether C's details are the image's. --out gets regeneration.json and regeneration.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.record import write_record
from datasets.core.images import read_image, resize_image
from datasets.labelled_sets import open_place
from datasets.locate import default_cache_dir, find_data
from datasets.sets import open_source, split_frames
from datasets.world.making import DEFAULT_WORLD, LABELLED_WORLD
from depth.build import build_objective
from depth.dense.building import build_dense_objective
from depth.objective import SelfSupervisedObjective
from depth.options.config import Config, encoders_from_scratch
from depth.runs.checkpoint import find_checkpoint, load_checkpoint, load_weights
from depth.runs.contents import config_of
from depth.runs.run_folder import versions
from depth.support.cli import parse, run
from depth.types import UserError

_AT_ONCE = 4
_FIGURES = ("redacted", "regenerated", "regenerated_without_c", "texture", "texture_growth")


@dataclass(frozen=True)
class Options:
    """Which runs, on which frames."""

    runs: tuple[str, ...]
    """Runs of train.py with --dejavu."""
    part: Literal["val", "test"] = "test"
    """Of the run's own split."""
    data_path: str | None = None
    """The data set. Default: the embedded world."""
    out: str = "runs/regeneration"
    """Stem of the JSON and the table."""
    cache_dir: str | None = None
    """Folder of the embedded world. Default: $DEJAVU_CACHE, then ~/.cache/dejavu-depth."""


def main() -> None:
    """Measures the runs, one row each. Raises UserError for a run without a branch, or data that is not there."""
    options = parse(Options, __doc__)
    rows = [measure_run(Path(each), options) for each in options.runs]
    record = {"options": asdict(options), "versions": versions(), "runs": rows}
    write_record(Path(options.out), record, markdown(rows))
    print(markdown(rows))


def measure_run(home: Path, options: Options) -> dict[str, Any]:
    """Figures of a run: means over the part's frames."""
    path = find_checkpoint(home, "last")
    state = load_checkpoint(path)
    config = config_of(state, path)
    if not config.dejavu.dejavu:
        raise UserError(f"{home} was trained without --dejavu: it has no module to measure")
    objective = trained_objective(config, state, path)
    files = frame_files(config, str(state["dataset"]), options)
    sums = dict.fromkeys((*_FIGURES, "perceptual_redacted", "perceptual"), 0.0)
    torch.manual_seed(0)  # of edits and noise
    for first in range(0, len(files), _AT_ONCE):
        for name, value in figures(objective, files[first : first + _AT_ONCE], config).items():
            sums[name] += value
    means = {name: total / len(files) for name, total in sums.items()}
    return {
        "run": home.name, "edit": config.dejavu.edit, "frames": len(files), "step": state["progress"]["step"],
        "distance": config.dejavu.perceptual, **means,
    }  # fmt: skip


def trained_objective(config: Config, state: dict[str, Any], path: Path) -> SelfSupervisedObjective:
    """Networks, branch and distances as they were trained, in evaluation mode."""
    fresh = encoders_from_scratch(config)
    objective = build_dense_objective(fresh, state.get("classes")) if config.tasks.labelled else build_objective(fresh)
    load_weights(objective, state["objective"], "model", path)
    if objective.perceptual is None:
        raise UserError(f"{path.parent.parent} was trained with --dejavu_lpips 0: there is no distance to measure by")
    return objective.eval()


def frame_files(config: Config, dataset: str, options: Options) -> list[Path]:
    """The part's images."""
    world = LABELLED_WORLD if config.tasks.labelled else DEFAULT_WORLD
    cache_dir = Path(options.cache_dir) if options.cache_dir else default_cache_dir()
    place = find_data(options.data_path, dataset, cache_dir, world)
    if config.tasks.labelled:
        source = open_place(place)
        return [source.image_path(name) for name in source.images(options.part)]
    refs = split_frames(place, config.data.split, options.part)
    source = open_source(place, refs)
    return [source.image_path(ref) for ref in refs]


@torch.no_grad()
def figures(objective: SelfSupervisedObjective, files: Sequence[Path], config: Config) -> dict[str, float]:
    """Sums over these frames."""
    images = [resize_image(read_image(file), config.data.height, config.data.width) for file in files]
    target = torch.stack(images).float() / 255
    found = objective.diagnose_branch(target)
    shown = objective.dejavu(target, objective.condition_of(target))
    values = {name: found[name] for name in _FIGURES}
    values["perceptual_redacted"] = objective.perceptual(shown.redacted, target).item()
    values["perceptual"] = objective.perceptual(shown.regenerated, target).item()
    return {name: value * len(files) for name, value in values.items()}


def markdown(rows: list[dict[str, Any]]) -> str:
    """A row a run: errors over those of the edited frame."""
    lines = [
        "| run | edit | frames | edited frame, squared error | regenerated, of it | with C's mean | distance, of it "
        "| texture in C | its growth |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        left = row["redacted"]
        lines.append(
            f"| {row['run']} | {row['edit']} | {row['frames']} | {left:.4f} | {row['regenerated'] / left:.3f} "
            f"| {row['regenerated_without_c'] / left:.3f} | {row['perceptual'] / row['perceptual_redacted']:.3f} "
            f"({row['distance']}) | {row['texture']:.3f} | {row['texture_growth']:+.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)

"""What evaluate_dense.py leaves: tables for the terminal, metrics.json, metrics.md, and a CSV with a row per image."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depth.evaluation.report import table, title, trained_on, write_tables
from depth.tasks.base import Task
from depth.types import UserError

Results = Mapping[str, Mapping[str, float]]  # task -> figure -> value


@dataclass(frozen=True)
class DenseReport:
    """Results and what is needed to say where they come from."""

    tasks: Mapping[str, Task]
    results: Results
    names: Sequence[str]  # of the images
    rows: Sequence[Mapping[str, float]]  # the images' own figures, <task>/<figure>
    dataset: str  # stands in everything that is written
    split: str
    model: str  # path of the checkpoint
    images_in_split: int
    trained_on: str | None = None
    constant: Results = field(default_factory=dict)  # the best prediction that never looks at the image
    gain: float | None = None  # multi-task gain, a share
    against: Sequence[str] = ()  # the single-task runs that the gain is over
    details: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None  # which one of the run, and how a best one was chosen, in words

    def extremes(self, task: str) -> dict[str, int]:
        """Places of the best, the median and the worst image by the task's first figure, by those names."""
        judge, figures = self.tasks[task].judge, self.tasks[task].figures[0]
        known = [i for i, row in enumerate(self.rows) if not math.isnan(row[f"{task}/{figures}"])]
        known.sort(key=lambda i: judge({figures: self.rows[i][f"{task}/{figures}"]}))
        return {"best": known[0], "median": known[len(known) // 2], "worst": known[-1]} if known else {}


def multi_task_gain(tasks: Mapping[str, Task], results: Results, single: Results) -> float:
    """Mean over tasks of how much better the tasks' leading figure is than the single-task run's, as a share.

    (Vandenhende et al., TPAMI 2021: (1/T) sum (-1)^l (M - B) / B, l = 1 where lower is better.) Depth is held by its
    RMSE and normals by their mean angle, as in the field.
    """
    gains = []
    for name, task in tasks.items():
        own, other = results[name][task.compared], single[name][task.compared]
        gains.append((own - other) / other * (1 if task.higher_is_better else -1))
    return sum(gains) / len(gains)


def read_single(
    places: Sequence[Path], tasks: Collection[str], dataset: str, split: str, images: int
) -> dict[str, dict[str, float]]:
    """The results of single-task evaluations of the same images, by task.

    Args:
        places: metrics.json files, folders with one, or runs that were evaluated on the same split.
        tasks: names of those that are wanted.
        dataset, split, images: which images, and how many, they must be of.

    Raises:
        UserError: a file is not there or not such an evaluation, of other images, or of a run of several tasks, or a
            task is missing or twice there.
    """
    found: dict[str, dict[str, float]] = {}
    for place in places:
        path = _metrics_file(place, split)
        try:
            values = json.loads(path.read_text())
            same = values["dataset"], values["split"], values["images"]
            asked = values["trained"]["config"]["tasks"]["tasks"]
            # A run for panoptic alone predicts semantics beside it, which is not what it is held against for.
            theirs = {name: values["metrics"][name] for name in asked if name in tasks and name in values["metrics"]}
        except OSError as error:
            raise UserError(f"--against: {path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise UserError(f"--against: {path} is not what evaluate_dense.py writes") from None
        if same != (dataset, split, images):
            raise UserError(f"--against: {path} is of {same[0]}, {same[1]}, {same[2]} images: not of the same images")
        if len(asked) > 1:
            raise UserError(f"--against: {path} is of a run of {', '.join(asked)}: name runs of one task each")
        twice = sorted(found.keys() & theirs.keys())
        if twice:
            raise UserError(f"--against: {' and '.join(twice)} in more than one of the runs")
        found |= theirs
    missing = [name for name in tasks if name not in found]
    if missing:
        raise UserError(f"--against: none of the runs has {' and '.join(missing)}")
    return found


def _metrics_file(place: Path, split: str) -> Path:
    if place.is_file():
        return place
    own = place / "metrics.json"
    return own if own.is_file() else place / f"dense_{split}" / "metrics.json"


def protocol_line(report: DenseReport) -> str:
    """All that a number must carry in one line."""
    count = len(report.names)
    whole = count == report.images_in_split
    parts = [f"{report.split} part", f"{count} images" if whole else f"{count} of {report.images_in_split} images"]
    parts.append("figures of the whole set at the labels' size, no mean over images")
    if report.trained_on and report.trained_on != report.dataset:
        parts.append(trained_on(report.trained_on))
    return ", ".join(parts)


def summary(report: DenseReport) -> str:
    """All that is printed: title, model, a table a task, the classes' IoU or PQ, the multi-task gain."""
    model = ", ".join(filter(None, [report.model, report.checkpoint]))
    lines = [title(report.dataset), f"Model: {model}", protocol_line(report)]
    for name, task in report.tasks.items():
        rows = [(name, *task.figures)]
        for label, results in (("model", report.results), ("constant", report.constant)):
            if name in results:
                rows.append((label, *(f"{results[name][figure]:.4f}" for figure in task.figures)))
        lines += ["", table(rows)]
        classes = [(key.partition("/")[2], value) for key, value in report.results[name].items() if "/" in key]
        if classes:
            lines += ["", f"{name}: " + ", ".join(f"{label} {value:.3f}" for label, value in classes)]
    if report.gain is not None:
        lines += ["", f"Multi-task gain over {', '.join(report.against)}: {100 * report.gain:+.2f} %"]
    return "\n".join(lines)


def write_report(report: DenseReport, folder: Path) -> list[Path]:
    """Writes an evaluation's three files into a folder, which is made; returns their paths, see `write_tables`."""
    return write_tables(folder, _to_plain(report), summary(report), _per_image_csv(report))


def _to_plain(report: DenseReport) -> dict[str, Any]:
    return {
        "dataset": report.dataset,
        "title": title(report.dataset),
        "split": report.split,
        "images": len(report.names),
        "images_in_split": report.images_in_split,
        "model": report.model,
        "metrics": {name: _known(values) for name, values in report.results.items()},
        "constant": {name: _known(values) for name, values in report.constant.items()},
        "multi_task_gain": report.gain,
        "against": list(report.against),
        **report.details,
    }


def _known(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: what has no value is null."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _per_image_csv(report: DenseReport) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    figures = list(report.rows[0])
    writer.writerow(["dataset", "split", "index", "name", *figures])
    for index, (name, row) in enumerate(zip(report.names, report.rows, strict=True)):
        writer.writerow([report.dataset, report.split, index, name, *(f"{row[figure]:.6g}" for figure in figures)])
    return text.getvalue()

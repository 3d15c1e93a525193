"""What evaluations leave: a table for the terminal, metrics.json, metrics.md, and a CSV with a row per image."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from depth.evaluation.metrics import METRICS, EvaluationResult
from depth.support.files import make_folder, write_file

DATASETS = {"kitti": "KITTI", "synthetic": "the embedded world", "video": "own footage", "frames": "a manifest"}
HEADINGS = ("Abs Rel", "Sq Rel", "RMSE", "RMSE log", "d < 1.25", "d < 1.25^2", "d < 1.25^3")


@dataclass(frozen=True)
class Report:
    """A result and what is needed to say where it comes from."""

    result: EvaluationResult
    dataset: str  # "kitti", "synthetic" or "frames"; stands in everything that is written
    split: str
    model: str  # path of the checkpoint or of the stored disparities
    images_in_split: int  # of the split's file, whether or not they are there or have ground truth
    post_processed: bool = False
    trained_on: str | None = None  # as --dataset names it; None where it is not known
    baselines: Mapping[str, EvaluationResult] = field(default_factory=dict)  # name -> result on the same images
    details: Mapping[str, Any] = field(default_factory=dict)  # plain values for metrics.json: config, seed, versions
    checkpoint: str | None = None  # which one of the run, and how a best one was chosen, in words


def title(dataset: str) -> str:
    """One line that no reader of a synthetic result can take for KITTI's."""
    if dataset == "synthetic":
        return "SYNTHETIC embedded world, NOT KITTI: compare with nothing but itself"
    return f"Dataset {dataset}"


def trained_on(dataset: str | None) -> str:
    """A model's training data in words, "trained on the embedded world"; "" where it is not known."""
    return f"trained on {DATASETS.get(dataset, dataset)}" if dataset else ""


def protocol_line(report: Report) -> str:
    """All that a number must carry in one line.

    Split, images (of how many, where some are left out), mask, cap, scaling, post-processing, and the dataset of the
    training where it is another one.
    """
    result, count = report.result, len(report.result.rows)
    parts = [
        f"split {report.split}",
        f"{count} images" if count == report.images_in_split else f"{count} of {report.images_in_split} images",
        result.protocol.description,
        f"cap {result.protocol.max_depth:g} m",
        "median scaling" if result.scaling.median else "no median scaling",
    ]
    if result.scaling.factor != 1:
        parts.append(f"depths times {result.scaling.factor:g}")
    if report.post_processed:
        parts.append("post-processed")
    if report.trained_on and report.trained_on != report.dataset:
        parts.append(trained_on(report.trained_on))
    return ", ".join(parts)


def metrics_table(report: Report) -> str:
    """Means over images of the model and the baselines, as a `table`: the protocol's figures."""
    figures = report.result.protocol.figures or METRICS
    headings = dict(zip(METRICS, HEADINGS, strict=True))
    lines = [(report.dataset, *(headings.get(figure, figure) for figure in figures))]
    for name, result in {"model": report.result, **report.baselines}.items():
        lines.append((name, *(f"{result.means[figure]:.3f}" for figure in figures)))
    return table(lines)


def table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown with columns that line up in a terminal too; the first line is the head, the first column names."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [f"| {' | '.join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])} |" for line in lines]
    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([rows[0], rule, *rows[1:]])


def summary(report: Report) -> str:
    """All that is printed: title, model, protocol, table, scale ratios, and what was left out."""
    result = report.result
    ratios = "Scale ratios" if result.scaling.median else "Scale ratios (not applied)"
    lines = [
        title(report.dataset),
        f"Model: {', '.join(filter(None, [report.model, report.checkpoint]))}",
        protocol_line(report),
        "",
        metrics_table(report),
        "",
        f"{ratios}: median {result.ratio_median:.3f}, standard deviation / median {result.ratio_spread:.3f}",
    ]
    if result.skipped:
        lines.append(f"Left out, no valid ground-truth pixel: {len(result.skipped)} images, e.g. {result.skipped[0]}")
    return "\n".join(lines)


def write_report(report: Report, folder: Path) -> list[Path]:
    """Writes an evaluation's three files into a folder, which is made; returns their paths, see `write_tables`."""
    return write_tables(folder, _to_plain(report), summary(report), _per_image_csv(report))


def write_tables(folder: Path, plain: dict[str, Any], text: str, per_image: str) -> list[Path]:
    """Writes metrics.json, metrics.md and per_image.csv into a folder, which is made; returns their paths.

    Raises UserError where the folder cannot be written, ValueError for a number that is not finite.
    """
    make_folder(folder)
    contents = {
        "metrics.json": json.dumps(plain, indent=2, allow_nan=False) + "\n",
        "metrics.md": text + "\n",
        "per_image.csv": per_image,
    }
    for name, content in contents.items():
        write_file(folder / name, content.encode())
    return [folder / name for name in contents]


def _to_plain(report: Report) -> dict[str, Any]:
    result = report.result
    return {
        "dataset": report.dataset,
        "title": title(report.dataset),
        "split": report.split,
        "images": len(result.rows),
        "images_in_split": report.images_in_split,
        "skipped": list(result.skipped),
        "model": report.model,
        "metrics": result.means,
        "baselines": {name: baseline.means for name, baseline in report.baselines.items()},
        "protocol": asdict(result.protocol),
        "scaling": {
            **asdict(result.scaling),
            "ratio_median": result.ratio_median,
            "ratio_standard_deviation_over_median": result.ratio_spread,
        },
        **report.details,
    }


def _per_image_csv(report: Report) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "split", "index", "name", *report.result.metrics, "scale_ratio", "pixels"])
    for row in report.result.rows:
        values = (f"{value:.6g}" for value in (*row.errors, row.ratio))
        writer.writerow([report.dataset, report.split, row.index, row.name, *values, row.pixels])
    return text.getvalue()

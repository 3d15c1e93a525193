"""Compares evaluations of two models image by image: a difference, or noise?

    python -m depth.compare --baseline runs/PLAIN --other runs/DEJAVU
    python -m depth.compare --baseline runs/P0 runs/P1 runs/P2 --other runs/D0 runs/D1 runs/D2

Several runs a side are repeats with other seeds and are paired in the order given. What evaluate_depth.py left in the
runs is read; nothing is predicted again.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth.evaluation.analysis import mean_and_spread, paired_difference
from depth.evaluation.metrics import METRICS
from depth.evaluation.report import HEADINGS, table, title
from depth.options.fields import check
from depth.support.cli import parse
from depth.types import UserError


@dataclass(frozen=True)
class CompareOptions:
    """Which evaluations."""

    baseline: tuple[str, ...]
    """Runs, folders that evaluate_depth.py or evaluate_dense.py wrote, or their per_image.csv."""
    other: tuple[str, ...]
    """As many, of the model that is held against the baseline."""

    def __post_init__(self) -> None:
        counts = len(self.baseline), len(self.other)
        check(
            counts[0] == counts[1] > 0,
            f"--baseline names {counts[0]} evaluations and --other {counts[1]}: they are paired, give as many",
        )


@dataclass(frozen=True)
class Evaluation:
    """One per_image.csv."""

    path: Path
    dataset: str
    split: str
    names: tuple[str, ...]  # of the images, "<drive> <frame> <side>"
    errors: np.ndarray  # float64 (M,C): a row an image, a column a metric; NaN where an image has none
    metrics: tuple[str, ...] = METRICS  # evaluate_dense.py's are <task>/<figure>, the image's own


def main() -> None:
    options = parse(CompareOptions, __doc__)
    print(compare(*([read_evaluation(Path(p)) for p in side] for side in (options.baseline, options.other))))


def read_evaluation(place: Path) -> Evaluation:
    """The per-image errors at a place.

    Args:
        place: per_image.csv, a folder with one, or a run with a single evaluation.

    Raises:
        UserError: there is none, there are several, or the file is malformed.
    """
    path = _find(place)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        of_depth = tuple(name for name in (*METRICS, "log10") if name in rows[0])
        metrics = of_depth or tuple(name for name in rows[0] if "/" in name)
        errors = np.array([[float(row[metric]) for metric in metrics] for row in rows])
        names = tuple(row["name"] for row in rows)
        dataset, split = rows[0]["dataset"], rows[0]["split"]
        if not metrics:
            raise KeyError
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except (KeyError, IndexError, TypeError, ValueError, csv.Error):
        raise UserError(f"{path} is not what evaluate_depth.py or evaluate_dense.py writes: evaluate again") from None
    return Evaluation(path, dataset, split, names, errors, metrics)


def _find(place: Path) -> Path:
    if place.is_file():
        return place
    found = [place / "per_image.csv"] if (place / "per_image.csv").is_file() else []
    found = found or sorted([*place.glob("evaluation_*/per_image.csv"), *place.glob("dense_*/per_image.csv")])
    if not found:
        raise UserError(f"{place} holds no evaluation: evaluate_depth.py, or evaluate_dense.py for tasks, makes one")
    if len(found) > 1:
        raise UserError(f"{place} holds {len(found)} evaluations, name one: {', '.join(str(p.parent) for p in found)}")
    return found[0]


def compare(baseline: list[Evaluation], other: list[Evaluation]) -> str:
    """What is printed: both sides' means over images, and the paired difference, for each metric.

    Args:
        baseline, other: as many, paired in their order, of the same images.

    Raises:
        UserError: they are not of the same images.
    """
    first = baseline[0]
    for each in (*baseline, *other):
        if (each.dataset, each.split, each.names) != (first.dataset, first.split, first.names):
            raise UserError(
                f"{each.path} ({each.dataset}, {each.split}, {len(each.names)} images) and {first.path} "
                f"({first.dataset}, {first.split}, {len(first.names)} images) are not of the same images"
            )
    metrics = [name for name in first.metrics if all(name in each.metrics for each in (*baseline, *other))]
    if not metrics:
        raise UserError(f"{first.path} and {other[0].path} have no metric in common")
    drives = [drive_of(name) for name in first.names]
    count = len(set(drives))
    columns = [_column(name, baseline, other, drives) for name in metrics]
    lines = [("", "baseline", "other", "difference", "95 % interval", "0 outside, pairs agree"), *columns]
    if "/" not in first.metrics[0]:  # few and short: a column each
        lines = list(zip(*lines, strict=True))
    drawn = f"drives with all their images ({count})" if count > 1 else "images, for there is one drive: too narrow"
    of_pairs = ", and takes Student's t of the pairs" if len(other) > 1 else ""
    return "\n".join(
        [
            title(first.dataset),
            f"split {first.split}, {len(first.names)} images; {len(baseline)} "
            f"{'pair' if len(baseline) == 1 else 'pairs'}, other less baseline on the same image; ± is the standard "
            f"deviation over pairs; the interval draws {drawn}{of_pairs}",
            "",
            table(lines),
        ]
    )


def _column(
    name: str, baseline: list[Evaluation], other: list[Evaluation], drives: list[str]
) -> tuple[str, str, str, str, str, str]:
    """A metric's name, both sides' means, their difference and what is known of it, over the images that have it."""
    ours, theirs = (np.stack([each.errors[:, each.metrics.index(name)] for each in side]) for side in (other, baseline))
    known = ~np.isnan(ours + theirs).any(0)
    heading = dict(zip(METRICS, HEADINGS, strict=True)).get(name, name)
    if not known.any():
        return heading, *["no image has it"] * 5
    groups = [drive for drive, there in zip(drives, known, strict=True) if there]
    d = paired_difference((ours - theirs)[:, known], groups)
    return (
        heading,
        _spread(*mean_and_spread(theirs[:, known].mean(1))),
        _spread(*mean_and_spread(ours[:, known].mean(1))),
        _spread(d.mean, d.spread, sign="+"),
        f"[{d.low:+.4f}, {d.high:+.4f}]",
        "yes" if d.agree and d.low * d.high > 0 else "no",
    )


def drive_of(name: str) -> str:
    """What an image belongs to: a frame's folder; of a labelled image, the name up to its last _ or /.

    Virtual KITTI's weathers and cameras are one drive: they render one street.
    """
    scene = re.match(r"[Ss]cene\d+(?=/)", name)
    if scene:
        return scene[0]
    return name.rsplit(" ", 2)[0] if " " in name else re.sub(r"[_/][^_/]*$", "", name)


def _spread(mean: float, spread: float, sign: str = "") -> str:
    text = f"{mean:{sign}.4f}"
    return text if np.isnan(spread) else f"{text} ± {spread:.4f}"

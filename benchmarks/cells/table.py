"""A grid's results as Markdown and as a figure: mean ± std over seeds, paired intervals over the drives' images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cells.grids import Cell
from depth.evaluation.analysis import mean_and_spread, paired_difference
from depth.evaluation.compare import drive_of

# A cell's results, one a seed, as benchmarks.cells.measure describes them.
Results = Mapping[str, Sequence[Mapping[str, Any]]]


def image_values(results: Sequence[Mapping[str, Any]], metric: str) -> np.ndarray:
    """(seeds, images) of a metric; NaN where an image has none."""
    return np.array([result["per_image"][metric] for result in results], float)


def seed_means(results: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    """Mean over images for each seed, of the images that have the metric; NaN without any."""
    return [float(np.nanmean(row)) if np.isfinite(row).any() else math.nan for row in image_values(results, metric)]


def headlines(results: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    """The figure of the whole set for each seed; the mean over images where a set has no other."""
    return [result["whole"][metric] if "whole" in result else seed_means([result], metric)[0] for result in results]


def difference(
    results: Sequence[Mapping[str, Any]], baseline: Sequence[Mapping[str, Any]], metric: str
) -> dict[str, float | bool] | None:
    """Cell less baseline: mean and 95 % interval of the images' differences, averaged over seeds, and the spread.

    The interval is over seeds, and over drives with all their images. Seeds are paired: only those that both have
    count. None without a common seed or image. "spread" is the standard deviation of the seeds' mean differences,
    "agree" whether these have one sign.
    """
    theirs = {result["seed"]: result for result in baseline}
    pairs = [(result, theirs[result["seed"]]) for result in results if result["seed"] in theirs]
    if not pairs:
        return None
    ours, others = zip(*pairs, strict=True)
    if any(one["per_image"]["name"] != other["per_image"]["name"] for one, other in pairs):
        raise ValueError("results of different images cannot be paired")
    each = image_values(ours, metric) - image_values(others, metric)
    complete = np.isfinite(each).all(0)
    if not complete.any():
        return None
    each = each[:, complete]
    drives = [drive_of(name) for name, whole in zip(ours[0]["per_image"]["name"], complete, strict=True) if whole]
    return asdict(paired_difference(each, drives))


_HEADING = (
    "Difference to the baseline, mean over images [95 % interval, paired, over seeds and whole drives] ± "
    "standard deviation over seeds (of one seed: over drives alone; of one drive: over images); bold where the "
    "interval leaves 0 out and all seeds have that sign:"
)


def markdown(
    title: str,
    note: str,
    columns: Mapping[str, str],
    cells: Sequence[Cell],
    results: Results,
    prior: Mapping[str, Any],
) -> str:
    """The tables: figures, differences to the baseline, gradients where they were measured."""
    lines = [f"# {title}", "", note, "", _row(["", "seeds", *columns.values()]), _rule(len(columns) + 2)]
    if prior:
        lines.append(_row(["constant prior", "", *(_number(headlines([prior], metric)[0]) for metric in columns)]))
    for cell in cells:
        found = results.get(cell.label, ())
        values = [_spread(*mean_and_spread(headlines(found, m))) if found else "" for m in columns]
        lines.append(_row([cell.label, str(len(found)), *values]))
    lines += ["", _HEADING, ""]
    lines += [_row(["", *columns.values()]), _rule(len(columns) + 1)]
    for cell in cells:
        if cell.against is not None and results.get(cell.label):
            baseline = results.get(cell.against, ())
            lines.append(
                _row([cell.label, *(_interval(difference(results[cell.label], baseline, m)) for m in columns)])
            )
    return "\n".join([*lines, *_gradient_lines(cells, results)]) + "\n"


def _gradient_lines(cells: Sequence[Cell], results: Results) -> list[str]:
    terms = list(dict.fromkeys(t for found in results.values() for result in found for t in result["gradients"]))
    if not terms:
        return []
    lines = ["", "Gradient of each weighted term in the depth network: norm (cosine with the photometric one's):", ""]
    lines += [_row(["", *terms]), _rule(len(terms) + 1)]
    for cell in cells:
        found = results.get(cell.label, ())
        if found:
            lines.append(_row([cell.label, *(_gradient([r["gradients"].get(t) for r in found]) for t in terms)]))
    return lines


def _gradient(values: Sequence[Mapping[str, float] | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    norm, cosine = (float(np.mean([value[key] for value in known])) for key in ("norm", "cosine"))
    return f"{norm:.2g} ({cosine:+.2f})"


def _row(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"


def _rule(count: int) -> str:
    return "|" + "---|" * count


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _spread(mean: float, spread: float) -> str:
    return _number(mean) if math.isnan(spread) else f"{mean:.4f} ± {spread:.4f}"


def _interval(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    text = f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
    text += "" if math.isnan(found["spread"]) else f" ± {found['spread']:.4f}"
    return f"**{text}**" if found["agree"] and (found["low"] > 0 or found["high"] < 0) else text


def figure(path: Path, title: str, drawn: Mapping[str, str], cells: Sequence[Cell], results: Results) -> bool:
    """Differences to the baseline with their intervals, seeds as dots; False without matplotlib.

    drawn: figure -> heading of its panel.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    compared = [c for c in cells if c.against is not None and results.get(c.label) and results.get(c.against)]
    drawing = Figure(figsize=(1 + 3 * max(len(drawn), 2), 1.6 + 0.35 * len(compared)), layout="constrained")
    panels = drawing.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    for panel, (metric, heading) in zip(panels, drawn.items(), strict=True):
        panel.axvline(0, color="0.6", linewidth=1)
        panel.set_title(heading, fontsize=9)
        panel.tick_params(labelsize=8)
        panel.locator_params(axis="x", nbins=4)
        for row, cell in enumerate(compared):
            found = difference(results[cell.label], results[cell.against], metric)
            if found is None:
                continue
            panel.plot([found["low"], found["high"]], [row, row], color="C0", linewidth=3, alpha=0.5)
            panel.plot(found["mean"], row, "o", color="C0", markersize=5)
            paired = {r["seed"]: value for r, value in _with_means(results[cell.against], metric)}
            dots = [v - paired[r["seed"]] for r, v in _with_means(results[cell.label], metric) if r["seed"] in paired]
            panel.plot(dots, [row] * len(dots), ".", color="0.2", markersize=3)
    panels[0].set_yticks(range(len(compared)), [cell.label for cell in compared], fontsize=8)
    panels[0].invert_yaxis()
    drawing.suptitle(
        f"{title}: difference to the baseline, 95 % interval over seeds and drives, seeds as dots", fontsize=9
    )
    drawing.savefig(path, dpi=120)
    return True


def _with_means(results: Sequence[Mapping[str, Any]], metric: str) -> list[tuple[Mapping[str, Any], float]]:
    return list(zip(results, seed_means(results, metric), strict=True))

"""What the cells say: errors relative to the redacted frame, what each C brings, and what texture in it adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from depth.evaluation.analysis import mean_and_spread

Results = Sequence[Mapping[str, Any]]
NONE = "none"


def summary(results: Results) -> list[dict[str, Any]]:
    """A row for each edit, module, design and condition, over the seeds.

    ratio, lpips_ratio: regenerated over redacted, means of the seeds.
    gain, gain_edges, gain_elsewhere, gain_lpips: share of the error that this C takes away from a module without C.
    leak: share that the texture in this C takes away from a module with the same C without it; None for others.
    Each as mean and standard deviation over seeds, where both cells of a seed are there.
    """
    rows: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        rows.setdefault((result["edit"], result["crm"], result["design"], result["condition"]), []).append(result)
    found = []
    for (edit, crm, design, condition), each in rows.items():
        without = rows.get((edit, crm, design, NONE), [])
        truth = rows.get((edit, crm, design, condition.partition(",")[0]), []) if "texture" in condition else []
        found.append(
            {
                "edit": edit,
                "crm": crm,
                "design": design,
                "condition": condition,
                "seeds": [result["seed"] for result in each],
                "mse": _over_seeds([r["mse"] for r in each]),
                "ratio": _over_seeds([r["mse"] / r["mse_redacted"] for r in each]),
                "lpips": _over_seeds([r["lpips"] for r in each]),
                "lpips_ratio": _over_seeds([r["lpips"] / r["lpips_redacted"] for r in each]),
                "gain": _gain(each, without, "mse"),
                "gain_edges": _gain(each, without, "mse_edges"),
                "gain_elsewhere": _gain(each, without, "mse_elsewhere"),
                "gain_lpips": _gain(each, without, "lpips"),
                "leak": _gain(each, truth, "mse"),
            }
        )
    return found


def _gain(results: Results, others: Results, figure: str) -> list[float] | None:
    theirs = {other["seed"]: other[figure] for other in others}
    shares = [1 - r[figure] / theirs[r["seed"]] for r in results if r["seed"] in theirs]
    return _over_seeds(shares) if shares and results[0]["condition"] != others[0]["condition"] else None


def _over_seeds(values: Sequence[float]) -> list[float]:
    return list(mean_and_spread(values))


def markdown(results: Results, steps: int) -> str:
    """The summary as a table."""
    lines = [
        "# What a regeneration module makes of a given C",
        "",
        f"Modules trained alone for {steps} steps, measured on the test drives of the embedded world. Error: mean "
        "squared error over that of the redacted frame; LPIPS likewise. Gain: share of a module's error without C that "
        "this C takes away, in all, within 2 px of depth edges, elsewhere, and of LPIPS. Leak: share that the texture "
        "takes away from the same C without it. Mean ± standard deviation over seeds, in percent.",
        "",
        "| edit | module | C is shown | C | seeds | error | LPIPS | gain | at edges | elsewhere | LPIPS | leak |",
        "|" + "---|" * 12,
    ]
    for row in summary(results):
        cells = [row["edit"], row["crm"], row["design"], row["condition"], str(len(row["seeds"]))]
        cells += [_percent(row[name]) for name in ("ratio", "lpips_ratio", "gain", "gain_edges")]
        cells += [_percent(row[name]) for name in ("gain_elsewhere", "gain_lpips", "leak")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines + _agreements(results)) + "\n"


_AGREEMENT = {
    "cosine_edges": "cosine at edges",
    "cosine_flat": "elsewhere",
    "edge_energy": "energy at edges",
    "texture": "texture",
}


def _agreements(results: Results) -> list[str]:
    """A second table, where a network's predictions were a C."""
    rows: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        if "cosine_edges" in result:
            rows.setdefault((result["edit"], result["crm"], result["design"]), []).append(result)
    if not rows:
        return []
    lines = [
        "",
        "C as a half-trained network predicts it: the cosine of the loss's downward gradient on C with truth less C; "
        "the share of its energy within 2 px of depth edges; its correlation with the image's details elsewhere, "
        "signed so that above 0 a step adds to the texture in C.",
        "",
        f"| edit | module | C is shown | seeds | {' | '.join(_AGREEMENT.values())} |",
        "|" + "---|" * (4 + len(_AGREEMENT)),
    ]
    for names, each in rows.items():
        figures = [_figure(_over_seeds([result[name] for result in each])) for name in _AGREEMENT]
        lines.append(f"| {' | '.join([*names, str(len(each)), *figures])} |")
    return lines


def _figure(value: Sequence[float]) -> str:
    mean, spread = value
    return f"{mean:+.3f}" + ("" if spread != spread else f" ± {spread:.3f}")


def _percent(value: Sequence[float] | None) -> str:
    if value is None:
        return ""
    mean, spread = value
    return f"{100 * mean:.1f}" + ("" if spread != spread else f" ± {100 * spread:.1f}")

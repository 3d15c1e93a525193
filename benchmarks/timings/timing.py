"""Time of a piece of work: warm-up, repeats in turn with what it is compared with, medians and spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch

_MOST = 200  # repeats


@dataclass(frozen=True)
class Timing:
    """Repeats of one piece of work; seconds each."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]  # of this process and its threads: what a busy machine does not stretch

    def row(self, name: str, amount: float, unit: str) -> Row:
        """`amount` of `unit` was done in each repeat."""
        median = statistics.median(self.wall)
        return Row(
            name,
            amount / median,
            unit,
            amount / max(self.wall),
            amount / min(self.wall),
            len(self.wall),
            1e3 * median,
            1e3 * statistics.median(self.cpu),
        )


@dataclass(frozen=True)
class Row:
    """A line of the result: how many a second at the median, the slowest and the fastest repeat."""

    name: str
    rate: float
    unit: str  # what is counted, e.g. "images/s"
    slowest: float
    fastest: float
    repeats: int
    milliseconds: float  # of one repeat, median
    cpu_milliseconds: float  # the same, in processor time of this process
    note: str = ""

    def to_dict(self) -> dict[str, str | float | int]:
        """Plain values, fit for JSON."""
        return asdict(self)


def measure(
    works: Mapping[str, Callable[[], object]], device: torch.device, seconds: float, warmup: int = 1
) -> dict[str, Timing]:
    """Times several pieces of work in turn, so that a busy spell of the machine meets all of them.

    Args:
        works: name -> what is to be timed.
        device: is waited for before the clock is read.
        seconds: about how long each piece is repeated; two repeats at least.
        warmup: runs of each that do not count.
    """
    wall: dict[str, list[float]] = {name: [] for name in works}
    cpu: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        for _ in range(warmup):
            work()
    while any(_wants_more(times, seconds) for times in wall.values()):
        for name, work in works.items():
            if not _wants_more(wall[name], seconds):
                continue
            _wait(device)
            started, spent = time.perf_counter(), time.process_time()
            work()
            _wait(device)
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - spent)
    return {name: Timing(tuple(wall[name]), tuple(cpu[name])) for name in works}


def _wants_more(times: list[float], seconds: float) -> bool:
    return len(times) < 2 or (sum(times) < seconds and len(times) < _MOST)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | median | slowest .. fastest | CPU time | note |", "|---|---:|---:|---:|---|"]
    for row in rows:
        lines.append(
            f"| {row.name} | {_number(row.rate)} {row.unit} | {_number(row.slowest)} .. {_number(row.fastest)} "
            f"({row.repeats}) | {_number(row.cpu_milliseconds)} ms | {row.note} |"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

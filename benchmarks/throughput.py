"""How fast it is on this machine: loader, training step, evaluation, inference, labelled tasks.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --quick

It needs no data and no download, and writes JSON and a Markdown table to benchmarks/results.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # started as a file, the repository's root is not on the path
    sys.path.insert(0, str(ROOT))

from benchmarks.record import write_record  # noqa: E402
from benchmarks.timings import limits, loading, scoring, steps, tasks  # noqa: E402
from benchmarks.timings.timing import Row, markdown  # noqa: E402
from depth.options.fields import Integer, Text, check  # noqa: E402
from depth.runs.run_folder import versions  # noqa: E402
from depth.support.cli import parse, run  # noqa: E402
from depth.support.distributed import choose_device, use_gpus_well  # noqa: E402

Part = Literal["limits", "loader", "step", "end_to_end", "evaluation", "inference", "tasks"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class ThroughputOptions:
    """What is measured, and how."""

    parts: tuple[Part, ...] = PARTS
    """What is measured. The record of some has their names, beside that of all."""
    device: Text = None
    """cuda, cuda:1 or cpu. Default: cuda if there is one."""
    threads: Integer = None
    """Threads of a CPU. Default: PyTorch's choice."""
    height: int = 192
    """Rows of the network's input in pixels."""
    width: int = 640
    """Columns of the network's input in pixels."""
    batch_size: Integer = None
    """Samples a step. Default: 12 (4 on a CPU)."""
    num_layers: Literal[18, 34, 50, 101] = 18
    """Layers of the depth network's encoder."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """As in train.py."""
    compile: bool = False
    """As in train.py."""
    images: int = 697
    """Images of the evaluation."""
    seconds: float = 8.0
    """About how long each measurement is repeated."""
    quick: bool = False
    """Fewer variants, and a quarter of the seconds and images."""
    profile: bool = False
    """Also writes a trace of a plain and of a DejaVu step, for chrome://tracing."""
    out: str = str(ROOT / "benchmarks" / "results")
    """Folder of the results."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            check(value >= 64 and value % 32 == 0, f"--{name} {value} is not a multiple of 32, or below 64")
        for name in ("batch_size", "threads", "images", "seconds"):
            value = getattr(self, name)
            check(value is None or value > 0, f"--{name} {value} is not a positive number")


def main() -> None:
    """Measures the parts that were asked for and writes the record. Raises UserError for bad flags."""
    options = parse(ThroughputOptions, __doc__)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    use_gpus_well()
    gpu = device.type == "cuda"
    machine = steps.Machine(
        device,
        options.height,
        options.width,
        options.batch_size or (12 if gpu else 4),
        options.num_layers,
        options.precision == "bfloat16" or (options.precision == "auto" and gpu),
        options.compile,
    )
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    rows = measure_all(options, machine)
    settings = {name: value for name, value in asdict(options).items() if name != "out"}
    record = {
        "settings": settings | {"device": str(device), "batch_size": machine.batch_size},
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "load_average_before": busy,
        "rows": [row.to_dict() for row in rows],
    }
    if gpu:
        record["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    chosen = "" if set(options.parts) == set(PARTS) else f"_{'_'.join(options.parts)}"
    name = f"throughput_{_plain(record['versions']['machine'])}{chosen}{'_quick' if options.quick else ''}"
    base = Path(options.out) / name
    write_record(base, record, markdown(rows) + "\n")
    if options.profile:
        _profile(machine, base)
    print(f"wrote {base}.json and .md")


def measure_all(options: ThroughputOptions, machine: steps.Machine) -> list[Row]:
    """The parts that were asked for, each printed as it is done."""
    seconds = options.seconds / (4 if options.quick else 1)
    size, rows = (options.height, options.width), []
    print(markdown([]), flush=True)

    def add(found: list[Row]) -> None:
        rows.extend(found)
        print("\n".join(markdown(found).splitlines()[2:]), flush=True)

    if "limits" in options.parts:
        add(limits.limit_rows(machine, seconds / 4))
    with tempfile.TemporaryDirectory() as folder:
        if {"loader", "end_to_end"} & set(options.parts):
            count = 2 + max(24, 2 * machine.batch_size)
            source = loading.write_frames(Path(folder) / "frames", count)
            found = loading.datasets_of(source, count, size, Path(folder) / "cache")
        if "loader" in options.parts:
            add(loading.loader_rows(found, source, size, machine.batch_size, seconds))
        if "step" in options.parts:
            add(steps.step_rows(machine, steps.QUICK if options.quick else steps.ALL, seconds))
        if "end_to_end" in options.parts:
            stream = loading.batches(found["cache"], machine.batch_size, None, pin=machine.device.type == "cuda")
            add(steps.end_to_end_rows(machine, stream, seconds))
            stream.close()
    if "evaluation" in options.parts:
        add(scoring.scoring_rows(options.images // (4 if options.quick else 1) or 1, seconds))
    if "inference" in options.parts:
        add(steps.inference_rows(machine, seconds))
    if "tasks" in options.parts:
        add(tasks.task_rows(machine, tasks.QUICK if options.quick else tasks.ALL, seconds))
    return rows


def _profile(machine: steps.Machine, base: Path) -> None:
    """One trace a variant, after a warm-up step."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if machine.device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    batch = steps.random_batch(machine)
    for name, variant in list(steps.QUICK.items())[:2]:
        step = steps.make_step(machine, variant)
        step(batch)
        with torch.profiler.profile(activities=kinds, record_shapes=True) as trace:
            step(batch)
        path = base.with_name(f"{base.name}_{_plain(name)}_trace.json")
        trace.export_chrome_trace(str(path))
        print(f"wrote {path}")


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


if __name__ == "__main__":
    run(main)

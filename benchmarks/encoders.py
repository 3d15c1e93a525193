"""What an encoder costs and what it brings: one table over eight of them.

    python benchmarks/encoders.py                          costs, and the grid of trainings
    python benchmarks/encoders.py --seeds 0                costs alone
    python benchmarks/encoders.py --encoders resnet18 timm/convnext_atto --seeds 0

Costs are those of the whole depth network, encoder and decoder, at --height and --width. The trainings are those of
`benchmarks/ablation.py --grid encoders`, on the embedded world, with equal steps, and with the other camera as the only
source, so that no pose network blurs the comparison. A run that is finished is kept and one that was interrupted goes
on: the same command may be called until all are there. Written to --out: encoders.json and encoders.md, and what
ablation.py writes.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # started as a file, the repository's root is not on the path
    sys.path.insert(0, str(ROOT))

from benchmarks import ablation  # noqa: E402
from benchmarks.cells.grids import ENCODERS, GRIDS  # noqa: E402
from benchmarks.record import write_record  # noqa: E402
from benchmarks.timings.timing import measure  # noqa: E402
from depth.networks import build_depth_net  # noqa: E402
from depth.networks.encoders import check_encoder  # noqa: E402
from depth.options.fields import Integer, Text, check  # noqa: E402
from depth.runs.run_folder import versions  # noqa: E402
from depth.support.cli import parse, run  # noqa: E402
from depth.support.distributed import choose_device  # noqa: E402

_STEREO = ("--frame_ids", "0", "--use_stereo")  # of the trainings


@dataclass(frozen=True)
class EncoderOptions:
    """What is measured, and how."""

    encoders: tuple[str, ...] = ENCODERS
    """Names as in train.py; those of the default have trainings."""
    device: Text = None
    """cuda, cuda:1 or cpu. Default: cuda if there is one."""
    threads: Integer = None
    """Threads of a CPU. Default: PyTorch's choice."""
    height: int = 192
    """Rows of the network's input in pixels."""
    width: int = 640
    """Columns of the network's input in pixels."""
    batch_size: int = 4
    """Samples of the step whose memory is measured."""
    seconds: float = 8.0
    """About how long each encoder's inference is repeated."""
    seeds: int = 3
    """Trainings of each encoder; 0 measures costs alone."""
    steps: int = 360
    """Optimiser steps of a training."""
    out: str = str(ROOT / "benchmarks" / "results")
    """Folder of the results and, in cells/, of the trainings."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            check(value >= 64 and value % 32 == 0, f"--{name} {value} is not a multiple of 32, or below 64")
        for name in ("batch_size", "threads", "seconds", "steps"):
            value = getattr(self, name)
            check(value is None or value > 0, f"--{name} {value} is not a positive number")
        check(self.seeds >= 0, "--seeds is 0 or more")
        strangers = sorted(set(self.encoders) - set(ENCODERS))
        check(not (self.seeds and strangers), f"--encoders {' '.join(strangers)}: trained are the default's; --seeds 0")


def main() -> None:
    """Measures, trains where asked, and writes the table. Raises UserError for bad flags."""
    options = parse(EncoderOptions, __doc__)
    for name in options.encoders:
        check_encoder(name)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    rows = costs(options, device)
    stem = Path(options.out) / "encoders"
    record = {"settings": asdict(options) | {"out": None, "device": str(device)}, "versions": versions()}
    record |= {"threads": torch.get_num_threads(), "rows": rows}
    write_record(stem, record, table(rows, options, {}))
    print(f"costs: {stem}.md", flush=True)
    if options.seeds:
        ablation.main([*training_flags(options), "--device", str(device)])
        errors = abs_rel(Path(options.out) / "encoders_test.json")
        write_record(stem, record | {"abs_rel": errors}, table(rows, options, errors))
    print(f"table: {stem}.md")


def training_flags(options: EncoderOptions) -> list[str]:
    """Of benchmarks/ablation.py: the trainings of the encoders that were asked for."""
    left_out = [cell.label for cell in GRIDS["encoders"] if cell.changes["network"]["encoder"] not in options.encoders]
    flags = ["--grid", "encoders", "--seeds", options.seeds, "--steps", options.steps, "--out", options.out]
    return [*map(str, flags), *_STEREO, *(["--leave_out", *left_out] if left_out else [])]


def costs(options: EncoderOptions, device: torch.device) -> list[dict[str, Any]]:
    """A row for each encoder: parameters, multiply-adds, images a second, bytes of a training step."""
    size, rows = (options.height, options.width), []
    works: dict[str, Callable[[], object]] = {}
    image = torch.rand(1, 3, *size, device=device).to(memory_format=torch.channels_last)
    for name in options.encoders:
        net = build_depth_net("resnet", name).eval().to(device, memory_format=torch.channels_last)
        rows.append(
            {
                "encoder": name,
                "encoder_parameters": sum(p.numel() for p in net.encoder.parameters()),
                "parameters": sum(p.numel() for p in net.parameters()),
                "multiply_adds": multiply_adds(net, image),
                "peak_bytes": peak_bytes(name, (options.batch_size, 3, *size), device, torch.get_num_threads()),
            }
        )
        works[name] = partial(torch.inference_mode()(net), image)
    timings = measure(works, device, options.seconds, warmup=2)
    for row in rows:
        row["images_per_second"] = timings[row["encoder"]].row(row["encoder"], 1, "images/s").to_dict()
    return rows


def multiply_adds(net: torch.nn.Module, image: torch.Tensor) -> int:
    """Of convolutions, linear layers and attention, for one image; PyTorch counts two operations for each."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    return counter.get_total_flops() // 2


def peak_bytes(name: str, shape: tuple[int, ...], device: torch.device, threads: int) -> int:
    """What a forward and backward pass of the depth network adds to the memory of a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_bytes, (name, shape, str(device), threads))


def _peak_bytes(name: str, shape: tuple[int, ...], device: str, threads: int) -> int:
    torch.set_num_threads(threads)
    # A small pass of another kind first: what the libraries keep for themselves does not count.
    torch.nn.Conv2d(3, 8, 3).to(device)(torch.rand(1, 3, 64, 96, device=device)).mean().backward()
    before = _peak(device)
    net = build_depth_net("resnet", name).to(device, memory_format=torch.channels_last).train()
    _backward(net, torch.rand(shape, device=device).to(memory_format=torch.channels_last))
    return _peak(device) - before


def _backward(net: torch.nn.Module, images: torch.Tensor) -> None:
    sum(disparity.mean() for disparity in net(images).disparities).backward()


def _peak(device: str) -> int:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def abs_rel(path: Path) -> dict[str, list[float]]:
    """The grid's Abs Rel by label of its cells, a value for each seed; "constant" is the best constant map's."""
    record = json.loads(path.read_text())
    found = {label: cell["means"]["abs_rel"] for label, cell in record["cells"].items()}
    return found | {"constant": record["constant_prior"]["abs_rel"]}


def table(rows: list[dict[str, Any]], options: EncoderOptions, errors: dict[str, list[float]]) -> str:
    """Markdown: a line for each encoder; Abs Rel from scratch and pretrained where there are trainings."""
    size = f"{options.width}x{options.height}"
    names = ["encoder", "parameters: encoder", "with decoder", f"GMAC at {size}", "images/s", "step's memory"]
    lines = ["| " + " | ".join([*names, "Abs Rel, scratch", "pretrained"]) + " |", "|---" + "|---:" * 7 + "|"]
    for row in rows:
        label = row["encoder"].removeprefix("timm/")
        cells = [
            f"`{row['encoder']}`",
            f"{row['encoder_parameters'] / 1e6:.1f} M",
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['multiply_adds'] / 1e9:.1f}",
            f"{row['images_per_second']['rate']:.1f}",
            f"{row['peak_bytes'] / 1e9:.2f} GB",
            _spread(errors.get(label)),
            _spread(errors.get(f"{label}, pretrained")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if "constant" in errors:
        lines += ["", f"The best map that is the same for every image: Abs Rel {_spread(errors['constant'])}."]
    return "\n".join(lines) + "\n"


def _spread(values: list[float] | None) -> str:
    """Mean and standard deviation over seeds."""
    if not values:
        return "-"
    tensor = torch.tensor(values)
    return f"{tensor.mean():.3f}" + (f" ± {tensor.std():.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    run(main)

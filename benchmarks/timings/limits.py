"""What the machine could do: its matrix rate, its bandwidth, and the arithmetic of a training step."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timings.steps import QUICK, Machine, make_step, random_batch
from benchmarks.timings.timing import Row, measure


def limit_rows(machine: Machine, seconds: float) -> list[Row]:
    """Matrix products and copies at their measured rate, and how long a step's convolutions would take at it."""
    gpu = machine.device.type == "cuda"
    side, count = (8192, 1 << 28) if gpu else (2048, 1 << 25)
    left = torch.rand(side, side, device=machine.device, dtype=torch.bfloat16 if machine.bfloat16 else torch.float32)
    values, copy = (torch.ones(count, device=machine.device) for _ in range(2))  # far larger than any cache
    works = {"product": lambda: left @ left, "copy": lambda: copy.copy_(values)}
    timings = measure(works, machine.device, seconds, warmup=3)
    flops, moved = 2 * side**3, 2 * 4 * count
    product = timings["product"].row(f"limit, matrix product of {side}x{side}", flops / 1e9, "GFLOP/s")
    rows = [product, timings["copy"].row("limit, memory read and written", moved / 1e9, "GB/s")]
    batch = random_batch(machine)
    for name in list(QUICK)[:2]:
        step = make_step(machine, QUICK[name])
        with FlopCounterMode(display=False) as counter:
            step(batch)
        # Not a measurement: the step's products and convolutions at the rate of the matrix product.
        total = counter.get_total_flops()
        bound = total / (1e6 * product.rate)  # milliseconds
        rate = 1e3 * machine.batch_size / bound
        note = f"{total / 1e9:.0f} GFLOP a step at the matrix rate; computed, not measured"
        rows.append(Row(f"limit, step, {name}", rate, "images/s", rate, rate, 0, bound, 0.0, note))
    return rows

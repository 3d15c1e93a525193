"""The benchmark runs as one command, on a small size, and its record says what the numbers belong to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import throughput
from benchmarks.timings import timing
from benchmarks.timings.timing import Timing, markdown, measure
from depth.types import UserError

ROOT = Path(__file__).parents[2]


def test_rates_by_hand():
    row = Timing(wall=(2.0, 4.0, 1.0), cpu=(1.0, 3.0, 5.0)).row("step", 8, "images/s")
    assert (row.rate, row.slowest, row.fastest, row.repeats) == (4.0, 2.0, 8.0, 3)
    assert (row.milliseconds, row.cpu_milliseconds) == (2000.0, 3000.0)
    assert markdown([row]).splitlines()[-1] == "| step | 4 images/s | 2 .. 8 (3) | 3,000 ms |  |"


def test_works_are_timed_in_turn_after_a_warm_up(monkeypatch):
    monkeypatch.setattr(timing, "_MOST", 3)
    calls = []
    works = {name: lambda n=name: calls.append(n) for name in "ab"}
    timings = measure(works, torch.device("cpu"), seconds=10, warmup=2)
    assert calls == list("aabb") + list("ababab")
    assert all(len(t.wall) == len(t.cpu) == 3 for t in timings.values())


QUICK = {"inference": ("inference",), "limits": ("limit",)}
SLOW = {
    "loader": ("loader, JPEG", "loader, cache"),
    "step": ("step, plain", "step, DejaVu"),
    "end_to_end": ("end to end",),
    "evaluation": ("evaluation",),
    "tasks": ("tasks, depth from labels", "tasks, four tasks"),
}


@pytest.mark.parametrize("parts", [QUICK, pytest.param(QUICK | SLOW, marks=pytest.mark.long)], ids=["quick", "all"])
def test_the_command_writes_its_record(tmp_path, parts):
    command = [sys.executable, str(ROOT / "benchmarks" / "throughput.py"), "--quick", "--device", "cpu"]
    command += ["--threads", "1", "--height", "64", "--width", "96", "--batch_size", "2", "--images", "8"]
    command += ["--seconds", "0.1", "--out", str(tmp_path), "--parts", *parts]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert record["settings"]["batch_size"] == 2 and record["threads"] == 1 and "torch" in record["versions"]
    names = [row["name"] for row in record["rows"]]
    for beginning in (each for part in parts.values() for each in part):
        assert any(name.startswith(beginning) for name in names), beginning
    assert all(row["rate"] > 0 and row["slowest"] <= row["rate"] <= row["fastest"] for row in record["rows"])
    assert path.with_suffix(".md").read_text().count("\n") == 2 + len(names)


@pytest.mark.parametrize(
    ("flags", "said"), [(["--height", "100"], "multiple of 32"), (["--seconds", "0"], "--seconds")]
)
def test_bad_flags_are_one_line(flags, said, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["throughput.py", *flags])
    with pytest.raises(UserError, match=said):
        throughput.main()

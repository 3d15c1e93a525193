"""benchmarks/gpu_smoke.py: what its lines say, what it allows, and the whole of it on a CPU."""

import math
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gpu_smoke
from benchmarks.smoke import checks, waits
from benchmarks.smoke.session import Failed, Session, Skipped
from benchmarks.timings.steps import Machine, random_raw
from depth.options.dejavu import DejaVuOptions
from depth.training import trainer

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def session(folder, steps=2):
    return Session(CPU, folder, steps, height=64, width=96, batch_size=2)


def start(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", ["gpu_smoke.py", *flags])
    gpu_smoke.main()


def test_without_a_gpu_it_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu_smoke, "unusable_gpu", lambda: None)
    start(monkeypatch)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("no CUDA GPU here: nothing was checked")


def good(_):
    return "1.5 images/s"


def failing(_):
    raise Failed("off by 0.3")


def skipping(_):
    raise Skipped("one card")


def broken(_):
    raise ZeroDivisionError("division by zero")


def test_lines_summary_and_exit_code(monkeypatch, capsys, tmp_path):
    flags = ("--device", "cpu", "--out", str(tmp_path))
    monkeypatch.setattr(gpu_smoke, "CHECKS", {"a": good, "b": skipping})
    start(monkeypatch, *flags)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["OK      a: 1.5 images/s, 0 s", "SKIPPED b: one card, 0 s"]
    assert lines[2].startswith("1 ok, 0 failed, 1 skipped in 0 s; ") and f"torch {torch.__version__}" in lines[2]
    monkeypatch.setattr(gpu_smoke, "CHECKS", {"a": failing, "b": broken, "c": good})
    with pytest.raises(SystemExit) as ended:
        start(monkeypatch, *flags)
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 1 and lines[0] == "FAILED  a: off by 0.3, 0 s"
    assert lines[1] == "FAILED  b: ZeroDivisionError: division by zero, 0 s"
    assert lines[2].startswith("OK      c") and lines[3].startswith("1 ok, 2 failed, 0 skipped")
    assert lines[4] == f"what the commands said: {tmp_path}"
    assert "in broken" in (tmp_path / "errors.txt").read_text()  # a bug keeps its traceback


@pytest.mark.parametrize("name", [checks.FLOAT32, checks.BFLOAT16])
def test_a_loss_that_parts_from_the_cpus_fails(monkeypatch, tmp_path, name):
    found = session(tmp_path, steps=3)
    found.runs.update({checks.REFERENCE: tmp_path, name: tmp_path})
    first, largest = checks.TOLERANCE[name]
    for steps, share, fails in (
        ((first, 0), 0.9, False), ((first, 0), -1.1, True), ((0, largest), 0.9, False), ((0, largest), -0.9, False),
        ((0, largest), 1.1, True), ((0, largest), -1.1, True), ((0, 1), math.nan, True), ((1, 0), math.nan, True),
    ):  # fmt: skip
        losses = {checks.REFERENCE: [0.2, 0.1, 0.1]}
        losses[name] = [0.2 * (1 + share * steps[0]), 0.1, 0.1 * (1 + share * steps[1])]
        monkeypatch.setattr(Session, "losses", lambda _, run, losses=losses: losses[run])
        if fails:
            with pytest.raises(Failed, match="apart at the first step .*, at most .* of 3"):
                checks.curve(name)(found)
        else:
            assert f"of 3 (allowed {largest:g})" in checks.curve(name)(found)


def test_depths_that_are_off_fail():
    depth = np.array([[1.0, 20.0]])
    assert "2.0e-03" in checks._close(depth * 1.002, depth, "depth")
    for wrong in (depth * 1.004, depth * 0.996, depth * math.nan):
        with pytest.raises(Failed):
            checks._close(wrong, depth, "depth")


@pytest.mark.parametrize("asked", [1, 2])
def test_waits_are_counted(monkeypatch, asked):
    """CUDA's watch warns where the host waits; here the trainer's question does, once or twice a step."""
    modes = []

    def watch(mode):
        modes.append(mode)
        warnings.warn("Synchronization debug mode does not yet detect all synchronizing operations", stacklevel=2)

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", watch)

    def question(*_):
        for _ in range(asked if modes == ["warn"] else 0):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=2)
        warnings.warn("something else", stacklevel=2)
        return False, False, False

    monkeypatch.setattr(trainer, "any_rank", question)
    machine = Machine(CPU, 64, 96, 2, 18, bfloat16=False, compile=False)
    found = waits.waits_of_a_step(machine, DejaVuOptions())
    assert len(found) == asked and all("trainer.py:" in place for place in found)
    assert modes == ["warn", "default"]


def test_random_batches_can_be_pinned():
    """Pinning keeps strides, and writes no element twice."""
    raw = random_raw(Machine(CPU, 64, 96, 2, 18, bfloat16=False, compile=False))
    for value in (raw.frames, raw.intrinsics, raw.stereo_from_target, raw.flip, raw.jitter):
        torch.empty_strided(value.shape, value.stride(), dtype=value.dtype).copy_(value)


@pytest.mark.parametrize("launcher", [[], ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]])
def test_a_command_without_end_is_ended_with_its_children_and_leaves_its_words(tmp_path, monkeypatch, launcher):
    """torchrun gives its children sessions of their own."""
    monkeypatch.setattr("benchmarks.smoke.session._LIMIT", {"cpu": 20.0 if launcher else 6.0})
    (tmp_path / "endless.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(90)\n")
    with pytest.raises(Failed, match="not finished in"):
        session(tmp_path).command("endless", [sys.executable, *launcher, str(tmp_path / "endless.py")])
    child = int((tmp_path / "endless.txt").read_text().split()[0])
    for _ in range(100):  # a signal takes its time on a busy machine
        state = Path(f"/proc/{child}/status")
        if not state.exists() or "zombie" in state.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"process {child} goes on")


def test_a_gpu_that_pytorch_cannot_use_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(gpu_smoke, "unusable_gpu", lambda: "this machine has an NVIDIA GPU, but")
    with pytest.raises(SystemExit):
        start(monkeypatch)
    assert capsys.readouterr().out.startswith("FAILED: this machine has an NVIDIA GPU")


def test_a_command_that_fails_says_its_last_line(tmp_path):
    with pytest.raises(Failed, match="exit code 2: error: no"):
        code = "import sys; print('error: no', file=sys.stderr); sys.exit(2)"
        session(tmp_path).command("x y", [sys.executable, "-c", code])
    assert (tmp_path / "x_y.txt").read_text() == "error: no\n"
    with pytest.raises(Skipped, match="x did not end well"):
        session(tmp_path).run("x")


@pytest.mark.long
def test_all_of_it_on_a_cpu(tmp_path):
    flags = ["--device", "cpu", "--steps", "3", "--width", "96", "--batch_size", "2", "--out", str(tmp_path)]
    script = ROOT / "benchmarks" / "gpu_smoke.py"
    done = subprocess.run([sys.executable, script, *flags], capture_output=True, text=True, cwd=tmp_path)
    words = dict(line.split(":")[0].split(maxsplit=1)[::-1] for line in done.stdout.splitlines()[:-1])
    skipped = {"waits of a step", "training, compiled"}
    assert words == {name: "SKIPPED" if name in skipped else "OK" for name in checks.CHECKS}, done.stdout
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("10 ok, 0 failed, 2 skipped in ")
    assert "0.0e+00 apart at the first step (allowed 0.0001), at most 0.0e+00" in done.stdout  # the CPU against itself

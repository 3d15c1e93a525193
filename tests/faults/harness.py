"""Runs of train.py in processes that can be killed, without the seconds that a fresh interpreter takes to import."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

from depth.runs.checkpoint import load_checkpoint

HERE = Path(__file__).parent
LIMIT = 300  # seconds; runs take a few, on a machine with other work some more


class Job:
    """One run of train.py with small networks."""

    def __init__(self, server, pid, output):
        self.server, self.pid, self.output = server, pid, output

    def wait(self, seconds=LIMIT):
        """The exit code; minus the signal's number where one ended it. Where it does not end it is killed."""
        answer = self.server.ask({"wait": self.pid, "seconds": seconds}, seconds)
        if answer == "late":
            os.killpg(self.pid, signal.SIGKILL)
            raise AssertionError(f"still running after {seconds} s; it printed:\n{self.text}")
        self.server.running.discard(self.pid)
        return int(answer)

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """SIGKILL to the run and its loader processes; the exit code."""
        os.killpg(self.pid, signal.SIGKILL)
        return self.wait()

    @property
    def text(self):
        return self.output.read_text() if self.output.exists() else ""

    def wait_for(self, condition, seconds=LIMIT):
        """Waits until condition() holds, and says what was printed where it never does."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited {seconds} s in vain; it printed:\n{self.text}"
            time.sleep(0.005)


class Server:
    """Forks runs; see small_train.serve."""

    def __init__(self):
        command = [sys.executable, "-u", str(HERE / "small_train.py"), "--serve"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=plain_environment()
        )
        self.running = set()

    def ask(self, request, seconds=0):
        """The answer's line, which may take so long, and a minute of imports or of a busy machine."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], seconds + 60)
        assert ready, f"the server does not answer {request}"
        return self.process.stdout.readline().strip()

    def start(self, arguments, output, environment=None, file_limit=0):
        job = {"arguments": [str(a) for a in arguments], "output": str(output)}
        answer = self.ask(job | {"environment": environment or {}, "file_limit": file_limit})
        self.running.add(int(answer))
        return Job(self, int(answer), output)

    def close(self):
        for pid in self.running:  # of tests that failed
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.process.stdin.write('{"end": true}\n')
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


def plain_environment(more=None):
    """This process's environment for a run on one thread without a GPU."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **(more or {})}


class Ended(NamedTuple):
    """A process's exit code, and all that it printed."""

    code: int
    text: str


def run_together(commands, folder, environments=None, seconds=LIMIT):
    """Runs Python commands at the same time: how each Ended. Those still running after `seconds` fail the test.

    Their output goes to files: a pipe would fill up, and is held open by grandchildren.
    """
    files = [folder / f"printed{number}.txt" for number in range(len(commands))]
    started = []
    for command, file, more in zip(commands, files, environments or [{}] * len(commands), strict=True):
        with file.open("wb") as output:
            started.append(
                subprocess.Popen(
                    [sys.executable, *map(str, command)],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=plain_environment(more),
                    start_new_session=True,
                )  # fmt: skip
            )
    end = time.monotonic() + seconds
    while any(each.poll() is None for each in started) and time.monotonic() < end:
        time.sleep(0.05)
    late = [each for each in started if each.poll() is None]
    for each in late:
        os.killpg(each.pid, signal.SIGKILL)
        each.wait(60)
    printed = [file.read_text(errors="replace") for file in files]
    assert not late, f"still running after {seconds} s; they printed:\n" + "\n---\n".join(printed)
    return [Ended(each.returncode, text) for each, text in zip(started, printed, strict=True)]


def weights(run):
    """All that last.pt and best.pt hold of a run's outcome."""
    last = load_checkpoint(run / "checkpoints" / "last.pt")
    best = load_checkpoint(run / "checkpoints" / "best.pt")
    names = ("objective", "optimizer", "scheduler", "rng", "progress")
    return {name: last[name] for name in names} | {"best": best["networks"]}


def same(a, b):
    """Bit by bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b

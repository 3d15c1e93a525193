"""Runs of train.py in processes that can be killed, without the seconds that a fresh interpreter takes to import."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from depth.checkpoint import load_checkpoint

HERE = Path(__file__).parent


class Job:
    """One run of train.py with small networks."""

    def __init__(self, server, pid, output):
        self.server, self.pid, self.output = server, pid, output

    def wait(self):
        """The exit code; minus the signal's number where one ended it."""
        return int(self.server.ask({"wait": self.pid}))

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """SIGKILL to the run and its loader processes; the exit code."""
        os.killpg(self.pid, signal.SIGKILL)
        return self.wait()

    @property
    def text(self):
        return self.output.read_text() if self.output.exists() else ""

    def wait_for(self, condition, seconds=120):
        """Waits until condition() holds, and says what was printed where it never does."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.text
            time.sleep(0.005)


class Server:
    """Forks runs; see small_train.serve."""

    def __init__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-u", str(HERE / "small_train.py"), "--serve"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def start(self, arguments, output, environment=None, file_limit=0):
        job = {"arguments": [str(a) for a in arguments], "output": str(output)}
        answer = self.ask(job | {"environment": environment or {}, "file_limit": file_limit})
        return Job(self, int(answer), output)

    def close(self):
        self.process.stdin.write('{"end": true}\n')
        self.process.stdin.close()
        self.process.wait(60)


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

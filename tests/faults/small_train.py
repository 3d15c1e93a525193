"""train.py with networks of a few hundred weights: a step takes milliseconds, a checkpoint kilobytes.

python tests/faults/small_train.py FLAGS OF train.py
python tests/faults/small_train.py --serve      reads jobs from stdin, see harness.py; imports once, then forks
"""

import json
import os
import resource
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch.nn.functional as F
from torch import nn

import depth.build
import depth.trained
import train
from depth.support.cli import run
from depth.types import DepthOutput


class SmallDepthNet(nn.Module):
    """An image (B,3,H,W) -> disparities at four scales."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ELU())
        self.heads = nn.ModuleList(nn.Conv2d(8, 1, 3, padding=1) for _ in range(4))

    def forward(self, image):
        features = self.features(image)
        scaled = [F.avg_pool2d(features, 2**scale) for scale in range(4)]
        return DepthOutput(tuple(head(x).sigmoid() for head, x in zip(self.heads, scaled, strict=True)))


class SmallPoseNet(nn.Module):
    """A pair (B,6,H,W) -> (B,6)."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(6, 8, 5, stride=4), nn.BatchNorm2d(8), nn.ELU())
        self.head = nn.Linear(8, 6)

    def forward(self, pair):
        return 0.01 * self.head(self.features(pair).mean((2, 3)))


_STACK = ExitStack()


def make_small():
    """Has the small networks made, in this process from now on."""
    _STACK.enter_context(small_networks())


@contextmanager
def small_networks():
    """The small networks in place of those that a training builds and of those that a checkpoint is loaded into."""

    def depth_net(*_arguments, **_options):
        return SmallDepthNet()

    def pose_net(*_arguments, **_options):
        return SmallPoseNet()

    with (
        mock.patch.multiple(depth.build, build_depth_net=depth_net, PoseNet=pose_net),
        mock.patch.multiple(depth.trained, build_depth_net=depth_net),
    ):
        yield


def serve():
    """A line of JSON per job: {"arguments", "output", "environment", "file_limit"} -> pid.

    {"wait": pid, "seconds"} -> its status, or "late" where it has not ended by then.
    {"end": true} ends it: the end of the input may never come, where other processes inherited the pipe.
    """
    for line in sys.stdin:
        job = json.loads(line)
        if "end" in job:
            return
        if "wait" in job:
            print(_status(job["wait"], job["seconds"]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _work(job)
        print(pid, flush=True)


def _status(pid, seconds):
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return "late"
        time.sleep(0.005)


def _work(job):
    os.setsid()
    file = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ |= job["environment"]
    if job["file_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_limit"], job["file_limit"]))
    sys.argv = ["train.py", *job["arguments"]]
    code = 0
    try:
        run(train.main)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    # The interpreter's own end, so that worker processes and event threads are wound up as in a plain run.
    sys.stdin = open(os.devnull)
    raise SystemExit(code)


if __name__ == "__main__":
    make_small()
    serve() if sys.argv[1:] == ["--serve"] else run(train.main)

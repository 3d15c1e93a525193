"""The first thing to run on a new GPU: does everything work there, and does it compute what a CPU computes?

    make gpu-smoke
    python benchmarks/gpu_smoke.py
    python benchmarks/gpu_smoke.py --device cpu

It trains on a small embedded world from scratch, by the commands that a user gives, and fetches nothing: plain,
with DejaVu, in two processes where there are two cards, compiled; it resumes, evaluates, predicts, exports, counts how
often a step waits for the GPU, and compares the first losses with a CPU's. A line a check, OK, FAILED or SKIPPED with
its figure; exit code 1 if one failed. Without a CUDA GPU it says so and exits with 0; --device cpu checks what can be
checked there.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # started as a file, the repository's root is not on the path
    sys.path.insert(0, str(ROOT))

from benchmarks.smoke.checks import CHECKS  # noqa: E402
from benchmarks.smoke.session import Failed, Session, Skipped  # noqa: E402
from depth.options.fields import Text, check  # noqa: E402
from depth.support.cli import parse, run  # noqa: E402
from depth.support.distributed import choose_device, unusable_gpu  # noqa: E402


@dataclass(frozen=True)
class SmokeOptions:
    """Where, and how much."""

    device: Text = None
    """cuda, cuda:1 or cpu. Default: cuda; without one nothing is checked."""
    steps: int = 20
    """Of each training."""
    height: int = 64
    """Rows of the network's input in pixels."""
    width: int = 224
    """Columns of the network's input in pixels."""
    batch_size: int = 4
    """Samples a step."""
    out: Text = None
    """Folder for runs and the commands' output. Default: one that is removed where nothing failed."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            check(value >= 64 and value % 32 == 0, f"--{name} {value} is not a multiple of 32, or below 64")
        for name in ("steps", "batch_size"):
            check(getattr(self, name) > 0, f"--{name} {getattr(self, name)} is not a positive number")


def main() -> None:
    """All checks; exit code 1 where one failed. Raises UserError for bad flags."""
    options = parse(SmokeOptions, __doc__)
    if options.device is None and (why := unusable_gpu()):
        print(f"FAILED: {why}")
        sys.exit(1)
    if options.device is None and not torch.cuda.is_available():
        print("no CUDA GPU here: nothing was checked; --device cpu checks what can be checked without one")
        return
    folder = Path(options.out or tempfile.mkdtemp(prefix="dejavu-depth-smoke-")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    device = choose_device(options.device)
    session = Session(device, folder, options.steps, options.height, options.width, options.batch_size)
    started = time.monotonic()
    counts = check_all(session)
    words = ", ".join(f"{count} {word.lower()}" for word, count in counts.items())
    print(f"{words} in {time.monotonic() - started:.0f} s; {_machine(device)}")
    if counts["FAILED"]:
        print(f"what the commands said: {folder}")
        sys.exit(1)
    if not options.out:
        shutil.rmtree(folder)


def check_all(session: Session) -> dict[str, int]:
    """Makes every check and prints its line; returns how many ended in which way."""
    counts = {"OK": 0, "FAILED": 0, "SKIPPED": 0}
    for name, made in CHECKS.items():
        started = time.monotonic()
        try:
            word, figure = "OK", made(session)
        except Skipped as reason:
            word, figure = "SKIPPED", str(reason)
        except Failed as error:
            word, figure = "FAILED", str(error)
        except Exception as error:  # one that is broken keeps nobody from the others
            word, figure = "FAILED", f"{type(error).__name__}: {error}"
            with (session.folder / "errors.txt").open("a") as file:
                traceback.print_exc(file=file)
        counts[word] += 1
        print(f"{word:8}{name}: {figure}, {time.monotonic() - started:.0f} s", flush=True)
    return counts


def _machine(device: torch.device) -> str:
    """The card, or the processor's cores, and the versions."""
    if device.type != "cuda":
        return f"{os.cpu_count()} cores, torch {torch.__version__}"
    found = torch.cuda.get_device_properties(device)
    cards = f"{torch.cuda.device_count()} x {found.name}, {found.total_memory / 2**30:.0f} GiB"
    return f"{cards}, torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


if __name__ == "__main__":
    run(main)

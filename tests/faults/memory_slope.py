"""Memory and open files of a long training on a small embedded world: prints their slopes.

    python tests/faults/memory_slope.py --steps 2000
    python tests/faults/memory_slope.py --steps 500 --networks real

Epochs, validations, pictures and checkpoints are as frequent as the world is small, so that theirs are counted too.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import train
from datasets.world.making import WorldSpec, ensure_world
from depth.training.trainer import Trainer
from tests.faults.small_train import make_small

MIB = 1 << 20


def resident(pid):
    """Bytes that a process has in memory, those shared with its parent included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class WatchedTrainer(Trainer):
    """Takes a row every 10 steps: step, MiB of this process, MiB of its loader processes, open files."""

    rows = []

    def step(self, batch):
        if self.progress.step % 10 == 0:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            loaders = sum(map(resident, children))
            self.rows.append(
                (self.progress.step, resident("self") / MIB, loaders / MIB, len(os.listdir("/proc/self/fd")))
            )
        return super().step(batch)


def slope(rows, column):
    """Least squares over the last three quarters, per 1,000 steps: in the first quarter caches fill."""
    late = np.array(rows[len(rows) // 4 :])
    return 1000 * np.polyfit(late[:, 0], late[:, column], 1)[0]


def measure(steps, networks, folder):
    spec = WorldSpec(height=64, width=96, train_drives=2, val_drives=1, test_drives=1, frames_per_drive=12)
    world = ensure_world(folder, spec)
    if networks == "small":
        make_small()
    train.Trainer = WatchedTrainer
    sys.argv = [
        "train.py", *("--data_path", str(world), "--cache_dir", str(folder), "--log_dir", str(folder)),
        *("--height", "64", "--width", "96", "--batch_size", "2"),
        *("--num_epochs", str(steps), "--max_steps", str(steps)),
        *("--num_workers", "2", "--device", "cpu", "--val_samples", "4", "--checkpoint_minutes", "0.05"),
        *("--model_name", "run"),
    ]  # fmt: skip
    train.main()
    rows = WatchedTrainer.rows
    return {
        "steps": steps,
        "networks": networks,
        "machine": platform.processor() or platform.machine(),
        "mib_at_quarter": round(rows[len(rows) // 4][1], 1),
        "mib_at_end": round(rows[-1][1], 1),
        "mib_per_1000_steps": round(slope(rows, 1), 2),
        "loader_mib_per_1000_steps": round(slope(rows, 2), 2),
        "open_files_at_quarter": rows[len(rows) // 4][3],
        "open_files_at_end": rows[-1][3],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--networks", choices=("small", "real"), default="small")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options.steps, options.networks, Path(folder)), indent=2))


if __name__ == "__main__":
    main()

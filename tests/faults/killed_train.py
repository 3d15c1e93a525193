"""small_train.py in which rank $FAULT_KILL_RANK kills itself once, at step $FAULT_KILL_STEP.

The file $FAULT_KILLED remembers it: torchrun's count of restarts is one machine's own.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import train  # noqa: E402
from depth.support.cli import run  # noqa: E402
from depth.training.trainer import Trainer  # noqa: E402
from tests.faults.small_train import make_small  # noqa: E402


class KilledTrainer(Trainer):
    def step(self, batch):
        mark = Path(os.environ["FAULT_KILLED"])
        if os.environ["RANK"] == os.environ["FAULT_KILL_RANK"] and not mark.exists():
            if self.progress.step == int(os.environ["FAULT_KILL_STEP"]):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().step(batch)


if __name__ == "__main__":
    make_small()
    train.Trainer = KilledTrainer
    run(train.main)

"""small_train.py in which rank $FAULT_KILL_RANK kills itself once, at step $FAULT_KILL_STEP.

The file $FAULT_KILLED remembers it: torchrun's count of restarts is one machine's own.
"""

import os
import signal
from pathlib import Path

from small_train import make_small

import train
from depth.cli import run
from depth.trainer import Trainer


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

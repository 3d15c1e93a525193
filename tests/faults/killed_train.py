"""small_train.py in which rank $FAULT_KILL_RANK kills itself at step $FAULT_KILL_STEP of its first life."""

import os
import signal

from small_train import make_small

import train
from depth.cli import run
from depth.trainer import Trainer


class KilledTrainer(Trainer):
    def step(self, batch):
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
        if first and os.environ["RANK"] == os.environ["FAULT_KILL_RANK"]:
            if self.progress.step == int(os.environ["FAULT_KILL_STEP"]):
                os.kill(os.getpid(), signal.SIGKILL)
        return super().step(batch)


if __name__ == "__main__":
    make_small()
    train.Trainer = KilledTrainer
    run(train.main)

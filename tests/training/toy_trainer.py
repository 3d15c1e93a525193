"""A training of two numbers: the loop with an objective, data and validation that cost nothing."""

from dataclasses import fields

import torch
from torch import nn

from depth.support.distributed import Process
from depth.training.monitor import Monitor
from depth.training.trainer import Settings, Trainer
from depth.types import FrameBatch, LossTerms, RawBatch, StepOutput

STEPS_PER_EPOCH = 5


class Sampler:
    batch_size = 1

    def __init__(self):
        self.set_epoch(0, 0)

    def set_epoch(self, epoch, start_step=0):
        self.epoch, self.start = epoch, start_step

    def __len__(self):
        return STEPS_PER_EPOCH


class Loader:
    """Batches that are a function of epoch and step, with a NaN at `poison`; `hook` is called before each."""

    def __init__(self, hook, poison):
        self.batch_sampler, self.hook, self.poison = Sampler(), hook, poison

    def __iter__(self):
        for step in range(self.batch_sampler.start, STEPS_PER_EPOCH):
            self.hook(self.batch_sampler.epoch, step)
            epoch = self.batch_sampler.epoch
            yield torch.tensor([float("nan") if (epoch, step) in self.poison else float(epoch + 1), float(step)])


class Objective(nn.Module):
    """A loss that also depends on the global generator, as the auto-mask's noise does."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(()))  # as a batch norm's running mean
        self.epochs = []

    def forward(self, batch):
        self.epochs.append(self.epoch)
        if self.training:
            self.seen.lerp_(batch.target.mean(), 0.1)
        loss = ((self.weight - batch.target) ** 2).sum() + self.weight.sum() * torch.randn(())
        image = torch.zeros(1, 1, 4, 4)
        return StepOutput(
            loss,
            LossTerms({"photometric": loss}),
            image,
            torch.zeros(1, 1, 3, 4, 4),
            image > 0,
            torch.zeros(1, 1, 4, 4),
        )

    def inference_networks(self):
        return {"depth": {"weight": self.weight.detach()}}


class Validation:
    criterion = "lowest toy score"

    def __init__(self, scores):
        self.values = list(scores)

    def scores(self):
        return {"photometric": 0.0, "score": self.values.pop(0)}

    def pictures(self):
        return [{"1_target": torch.zeros(3, 4, 4, dtype=torch.uint8)}]


def _prepare(raw: RawBatch, device: torch.device) -> FrameBatch:
    plain = {f.name: torch.zeros(1) for f in fields(FrameBatch)}
    return FrameBatch(**plain | {"target": raw, "offsets": (-1, 1), "names": (f"drive {raw.tolist()} l",)})


def toy_trainer(folder, hook=lambda epoch, step: None, validation=None, poison=(), **settings):
    """The real loop over three epochs of five steps; files go into the folder."""
    torch.manual_seed(0)
    objective = Objective()
    optimizer = torch.optim.Adam(objective.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    return Trainer(
        objective, optimizer, scheduler, Loader(hook, poison), _prepare, Process(0, 1, torch.device("cpu")),
        Monitor(folder, "synthetic"), validation, folder, {"config": {}}, Settings(num_epochs=3, **settings),
    )  # fmt: skip

"""--compile: what is compiled once stays so, whatever validation does in between."""

import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.testing import CompileCounter

from depth.objective import PhotometricOptions, SelfSupervisedObjective
from depth.training.validation import FrameValidation
from depth.types import DepthOutput, RawBatch
from tests.test_objective import make_batch


class Depth(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 1, 3, padding=1), nn.BatchNorm2d(1)

    def forward(self, image):
        full = self.norm(self.conv(image)).sigmoid()
        return DepthOutput(tuple(F.avg_pool2d(full, 2**s) for s in range(4)))


class Motion(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 10)

    def pose_and_intrinsics(self, pair):
        values = self.linear(pair.mean((2, 3)))
        return 0.01 * values[:, :6], 50 + values[:, 6:]


def test_validation_and_partial_batches_compile_nothing():
    objective = SelfSupervisedObjective(
        Depth(), Motion(), {"photometric": 1.0}, PhotometricOptions(learn_intrinsics=True)
    )
    counter = CompileCounter()
    objective.compile_parts(backend=counter)
    batches = {size: make_batch(size=size) for size in (2, 1)}
    none = torch.zeros(1)
    raws = [RawBatch(torch.zeros(s, 3, 3, 4, 4), none, none, none, none, (-1, 1), ("a",) * s) for s in batches]
    validation = FrameValidation(objective, raws, lambda raw, _: batches[len(raw.frames)], batches[1], None)

    def step():
        objective.train()
        objective(batches[2]).loss.backward()

    step()
    assert counter.frame_count == 4  # depth, motion with its camera, warp, photometric loss
    for _ in range(2):
        validation.scores()
        validation.pictures()
        step()
    assert counter.frame_count == 4

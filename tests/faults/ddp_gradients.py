"""One backward pass under the process group of the environment: rank 0 writes the gradients to argv[1].

The batch of argv[2] samples a rank is a function of the sample's number alone, so that 2 ranks with B see what 1 with
2 B sees. Norm layers are frozen, and the auto-mask's noise is off, since it is drawn per process. DejaVu is left out:
its CRM has no frozen state, and normalises with the batch of its process (of all with --sync_batch_norm).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from small_train import SmallDepthNet, SmallPoseNet
from torch.nn.parallel import DistributedDataParallel

from depth.distributed import process_group
from depth.objective import PhotometricOptions, SelfSupervisedObjective
from depth.types import FrameBatch


def batch_of(numbers, height=64, width=96):
    """Random images for these sample numbers."""
    images = [torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(n)) for n in numbers]
    frames = torch.stack(images)
    intrinsics = torch.tensor([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]]).expand(len(numbers), 3, 3)
    stereo = torch.eye(4).expand(len(numbers), 4, 4)
    names = tuple(f"sample {n} l" for n in numbers)
    return FrameBatch(frames[:, 0], frames[:, 1:], frames[:, 0], frames[:, 1:], intrinsics, stereo, (-1, 1), names)


def main(path, batch_size):
    torch.manual_seed(0)
    options = PhotometricOptions(automask=False)
    weights = {"photometric": 1.0, "smoothness": 1e-3}
    objective = SelfSupervisedObjective(SmallDepthNet(), SmallPoseNet(), weights, options).eval()
    with process_group("cpu") as process:
        model = DistributedDataParallel(objective) if process.world_size > 1 else objective
        numbers = range(batch_size * process.world_size)[process.rank :: process.world_size]
        model(batch_of(numbers)).loss.backward()
        if process.is_main:
            torch.save({name: p.grad for name, p in objective.named_parameters() if p.grad is not None}, path)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""One backward pass under the process group of the environment: rank 0 writes the gradients to a file.

    python tests/faults/ddp_gradients.py FILE --batch_size 4
    torchrun --nproc_per_node 2 tests/faults/ddp_gradients.py FILE --batch_size 2
    python tests/faults/ddp_gradients.py --batch_size 2 --scan 100

A sample is a function of its number alone, so that 2 ranks with B see what 1 with 2 B sees. Norm layers are frozen, and
the auto-mask's noise is off, since it is drawn per process. DejaVu is left out: its CRM has no frozen state, and
normalises with the batch of its process (of all with --sync_batch_norm).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.nn.parallel import DistributedDataParallel

from depth import geometry
from depth.networks import build_depth_net
from depth.networks.pose_net import PoseNet
from depth.objective import PhotometricOptions, SelfSupervisedObjective
from depth.support.distributed import process_group
from depth.types import FrameBatch
from tests.faults.small_train import SmallDepthNet, SmallPoseNet


def networks(kind):
    """(depth, pose), with weights that are the same in every process."""
    torch.manual_seed(0)
    if kind == "small":
        return SmallDepthNet(), SmallPoseNet()
    return build_depth_net("resnet"), PoseNet()


def batch_of(numbers, dtype, height=64, width=96):
    """Random images for these sample numbers."""
    images = [torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(n)) for n in numbers]
    frames = torch.stack(images).to(dtype)
    intrinsics = torch.tensor([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]], dtype=dtype).expand(len(numbers), 3, 3)
    stereo = torch.eye(4, dtype=dtype).expand(len(numbers), 4, 4)
    names = tuple(f"sample {n} l" for n in numbers)
    return FrameBatch(frames[:, 0], frames[:, 1:], frames[:, 0], frames[:, 1:], intrinsics, stereo, (-1, 1), names)


def in_double():
    """Has the objective, which asks for float32 by name, compute in float64: what remains is no rounding."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    geometry.pixel_grid = lambda *args, of=geometry.pixel_grid: of(*args).double()


def gradients(model, objective, numbers):
    """name -> gradient of these samples' loss."""
    objective.zero_grad()
    model(batch_of(numbers, torch.get_default_dtype())).loss.backward()
    return {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}


def largest_difference(one, other):
    """(absolute, relative to the largest gradient, the parameter)."""
    apart = {name: (one[name] - other[name]).abs().max().item() for name in one}
    name = max(apart, key=apart.get)
    return apart[name], apart[name] / max(g.abs().max().item() for g in one.values()), name


def scan(objective, batch_size, count):
    """In one process: batches of 2 B against the mean of their halves, which is what DDP forms; prints the spread."""
    found = []
    for first in range(0, 1000 * count, 1000):
        numbers = range(first, first + 2 * batch_size)
        whole = gradients(objective, objective, numbers)
        halves = [gradients(objective, objective, numbers[rank::2]) for rank in range(2)]
        found.append(largest_difference(whole, {name: (halves[0][name] + halves[1][name]) / 2 for name in whole}))
    found.sort()
    beyond = sum(absolute > 1e-6 for absolute, _, _ in found)
    print(f"{count} batches: median {found[count // 2][0]:.1e}, {beyond} above 1e-6")
    print("largest {:.1e}, {:.1e} of the largest gradient, in {}".format(*found[-1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="where the gradients go; not with --scan")
    parser.add_argument("--batch_size", type=int, required=True, help="of each process")
    parser.add_argument("--networks", choices=("small", "resnet"), default="small")
    parser.add_argument("--double", action="store_true", help="in float64")
    parser.add_argument("--scan", type=int, help="so many batches, in one process, see `scan`")
    options = parser.parse_args()
    if options.double:
        in_double()
    weights = {"photometric": 1.0, "smoothness": 1e-3}
    objective = SelfSupervisedObjective(*networks(options.networks), weights, PhotometricOptions(automask=False)).eval()
    if options.scan:
        scan(objective, options.batch_size, options.scan)
        return
    with process_group("cpu") as process:
        model = DistributedDataParallel(objective) if process.world_size > 1 else objective
        numbers = range(options.batch_size * process.world_size)[process.rank :: process.world_size]
        found = gradients(model, objective, numbers)
        if process.is_main:
            torch.save(found, options.file)


if __name__ == "__main__":
    main()

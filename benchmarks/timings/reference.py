"""What a step and a sample cost when the method is computed as it was first published: the yardstick of the aims.

Written from the paper's description (Godard et al., ICCV 2019), one source and one scale at a time, with stock parts:
frames by Pillow and torchvision at four scales, jitter on each, SSIM by average pooling, the unwarped sources' error
again at every scale, contiguous memory, Adam as torch gives it. It learns the same, but for the
pose network's batch norm, which here sees one pair at a time: a test holds its loss against ours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from datasets.core.splits import FrameRef
from datasets.kitti.layout import KittiRaw
from depth.geometry import backproject, disparity_to_depth, invert_transform, project, transform_from_axis_angle
from depth.losses.photometric import C1, C2, SSIM_SHARE
from depth.objective import SelfSupervisedObjective
from depth.types import FrameBatch

SCALES = 4


def reference_loss(objective: SelfSupervisedObjective, batch: FrameBatch) -> Tensor:
    """The plain objective's loss with its default options: a scalar, equal to ours but for rounding."""
    size, sources = batch.target.shape[-2:], range(len(batch.offsets))
    disparities = objective.depth_net(batch.target_aug).disparities
    poses = [_pose(objective, batch, source) for source in sources]
    losses = []
    for scale, disparity in enumerate(disparities):
        depth = disparity_to_depth(F.interpolate(disparity, size, mode="bilinear"), 0.1, 100.0)
        moved = [_error(_warped(batch, i, depth, poses[i]), batch.target) for i in sources]
        still = torch.cat([_error(batch.sources[:, i], batch.target) for i in sources], 1)
        still = still + 1e-5 * torch.randn_like(still)
        photometric = torch.cat([still, *moved], 1).amin(1).mean()
        image = F.interpolate(batch.target, disparity.shape[-2:], mode="area") if scale else batch.target
        losses.append(photometric + 1e-3 * _smoothness(disparity, image) / 2**scale)
    return torch.stack(losses).mean()


def _pose(objective: SelfSupervisedObjective, batch: FrameBatch, source: int) -> Tensor:
    pair = [batch.target_aug, batch.sources_aug[:, source]]
    earlier = batch.offsets[source] < 0
    motion = objective.pose_net(torch.cat(pair[::-1] if earlier else pair, 1))
    transform = transform_from_axis_angle(motion[:, :3], motion[:, 3:])
    return invert_transform(transform) if earlier else transform


def _warped(batch: FrameBatch, source: int, depth: Tensor, source_from_target: Tensor) -> Tensor:
    height, width = depth.shape[-2:]
    points = backproject(depth, batch.intrinsics).flatten(2)
    points = source_from_target[:, :3, :3] @ points + source_from_target[:, :3, 3:]
    pixels = project(points.unflatten(2, (height, width)), batch.intrinsics)
    grid = torch.stack([pixels[:, 0] / (width - 1), pixels[:, 1] / (height - 1)], -1) * 2 - 1
    return F.grid_sample(batch.sources[:, source], grid, padding_mode="border", align_corners=True)


def _error(image: Tensor, target: Tensor) -> Tensor:
    """(B,3,H,W) each -> pe (B,1,H,W)."""
    mean_a, mean_b = _window(image), _window(target)
    variance_a = _window(image * image) - mean_a * mean_a
    variance_b = _window(target * target) - mean_b * mean_b
    covariance = _window(image * target) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    denominator = (mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2)
    distance = ((1 - numerator / denominator) / 2).clamp(0, 1).mean(1, True)
    return SSIM_SHARE * distance + (1 - SSIM_SHARE) * (image - target).abs().mean(1, True)


def _window(image: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), 3, 1)


def _smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    relative = disparity / (disparity.mean((2, 3), True) + 1e-7)
    total = disparity.new_zeros(())
    for axis in (2, 3):
        edge = image.diff(dim=axis).abs().mean(1, True)
        total = total + (relative.diff(dim=axis).abs() * torch.exp(-edge)).mean()
    return total


def reference_step(objective: SelfSupervisedObjective) -> Callable[[FrameBatch], None]:
    """Forward, backward and optimiser; the objective in contiguous memory, float32."""
    optimizer = torch.optim.Adam(objective.parameters(), 1e-4)

    def step(batch: FrameBatch) -> None:
        optimizer.zero_grad()
        reference_loss(objective, batch).backward()
        optimizer.step()

    return step


class ReferenceSamples(torch.utils.data.Dataset):
    """A target and both neighbours at four scales, clean and jittered, as float32 (3,H/2^s,W/2^s) in [0,1].

    size: (height, width) of the finest scale, pixels.
    """

    def __init__(self, source: KittiRaw, refs: list[FrameRef], size: tuple[int, int]) -> None:
        self.source, self.refs, self.size = source, refs, size

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        order, *factors = transforms.ColorJitter.get_params((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.1, 0.1))
        if torch.rand(()) < 0.5:  # half of the samples have none
            order = order[:0]
        sample = {}
        for offset in (-1, 0, 1):
            ref = self.refs[index]
            with Image.open(self.source.image_path(ref.neighbour(offset) if offset else ref)) as file:
                image = file.convert("RGB")
            for scale in range(SCALES):
                image = image.resize((self.size[1] >> scale, self.size[0] >> scale), Image.LANCZOS)
                sample[f"clean {offset} {scale}"] = functional.to_tensor(image)
                sample[f"jittered {offset} {scale}"] = functional.to_tensor(_jittered(image, order, factors))
        return sample


_ADJUST = (
    functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation, functional.adjust_hue,
)  # fmt: skip


def _jittered(image: Image.Image, order: Tensor, factors: list[float]) -> Image.Image:
    for which in order.tolist():
        image = _ADJUST[which](image, factors[which])
    return image

"""The whole objective against its formulas in float64, sample by sample: directions, means, weights, which images."""

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from depth.objective import PhotometricOptions, SelfSupervisedObjective
from depth.types import DepthOutput, FrameBatch

HEIGHT, WIDTH = 32, 48
OFFSETS = [(-1, 1), (1,), (-1,), (0,), (-1, 1, 0), (-2, 0)]
OPTIONS = [
    {},
    {"scales": (0,)},
    {"scales": (0, 2)},
    {"scales": (0, 3), "average": True},
    {"no_ssim": True},
    {"automask": False},
    {"automask": False, "average": True, "no_ssim": True},
    {"min_depth": 0.54, "max_depth": 540.0},
    {"learn_intrinsics": True},
]
CASES = [(offsets, options) for offsets in OFFSETS for options in OPTIONS]


class _Depth(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(3, 1, 3, padding=1) for _ in range(4))

    def forward(self, image):
        scaled = [image] + [F.avg_pool2d(image, 2**scale) for scale in (1, 2, 3)]
        return DepthOutput(tuple((head(x) - 3).sigmoid() for head, x in zip(self.heads, scaled, strict=True)))


class _Pose(nn.Module):
    def __init__(self):
        super().__init__()
        self.motion, self.camera = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, pair):
        return 0.05 * self.motion(pair.mean((2, 3)))

    def pose_and_intrinsics(self, pair):
        raw = 0.3 * self.camera(pair.mean((2, 3)))
        focal, centre = 0.6 * WIDTH * raw[:, :2].exp(), raw[:, 2:] + 0.5
        return self(pair), torch.cat([focal, centre * torch.tensor([WIDTH, HEIGHT])], 1)


class Expected(NamedTuple):
    """Of a batch; photometric and smoothness are float64 numbers, the rest is shaped as in StepOutput."""

    photometric: float
    smoothness: float
    synthesized: torch.Tensor
    gain: torch.Tensor  # (B,H,W): by how much the warped sources are worse than the unwarped ones, finest scale
    source_from_target: torch.Tensor
    intrinsics: torch.Tensor


def make_batch(offsets, size=2):
    """Smooth clean frames, tinted ones for the networks, and cameras that differ from sample to sample."""
    coarse = torch.rand(size * (1 + len(offsets)), 3, HEIGHT // 8, WIDTH // 8)
    frames = F.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1).view(size, -1, 3, HEIGHT, WIDTH)
    tinted = (frames * torch.tensor([0.8, 1.2, 0.9]).view(3, 1, 1)).clamp(0, 1)
    k = torch.tensor([[[30.0, 0, 22], [0, 29, 16.5], [0, 0, 1]], [[36.0, 0, 25], [0, 33, 14], [0, 0, 1]]])
    stereo = torch.eye(4).repeat(size, 1, 1)
    stereo[:, 0, 3] = torch.tensor([-0.1, 0.1])
    names = ("a", "b")
    return FrameBatch(frames[:, 0], frames[:, 1:], tinted[:, 0], tinted[:, 1:], k, stereo, offsets, names)


def _pair(batch, n, source):
    """(1,6,H,W), what the pose network sees of a source: jittered, the earlier frame first."""
    pair = [batch.target_aug[n], batch.sources_aug[n, source]]
    return torch.cat(pair if batch.offsets[source] > 0 else pair[::-1])[None]


def _source_from_target(pose_net, batch, n, source):
    if batch.offsets[source] == 0:
        return batch.stereo_from_target[n].double()
    x, y, z, *shift = pose_net(_pair(batch, n, source))[0].tolist()
    later_from_earlier = torch.eye(4).double()
    later_from_earlier[:3, :3] = torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]]).double())
    later_from_earlier[:3, 3] = torch.tensor(shift)
    return later_from_earlier if batch.offsets[source] > 0 else later_from_earlier.inverse()


def _camera(objective, batch, n):
    if not objective.options.learn_intrinsics:
        return batch.intrinsics[n].double()
    pairs = [_pair(batch, n, i) for i, offset in enumerate(batch.offsets) if offset]
    values = [objective.pose_net.pose_and_intrinsics(pair)[1][0] for pair in pairs]
    fx, fy, cx, cy = (sum(values) / len(values)).tolist()
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]).double()


def _warp(source, depth, source_from_target, k):
    """(3,H,W) at the places where the target's pixels are seen in it."""
    v, u = torch.meshgrid(torch.arange(HEIGHT).double(), torch.arange(WIDTH).double(), indexing="ij")
    points = k.inverse() @ torch.stack([u, v, torch.ones_like(u)]).flatten(1) * depth.flatten()
    x, y, z = k @ (source_from_target[:3, :3] @ points + source_from_target[:3, 3:])
    x, y = (x / z).clamp(0, WIDTH - 1), (y / z).clamp(0, HEIGHT - 1)
    left, top = x.long().clamp(max=WIDTH - 2), y.long().clamp(max=HEIGHT - 2)
    x, y = x - left, y - top
    above = source[:, top, left] * (1 - x) + source[:, top, left + 1] * x
    below = source[:, top + 1, left] * (1 - x) + source[:, top + 1, left + 1] * x
    return (above * (1 - y) + below * y).view(3, HEIGHT, WIDTH)


def _error(a, b, no_ssim):
    """pe of two images (3,H,W): (H,W)."""
    absolute = (a - b).abs().mean(0)
    if no_ssim:
        return absolute
    mean = lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)  # noqa: E731
    ma, mb = mean(a), mean(b)
    va, vb, covariance = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    ssim = (2 * ma * mb + 1e-4) * (2 * covariance + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4))
    return 0.85 * ((1 - ssim) / 2).clamp(0, 1).mean(0) + 0.15 * absolute


def _smoothness(disparity, image):
    """Of one sample: (h,w), (3,h,w)."""
    relative, total = disparity / disparity.mean(), 0.0
    for dim in (0, 1):
        edge = image.diff(dim=1 + dim).abs().mean(0)
        total += (relative.diff(dim=dim).abs() * torch.exp(-edge)).mean()
    return total


def _of_sample(objective, batch, n):
    """Expected of one sample, where the two losses are its own means over the scales."""
    options, over = objective.options, torch.mean if objective.options.average else torch.amin
    target, sources = batch.target[n].double(), batch.sources[n].double()
    k = _camera(objective, batch, n)
    poses = [_source_from_target(objective.pose_net, batch, n, i) for i in range(len(sources))]
    disparities = objective.depth_net(batch.target_aug[n, None]).disparities
    still = over(torch.stack([_error(target, source, options.no_ssim) for source in sources]), 0)
    photometric, smoothness, warped, gains = [], [], [], []
    for scale in options.scales:
        disparity = disparities[scale].double()
        image = F.avg_pool2d(target, 2**scale)
        smoothness.append(_smoothness(disparity[0, 0], image) / 2**scale)
        full = F.interpolate(disparity, (HEIGHT, WIDTH), mode="bilinear")[0, 0]
        depth = 1 / (1 / options.max_depth + (1 / options.min_depth - 1 / options.max_depth) * full)
        warped.append(torch.stack([_warp(s, depth, pose, k) for s, pose in zip(sources, poses, strict=True)]))
        error = over(torch.stack([_error(target, w, options.no_ssim) for w in warped[-1]]), 0)
        photometric.append((torch.minimum(error, still) if options.automask else error).mean())
        gains.append(error - still)
    means = [torch.stack(terms).mean() for terms in (photometric, smoothness)]
    return Expected(*means, warped[0], gains[0], torch.stack(poses), k)


def expected_of(objective, batch):
    samples = [_of_sample(objective, batch, n) for n in range(len(batch.names))]
    photometric, smoothness, *rest = (torch.stack(values) for values in zip(*samples, strict=True))
    return Expected(photometric.mean().item(), smoothness.mean().item(), *rest)


@pytest.mark.parametrize(("offsets", "options"), [c for c in CASES if any(c[0]) or "learn_intrinsics" not in c[1]])
def test_equals_the_formulas(offsets, options):
    torch.manual_seed(0)
    pose_net = _Pose() if any(offsets) else None
    weights = {"photometric": 1.0, "smoothness": 1e-3}
    objective = SelfSupervisedObjective(_Depth(), pose_net, weights, PhotometricOptions(**options))
    batch = make_batch(offsets)
    with torch.no_grad():
        output, expected = objective(batch), expected_of(objective, batch)
    terms = {name: value.item() for name, value in output.terms.values.items()}
    # The noise that breaks the auto-mask's ties is 1e-5 a pixel.
    assert terms["photometric"] == pytest.approx(expected.photometric, abs=1e-5)
    assert terms["smoothness"] == pytest.approx(expected.smoothness, rel=1e-5)
    assert output.loss.item() == pytest.approx(terms["photometric"] + 1e-3 * terms["smoothness"], rel=1e-5)
    torch.testing.assert_close(output.synthesized.double(), expected.synthesized, atol=1e-4, rtol=0)
    torch.testing.assert_close(output.source_from_target.double(), expected.source_from_target, atol=1e-5, rtol=0)
    if "learn_intrinsics" in options:
        torch.testing.assert_close(output.intrinsics.double(), expected.intrinsics, atol=1e-4, rtol=0)
    clear = expected.gain.abs() > 1e-3
    moves = expected.gain < 0 if objective.options.automask else torch.ones_like(clear)
    assert torch.equal(output.active[:, 0][clear], moves[clear])

"""Cameras that are turned: what they show, how they move, which of their pixels count."""

import math
from dataclasses import replace

import pytest
import torch

from datasets.core.augment import prepare
from datasets.core.frames import NO_JITTER, FrameDataset, collate, draw_augmentation, draw_pitch
from datasets.core.splits import FrameRef
from datasets.core.turning import turn
from datasets.kitti.layout import KittiRaw
from depth.geometry import transform_from_axis_angle, warp
from depth.types import Known, RawBatch
from tests.kitti_layout import DRIVE, write_raw

HEIGHT, WIDTH, FOCAL = 48, 64, 40.0
INTRINSICS = torch.tensor([[FOCAL, 0, 31.5], [0, FOCAL, 23.5], [0, 0, 1]]).repeat(2, 1, 1)
PITCH = torch.tensor([0.06, -0.03])


def _rays():
    v, u = torch.meshgrid(torch.arange(HEIGHT).float(), torch.arange(WIDTH).float(), indexing="ij")
    return torch.stack([(u - 31.5) / FOCAL, (v - 23.5) / FOCAL, torch.ones_like(u)])


def _seen(direction):
    """Three smooth colours of a world at infinity, by direction (3,...): what a camera shows along it."""
    x, y, z = direction / direction.norm(dim=0, keepdim=True)
    return torch.stack([0.5 + 0.4 * torch.sin(3 * x), 0.5 + 0.4 * torch.sin(4 * y), 0.5 + 0.4 * z * y])


def _about_x(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]])


def _turned(known=Known(), frames=None, stereo=None):
    frames = _seen(_rays()).repeat(2, 3, 1, 1, 1) if frames is None else frames
    return turn(frames, INTRINSICS, torch.eye(4).repeat(2, 1, 1) if stereo is None else stereo, known, PITCH)


def test_a_turned_camera_shows_what_lies_where_it_looks():
    frames, _, known = _turned()
    for i, angle in enumerate(PITCH.tolist()):
        before = torch.einsum("ij,jhw->ihw", _about_x(angle).T, _rays())  # in the axes before the turn
        expected, inside = _seen(before), known.counted[i, 0]
        rows = 23.5 + FOCAL * before[1] / before[2]
        columns = 31.5 + FOCAL * before[0] / before[2]
        there = (rows >= 0) & (rows <= HEIGHT - 1) & (columns >= 0) & (columns <= WIDTH - 1)
        assert torch.equal(inside, there) and 0.85 < inside.float().mean() < 0.97
        for frame in range(3):
            assert (frames[i, frame] - expected).abs().amax(0)[inside].max() < 2e-3
    assert torch.equal(known.sources_counted, known.counted.expand(-1, 2, -1, -1))


def test_a_positive_pitch_looks_down():
    """The row that was in the middle moves up."""
    frames = torch.zeros(2, 1, 3, HEIGHT, WIDTH)
    frames[:, :, :, 24] = 1
    found = _turned(frames=frames)[0][:, 0, 0, :, 32].argmax(1)
    assert found.tolist() == [24 - round(FOCAL * 0.06), 24 + round(FOCAL * 0.03)]


def test_video_stays_as_consistent_as_it_was():
    """A wall straight ahead, moved past: warping by turned motion and turned depth gives the turned target."""
    torch.manual_seed(0)
    depth = torch.full((2, 1, HEIGHT, WIDTH), 4.0)
    motion = transform_from_axis_angle(torch.tensor([[0.01, 0.02, 0.0]] * 2), torch.tensor([[0.1, -0.05, 0.2]] * 2))
    points = depth * _rays()
    target = _seen(points[0] * torch.tensor([1, 1, 0.7]).view(3, 1, 1)).repeat(2, 1, 1, 1)
    # The source, by the wall's points that its pixels see: n . X = 4 with X = R^T (d ray - t).
    rotation, shift = motion[0, :3, :3], motion[0, :3, 3]
    rays = torch.einsum("ij,jhw->ihw", rotation.T, _rays())
    reach = (4 + (rotation.T @ shift)[2]) / rays[2]
    wall = reach * rays - (rotation.T @ shift).view(3, 1, 1)
    source = _seen(wall * torch.tensor([1, 1, 0.7]).view(3, 1, 1)).repeat(2, 1, 1, 1)
    straight = warp(source[:, None], depth, motion[:, None], INTRINSICS)[:, 0, :, 0]
    middle = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    assert (straight - target)[middle].abs().max() < 3e-3

    frames, stereo, known = _turned(
        Known(source_from_target=motion[:, None]), torch.stack([target, source], 1), stereo=motion
    )
    assert torch.allclose(stereo, known.source_from_target[:, 0])
    turned_rays = torch.stack([torch.einsum("ij,jhw->ihw", _about_x(angle).T, _rays()) for angle in PITCH.tolist()])
    turned_depth = (4 / turned_rays[:, 2])[:, None]  # of the wall along the turned pixels, by their own z
    found = warp(frames[:, 1:], turned_depth, known.source_from_target, INTRINSICS)[:, 0, :, 0]
    assert (found - frames[:, 0])[middle].abs().max() < 3e-3


def test_pixels_that_did_not_count_move_along():
    counted = torch.ones(2, 1, HEIGHT, WIDTH, dtype=torch.bool)
    counted[:, :, 30:] = False
    known = _turned(Known(counted=counted))[2]
    last = known.counted[:, 0, :, 32].long().cumsum(1).argmax(1)  # the lowest row that counts
    assert last.tolist() == [30 - 1 - math.ceil(FOCAL * 0.06), 30 - 1 + 1]
    assert known.sources_counted[:, :, 31:40].any()  # of the sources all did
    with pytest.raises(ValueError, match="depth"):
        _turned(Known(depth=torch.ones(2, 1, HEIGHT, WIDTH)))


def test_draws_are_even_and_move_no_other_draw():
    turns = torch.tensor([draw_pitch(3, epoch, index, 2.0) for epoch in range(4) for index in range(250)])
    degrees = torch.rad2deg(turns)
    assert degrees.abs().max() <= 2 and degrees.mean().abs() < 0.15 and abs(degrees.std() - 4 / 12**0.5) < 0.1
    before = draw_augmentation(3, 1, 7)
    draw_pitch(3, 1, 7, 2.0)
    assert draw_augmentation(3, 1, 7) == before and draw_pitch(3, 1, 7, 2.0) == draw_pitch(3, 1, 7, 2.0)


def test_training_samples_are_turned_and_those_of_a_validation_are_not(tmp_path):
    source, refs = KittiRaw(write_raw(tmp_path, range(4))), [FrameRef(DRIVE, frame, "l") for frame in (1, 2)]
    batches = [
        collate([FrameDataset(source, refs, 64, 96, augment=augment, pitch_jitter=5.0)[i] for i in range(2)])
        for augment in (True, False)
    ]
    drawn = torch.tensor([draw_pitch(0, 0, i, 5.0) for i in range(2)])
    assert torch.equal(batches[0].pitch, drawn) and batches[1].pitch is None
    turned, plain = (prepare(batch, "cpu") for batch in batches)
    assert plain.known.counted is None and not turned.known.counted.all() and turned.known.counted.any()
    assert turned.known.sources_counted.shape == (2, 2, 64, 96)


def test_a_mirrored_sample_is_turned_by_its_own_intrinsics():
    """A turn up or down and a mirror change places, with a principal point that is nowhere near the middle."""
    intrinsics = INTRINSICS + torch.tensor([[0, 0, 9.0], [0, 0, -4], [0, 0, 0]])
    raw = RawBatch(
        (255 * _seen(_rays()).repeat(2, 3, 1, 1, 1)).byte(), intrinsics, torch.eye(4).repeat(2, 1, 1),
        torch.tensor([False, False]), torch.tensor([NO_JITTER] * 2), (-1, 1), ("a", "b"), pitch=PITCH,
    )  # fmt: skip
    plain, mirrored = prepare(raw, "cpu"), prepare(replace(raw, flip=torch.tensor([True, True])), "cpu")
    assert torch.allclose(mirrored.target, plain.target.flip(-1), atol=1e-5)
    assert torch.allclose(mirrored.sources, plain.sources.flip(-1), atol=1e-5)
    assert (mirrored.known.counted != plain.known.counted.flip(-1)).float().mean() < 0.01  # at the very border

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as F

from datasets.core.augment import colour_jitter, mirror, prepare
from datasets.core.frames import NO_JITTER
from depth.types import RawBatch


def raw_batch(flip, jitter, height=12, width=20, sources=2):
    batch = len(flip)
    generator = torch.Generator().manual_seed(1)
    k = torch.tensor([[15.0, 0.2, 8.5], [0, 14, 6.1], [0, 0, 1]])
    stereo = torch.eye(4).repeat(batch, 1, 1)
    stereo[:, :3, 3] = torch.tensor([-0.5, 0.01, 0.02])
    return RawBatch(
        frames=torch.randint(0, 256, (batch, 1 + sources, 3, height, width), dtype=torch.uint8, generator=generator),
        intrinsics=k.repeat(batch, 1, 1),
        stereo_from_target=stereo,
        flip=torch.tensor(flip),
        jitter=torch.tensor(jitter),
        offsets=(-1, 0)[:sources],
        names=tuple(f"frame {i}" for i in range(batch)),
    )


def test_one_pixel_by_hand():
    # Brightness 0.5 halves; a flat image is its own mean, so contrast leaves it; saturation 0 is the luma.
    red = torch.tensor([0.8, 0.2, 0.0]).view(1, 1, 3, 1, 1)
    assert torch.allclose(colour_jitter(red, torch.tensor([[0.5, 1.0, 1.0, 0.0]])), red / 2, atol=1e-6)
    grey = colour_jitter(red, torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    assert torch.allclose(grey, torch.full_like(red, 0.2989 * 0.8 + 0.587 * 0.2), atol=1e-6)
    # A third of a turn takes red to green.
    turned = colour_jitter(red, torch.tensor([[1.0, 1.0, 1.0, 1 / 3]]))
    assert torch.allclose(turned.flatten(), torch.tensor([0.0, 0.8, 0.2]), atol=1e-5)


def test_jitter_is_torchvisions_in_the_order_brightness_contrast_saturation_hue():
    torch.manual_seed(0)
    images = torch.rand(5, 3, 3, 17, 23)
    images[0, 0, :, :, :9] = images[0, 0, :1, :, :9]  # grey
    images[1] = images[1].round()  # corners of the colour cube
    images[2] = images[2] * 1e-3
    jitter = torch.rand(5, 4) * torch.tensor([0.4, 0.4, 0.4, 0.2]) + torch.tensor([0.8, 0.8, 0.8, -0.1])
    jitter[4] = torch.tensor([1.2, 0.8, 1.2, 0.5])
    result = colour_jitter(images, jitter)
    for image, factors, ours in zip(images, jitter.tolist(), result, strict=True):
        theirs = F.adjust_contrast(F.adjust_brightness(image, factors[0]), factors[1])
        theirs = F.adjust_hue(F.adjust_saturation(theirs, factors[2]), factors[3])
        assert (ours - theirs).abs().max() < 1e-5


def test_only_drawn_samples_change_and_frames_share_their_draws():
    raw = raw_batch([False] * 3, [NO_JITTER, (1.1, 0.9, 1.2, 0.05), NO_JITTER])
    raw.frames[1, 1] = raw.frames[1, 0]
    batch = prepare(raw, "cpu")
    assert torch.equal(batch.target[:, None].mul(255).round().byte(), raw.frames[:, :1])
    assert torch.equal(batch.sources.mul(255).round().byte(), raw.frames[:, 1:])
    for sample in (0, 2):
        assert torch.equal(batch.target_aug[sample], batch.target[sample])
        assert torch.equal(batch.sources_aug[sample], batch.sources[sample])
    assert not torch.equal(batch.target_aug[1], batch.target[1])
    assert torch.equal(batch.target_aug[1], batch.sources_aug[1, 0])
    assert not torch.equal(batch.sources_aug[1, 1], batch.sources[1, 1])
    assert (batch.offsets, batch.names) == (raw.offsets, raw.names)


def test_without_jitter_nothing_is_copied():
    batch = prepare(raw_batch([True, False], [NO_JITTER, NO_JITTER]), "cpu")
    for shown, clean in ((batch.sources_aug, batch.sources), (batch.target_aug, batch.target)):
        assert shown.data_ptr() == clean.data_ptr() and torch.equal(shown, clean)
    assert batch.target.dtype == torch.float32 and batch.target.min() >= 0 and batch.target.max() <= 1


def test_mirrored_frames_by_hand():
    raw = raw_batch([True, False], [NO_JITTER, NO_JITTER], width=20)
    batch = prepare(raw, "cpu")
    plain = prepare(raw_batch([False, False], [NO_JITTER, NO_JITTER], width=20), "cpu")
    assert torch.equal(batch.target[0], plain.target[0].flip(-1))
    assert torch.equal(batch.sources[0], plain.sources[0].flip(-1))
    assert torch.equal(batch.target[1], plain.target[1])
    assert batch.intrinsics[:, 0, 2].tolist() == [19 - 8.5, 8.5]
    assert torch.allclose(batch.stereo_from_target[:, 0, 3], torch.tensor([0.5, -0.5]))
    assert torch.equal(batch.stereo_from_target[0, 1:, 3], plain.stereo_from_target[0, 1:, 3])


def test_a_mirrored_world_projects_to_mirrored_pixels():
    """X mirrored in x is seen by both mirrored cameras where the plain ones see X, mirrored."""
    width = 20
    raw = raw_batch([True], [NO_JITTER], width=width)
    angle = 0.1
    raw.stereo_from_target[0, 0, :3] = torch.tensor([np.cos(angle), 0, np.sin(angle)])
    raw.stereo_from_target[0, 2, :3] = torch.tensor([-np.sin(angle), 0, np.cos(angle)])
    _, k, stereo = mirror(raw.frames, raw.intrinsics, raw.stereo_from_target, raw.flip)
    point = torch.tensor([0.7, -0.3, 4.0, 1.0])
    mirrored = point * torch.tensor([-1, 1, 1, 1])
    for plain_camera, mirrored_camera in ((torch.eye(4), torch.eye(4)), (raw.stereo_from_target[0], stereo[0])):
        expected = raw.intrinsics[0] @ (plain_camera @ point)[:3]
        result = k[0] @ (mirrored_camera @ mirrored)[:3]
        assert torch.allclose(result[0] / result[2], width - 1 - expected[0] / expected[2], atol=1e-4)
        assert torch.allclose(result[1] / result[2], expected[1] / expected[2], atol=1e-4)


def test_mirroring_twice_is_nothing():
    raw = raw_batch([True, True], [NO_JITTER] * 2)
    once = mirror(raw.frames, raw.intrinsics, raw.stereo_from_target, raw.flip)
    twice = mirror(*once, raw.flip)
    for result, start in zip(twice, (raw.frames, raw.intrinsics, raw.stereo_from_target), strict=True):
        assert torch.allclose(result.float(), start.float(), atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_prepare_on_a_gpu_agrees_and_does_not_wait():
    raw = raw_batch([True, False, True], [NO_JITTER, (1.1, 0.9, 1.2, 0.05), (0.8, 1.2, 0.9, -0.1)])
    expected, pinned = prepare(raw, "cpu"), raw.pin_memory()
    prepare(pinned, "cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = prepare(pinned, "cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name in ("target", "sources", "target_aug", "sources_aug", "intrinsics", "stereo_from_target"):
        assert torch.allclose(getattr(batch, name).cpu(), getattr(expected, name), atol=1e-5), name

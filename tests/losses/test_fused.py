"""The photometric loss in one pass against the plain one: same value, same gradient."""

import pytest
import torch

from depth.geometry import warp
from depth.losses import fused
from depth.losses.fused import reprojection_loss
from depth.losses.photometric import beside_mask, min_reprojection, pixel_weights, split_mask


def _images(batch=2, number=2, scales=3, height=11, width=14, dtype=torch.float64):
    """Smooth images with a constant patch, where SSIM is 1 but for rounding."""
    target = torch.rand(batch, 3, height, width, dtype=dtype)
    warped = (target[:, None, :, None] + 0.3 * torch.rand(batch, number, 3, scales, height, width, dtype=dtype)).clamp(
        0, 1
    )
    sources = (target[:, None] + 0.2 * torch.rand(batch, number, 3, height, width, dtype=dtype)).clamp(0, 1)
    target[..., :4, :4] = 0.5
    warped[..., :4, :4] = 0.5
    return target, warped.requires_grad_(), sources


def _both(images, **options):
    """Value, mask and gradient of the plain and of the fused path, with the same noise."""
    target, warped, sources = images
    results = []
    for fuse in (False, True):
        torch.manual_seed(5)
        if fuse:
            value, active = reprojection_loss(target, warped, sources, **options)
        else:
            error, active = min_reprojection(target, warped, sources, **options)
            value = error.mean()
        (gradient,) = torch.autograd.grad(3 * value, warped)
        results.append((value.detach(), active, gradient))
    return results


@pytest.mark.parametrize("automask", [True, False])
def test_sources_that_do_not_count_there(automask, monkeypatch):
    """Both paths agree; where one source is unseen the other one's error counts, and where both are, none."""
    monkeypatch.setattr(fused, "_CACHED_VALUES", 300)
    images, seen = _images(), torch.rand(2, 2, 3, 11, 14) < 0.6
    plain, ours = _both(images, seen=seen, automask=automask)
    assert torch.allclose(ours[0], plain[0], rtol=1e-10) and torch.equal(ours[1], plain[1])
    assert torch.allclose(ours[2], plain[2], rtol=1e-6, atol=1e-11)
    alone, nothing = torch.zeros_like(seen), torch.zeros_like(seen)
    alone[:, 1] = True
    target, warped, sources = images
    torch.manual_seed(5)
    value, _ = reprojection_loss(target, warped, sources, seen=alone, automask=False)
    assert torch.allclose(value, reprojection_loss(target, warped[:, 1:], sources[:, 1:], automask=False)[0])
    value, active = reprojection_loss(target, warped, sources, seen=nothing, automask=automask)
    assert not active.any() and not torch.autograd.grad(value, warped)[0].any() and (automask or value == 0)


def test_what_lies_under_a_sources_mask_does_not_matter():
    """Other colours on the source's bonnet: the same loss and gradient, to the pixel beside it."""
    torch.manual_seed(0)
    target, sources = torch.rand(1, 3, 12, 16), torch.rand(1, 2, 3, 12, 16)
    counted = torch.ones(1, 2, 12, 16, dtype=torch.bool)
    counted[:, 0, 8:] = False
    depth = (4 + torch.rand(1, 2, 12, 16)).requires_grad_()
    camera = torch.tensor([[[15.0, 0, 7.5], [0, 15, 5.5], [0, 0, 1]]])
    motion = torch.eye(4).repeat(1, 2, 1, 1)
    motion[0, :, :3, 3] = torch.tensor([[0.3, -0.4, 0.1], [0.2, 0.1, -0.2]])
    found = []
    for colour in (0.0, 1.0):
        painted = torch.where(counted[:, :, None], sources, colour)
        warped, seen = split_mask(warp(beside_mask(painted, counted), depth, motion, camera))
        value, active = reprojection_loss(target, warped, painted, seen=seen, automask=False)
        found.append((value, active, torch.autograd.grad(value, depth)[0]))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert not seen[:, 0].all() and seen[:, 0].any() and seen[:, 1].all()
    assert split_mask(warp(sources, depth, motion, camera))[1] is None


def test_a_depth_that_is_not_a_number_shows_beside_masks_too():
    sources, counted = torch.rand(1, 1, 3, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.bool)
    depth = torch.ones(1, 1, 8, 8)
    depth[0, 0, 4, 4] = torch.nan
    camera, motion = torch.tensor([[[8.0, 0, 3.5], [0, 8, 3.5], [0, 0, 1]]]), torch.eye(4)[None, None]
    warped, seen = split_mask(warp(beside_mask(sources, counted), depth, motion, camera))
    for automask in (False, True):
        options = {"seen": seen, "automask": automask}
        assert reprojection_loss(sources[:, 0], warped, sources, **options)[0].isnan()
        assert min_reprojection(sources[:, 0], warped, sources, **options)[0].isnan().any()


@pytest.mark.parametrize("options", [{}, {"automask": False}, {"average": True}, {"no_ssim": True}])
@pytest.mark.parametrize("size", [(11, 14), (2, 2), (40, 3)])
def test_equals_the_plain_path(options, size, monkeypatch):
    monkeypatch.setattr(fused, "_CACHED_VALUES", 300)  # several stripes
    plain, ours = _both(_images(height=size[0], width=size[1]), **options)
    assert torch.allclose(ours[0], plain[0], rtol=1e-10)
    assert torch.equal(ours[1], plain[1])
    assert torch.allclose(ours[2], plain[2], rtol=1e-6, atol=1e-11)


def test_equals_the_plain_path_in_float32():
    plain, ours = _both(_images(height=48, width=64, dtype=torch.float32))
    assert torch.allclose(ours[0], plain[0], rtol=1e-6)
    assert (ours[1] != plain[1]).float().mean() < 1e-3
    assert (ours[2] - plain[2]).norm() < 1e-4 * plain[2].norm()


def test_all_at_once_equals_part_by_part(monkeypatch):
    """A GPU takes the batch as one part."""
    images = _images()
    _, by_parts = _both(images)
    monkeypatch.setattr(fused, "_parts", lambda count, device: [slice(0, count)])
    _, at_once = _both(images)
    assert torch.allclose(by_parts[0], at_once[0], rtol=1e-12) and torch.equal(by_parts[1], at_once[1])
    assert torch.allclose(by_parts[2], at_once[2], rtol=1e-12, atol=1e-15)


def test_gradient_by_differences():
    target, warped, sources = _images(1, 2, 2, 5, 6)
    warped = torch.rand_like(warped).requires_grad_()  # off the constant patch, where |a - b| has a corner
    assert torch.autograd.gradcheck(
        lambda image: reprojection_loss(target, image, sources, automask=False)[0], (warped,), atol=1e-7
    )


def test_value_without_gradient():
    images = _images()
    with torch.no_grad():
        value, _ = reprojection_loss(images[0], images[1], images[2], automask=False)
    assert torch.allclose(value, min_reprojection(*images, automask=False)[0].mean())


@pytest.mark.parametrize("options", [{}, {"automask": False}, {"average": True}])
def test_pixels_that_do_not_count(options, monkeypatch):
    """The mean runs over the pixels that count, image by image; the others have no gradient and are not active."""
    monkeypatch.setattr(fused, "_CACHED_VALUES", 300)
    target, warped, sources = _images()
    counted = torch.rand(2, 1, 11, 14) < 0.7
    counted[1, :, 5:] = False
    torch.manual_seed(5)
    value, active = reprojection_loss(target, warped, sources, weight=pixel_weights(counted).double(), **options)
    torch.manual_seed(5)
    error, moving = min_reprojection(target, warped, sources, **options)
    chosen = counted.expand_as(error)
    expected = torch.stack([error[i][chosen[i]].mean() for i in range(2)]).mean()
    assert torch.allclose(value, expected, rtol=1e-7)
    assert torch.equal(active, moving & chosen)
    wanted, found = (torch.autograd.grad(each, warped)[0] for each in (expected, value))
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-9)


def test_an_image_without_a_pixel_that_counts_weighs_nothing():
    target, warped, sources = _images()
    counted = torch.ones(2, 1, 11, 14, dtype=torch.bool)
    counted[0] = False
    value, _ = reprojection_loss(target, warped, sources, weight=pixel_weights(counted).double())
    (gradient,) = torch.autograd.grad(value, warped)
    assert value > 0 and not gradient[0].any() and gradient[1].any()

"""Photometric loss and smoothness: values worked by hand, properties."""

import math

import torch
import torch.nn.functional as F

from depth.losses.photometric import min_reprojection, photometric_error, ssim_distance, window_mean, window_statistics
from depth.losses.smoothness import edge_aware_smoothness


def _error(target, image):
    reference = target[:, None, :, None]
    return photometric_error(reference, image[:, None, :, None], window_statistics(reference))[:, 0, 0]


def test_window_mean_by_hand():
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 0] = 9.0
    mean = window_mean(image)[0, 0]
    # The corner is seen once from itself and from (1,1); reflection shows row and column 1 again, never row 0.
    assert mean[0, 0] == 1.0 and mean[1, 1] == 1.0 and mean[0, 1] == 1.0 and mean[2, 2] == 0.0


def test_ssim_of_constant_images_by_hand():
    a, b = torch.full((1, 1, 5, 5), 0.2), torch.full((1, 1, 5, 5), 0.6)
    expected = (1 - (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)) / 2  # variances are 0, the C2 factors cancel
    assert torch.allclose(ssim_distance(a, b, window_statistics(a)), torch.full_like(a, expected), atol=1e-4)


def test_ssim_equals_a_plain_window_loop():
    a, b = torch.rand(6, 7, dtype=torch.float64), torch.rand(6, 7, dtype=torch.float64)
    ours = ssim_distance(a[None, None], b[None, None], window_statistics(a[None, None]))[0, 0]
    pad = lambda x: F.pad(x[None, None], (1, 1, 1, 1), mode="reflect")[0, 0]  # noqa: E731
    pa, pb = pad(a), pad(b)
    for r in range(6):
        for c in range(7):
            wa, wb = pa[r : r + 3, c : c + 3], pb[r : r + 3, c : c + 3]
            covariance = ((wa - wa.mean()) * (wb - wb.mean())).mean()
            top = (2 * wa.mean() * wb.mean() + 1e-4) * (2 * covariance + 9e-4)
            bottom = (wa.mean() ** 2 + wb.mean() ** 2 + 1e-4) * (wa.var(correction=0) + wb.var(correction=0) + 9e-4)
            assert math.isclose(ours[r, c], max(0, min(1, (1 - top / bottom) / 2)), abs_tol=1e-9)


def test_photometric_error_is_zero_on_itself_and_weighs_085_015():
    target = torch.rand(2, 3, 8, 8)
    assert _error(target, target).abs().max() < 1e-5
    a, b = torch.full((1, 3, 5, 5), 0.2), torch.full((1, 3, 5, 5), 0.6)
    ssim = (1 - (0.24 + 1e-4) / (0.4 + 1e-4)) / 2
    assert torch.allclose(_error(a, b), torch.full((1, 5, 5), 0.85 * ssim + 0.15 * 0.4), atol=1e-4)


def test_minimum_takes_the_better_source_per_pixel():
    target = torch.rand(1, 3, 8, 16)
    left, right = target.clone(), target.clone()
    left[..., 8:], right[..., :8] = 0, 0  # each source is right on one half
    synthesized = torch.stack([left, right], 1)[:, :, :, None]
    error, _ = min_reprojection(target, synthesized, synthesized[:, :, :, 0], automask=False)
    assert error[..., :7].max() < 1e-5 and error[..., 9:].max() < 1e-5
    average, _ = min_reprojection(target, synthesized, synthesized[:, :, :, 0], automask=False, average=True)
    assert average.mean() > 0.1


def test_automask_ignores_what_does_not_move():
    target = torch.rand(1, 3, 8, 16)
    still, moving = target[:, None].clone(), torch.rand(1, 1, 3, 8, 16)
    perfect, wrong = target[:, None, :, None], torch.rand(1, 1, 3, 1, 8, 16)
    assert not min_reprojection(target, wrong, still)[1].any()
    assert min_reprojection(target, perfect, moving)[1].float().mean() > 0.95
    assert min_reprojection(target, wrong, still, automask=False)[1].all()


def test_averages_are_compared_with_averages():
    """Unwarped sources 0.2 and 0.6 off, warped ones 0.3: the smaller mean is 0.3, and the least single error 0.2."""
    target = torch.zeros(1, 3, 4, 4)
    still = torch.tensor([0.2, 0.6]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 4, 4)
    warped = torch.full((1, 2, 3, 1, 4, 4), 0.3)
    error, active = min_reprojection(target, warped, still, average=True, no_ssim=True)
    assert torch.allclose(error, torch.tensor(0.3)) and active.all()


def test_automask_breaks_ties_with_noise():
    target = torch.rand(1, 3, 32, 32)
    _, active = min_reprojection(target, target[:, None, :, None] * 0.9, target[:, None] * 0.9)
    assert 0.3 < active.float().mean() < 0.7


def test_smoothness_by_hand():
    disparity = torch.tensor([[[[1.0, 3.0], [1.0, 3.0]]]])  # mean 2, normalised step 1
    image = torch.zeros(1, 3, 2, 2)
    assert torch.isclose(edge_aware_smoothness(disparity, image), torch.tensor(1.0), atol=1e-5)
    image[..., 1] = 1.0  # an image edge at the same place: exp(-1)
    assert torch.isclose(edge_aware_smoothness(disparity, image), torch.tensor(math.exp(-1)), atol=1e-5)


def test_every_sample_is_divided_by_its_own_mean():
    near, far = torch.tensor([1.0, 3.0]).expand(1, 1, 2, 2), torch.tensor([10.0, 14.0]).expand(1, 1, 2, 2)
    # Normalised steps 2/2 and 4/12; a common mean of 7 would give 2/7 and 4/7.
    found = edge_aware_smoothness(torch.cat([near, far]), torch.zeros(2, 3, 2, 2))
    assert torch.isclose(found, torch.tensor((1 + 1 / 3) / 2), atol=1e-5)


def test_colours_that_change_against_each_other_are_an_edge():
    disparity = torch.tensor([[[[1.0, 3.0], [1.0, 3.0]]]])
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0, :, 1], image[0, 1, :, 1] = 0.5, -0.5  # mean over colour 0, mean size 1/3
    for across in (disparity, image), (disparity.mT, image.mT):
        assert torch.isclose(edge_aware_smoothness(*across), torch.tensor(math.exp(-1 / 3)), atol=1e-5)


def test_smoothness_does_not_depend_on_scale():
    disparity, image = torch.rand(2, 1, 8, 8) + 0.1, torch.rand(2, 3, 8, 8)
    assert torch.isclose(
        edge_aware_smoothness(disparity, image), edge_aware_smoothness(5 * disparity, image), rtol=1e-4
    )

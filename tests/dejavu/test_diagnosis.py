"""What is said of a branch, on frames where the answer is known."""

import pytest
import torch
from torch import nn

from depth.dejavu.branch import DejaVu
from depth.dejavu.diagnosis import detail, diagnose, texture_in
from depth.dejavu.edits.spatial import NoEdit
from depth.dejavu.edits.spectral import BandStop

SIZE = (64, 96)


def noise(seed, channels=1):
    return torch.rand(2, channels, *SIZE, generator=torch.Generator().manual_seed(seed))


def step(height=1.0):
    """A disparity with one edge down the middle."""
    return (1.0 + height * (torch.arange(SIZE[1]) >= SIZE[1] // 2)).expand(2, 1, *SIZE).clone()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_copy_is_found_whatever_its_sign(sign):
    image = noise(0).expand(-1, 3, -1, -1)
    texture, growth = texture_in(step() + sign * 0.01 * noise(0), torch.zeros(2, 1, *SIZE), image)
    assert texture > 0.99 and growth == 0.0


def test_a_disparity_of_its_own_is_no_copy():
    image = noise(0, 3)
    assert texture_in(step() + 0.01 * noise(1), torch.zeros(2, 1, *SIZE), image)[0] < 0.1
    assert texture_in(torch.ones(2, 1, *SIZE), torch.zeros(2, 1, *SIZE), image) == (0.0, 0.0)


def test_texture_at_an_edge_is_none():
    """An edge of the image that is one of the disparity is what depth should show."""
    image = step().expand(-1, 3, -1, -1) + 0.1 * noise(0, 3)
    assert texture_in(step() + 0.001 * noise(1), torch.zeros(2, 1, *SIZE), image)[0] < 0.1


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_growth_is_towards_more_of_what_is_there(sign):
    """Descent moves C against the gradient: -grey as the gradient writes grey into it."""
    grey = noise(0)
    copy = step() + sign * 0.01 * grey
    image = grey.expand(-1, 3, -1, -1)
    assert texture_in(copy, -sign * grey, image)[1] > 0.99
    assert texture_in(copy, sign * grey, image)[1] < -0.99


def test_channels_count_by_their_details():
    grey, image = noise(0), noise(0).expand(-1, 3, -1, -1)
    loud, quiet = step() + 0.01 * grey, step() + 1e-6 * noise(1)
    texture, _ = texture_in(torch.cat((loud, quiet), 1), torch.zeros(2, 2, *SIZE), image)
    assert texture > 0.99


class Brightness(nn.Module):
    """A module that takes C for the image."""

    def forward(self, redacted, prediction):
        return prediction.mean(1, keepdim=True).expand_as(redacted)


def mse_to(target):
    return lambda regenerated: (regenerated - target).square().mean()


def test_errors_by_hand():
    target = torch.full((1, 3, *SIZE), 0.5)
    c = torch.tensor([0.1, 0.7]).repeat(SIZE[1] // 2).expand(1, 1, *SIZE)
    found = diagnose(DejaVu(NoEdit(), Brightness(), normalise=False), target, c, 0.0, mse_to(target))
    assert found["redacted"] == 0
    assert found["regenerated"] == pytest.approx((0.4**2 + 0.2**2) / 2)
    assert found["regenerated_without_c"] == pytest.approx(0.1**2)
    assert found["gamma_share"] == 1


def test_a_module_that_wants_brightness_is_told_of():
    target = noise(0).expand(-1, 3, -1, -1)
    branch = DejaVu(BandStop(), Brightness(), normalise=False, warmup=2.0)
    found = diagnose(branch, target, step() + 0.05 * noise(0), 1.0, mse_to(target))
    assert found["texture"] > 0.9 and found["texture_growth"] > 0.9 and found["gamma_share"] == 0


def test_a_diagnosis_leaves_no_gradient():
    target, module = noise(0, 3), nn.Conv2d(3, 3, 1)
    branch = DejaVu(BandStop(), nn.Module(), normalise=False)
    branch.crm = _Convolved(module)
    c = step().requires_grad_()
    with torch.no_grad():
        diagnose(branch, target, c, 0.0, mse_to(target))
    assert c.grad is None and all(p.grad is None for p in module.parameters())


class _Convolved(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, redacted, prediction):
        return self.conv(redacted) * prediction


def test_a_detail_is_what_a_blur_takes_away():
    flat = torch.full((1, 1, *SIZE), 0.3)
    torch.testing.assert_close(detail(flat), torch.zeros_like(flat), atol=1e-6, rtol=0)
    assert detail(noise(0)).std() > 0.9 * noise(0).std()

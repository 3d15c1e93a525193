import pytest
import torch
from torch import nn

from depth.dejavu.branch import DejaVu
from depth.dejavu.crm import CRMS, build_crm
from depth.dejavu.edits import EDITS, build_edit
from depth.dejavu.edits.spatial import DropBlocks, NoEdit
from depth.dejavu.edits.spectral import BandStop
from depth.dejavu.losses import cyclic_loss, regeneration_mse, text_loss
from depth.losses.perceptual import PerceptualLoss
from depth.types import Regeneration, UserError


class Echo(nn.Module):
    """Stands for a CRM; keeps the condition it was given."""

    def forward(self, redacted, prediction):
        self.seen = prediction
        return redacted + 0.0 * prediction.sum(1, keepdim=True)


def target(batch=2, size=(32, 64)):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0))


def prediction(channels=1, batch=2, size=(32, 64)):
    return torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(1)).add_(0.1).requires_grad_()


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("channels", [1, 5])
def test_every_edit_regenerates(edit, channels):
    redact = build_edit(edit, block=16)
    branch = DejaVu(redact, build_crm("auto", channels, redact.random), normalise=channels == 1)
    x, c = target(), prediction(channels)
    out = branch(x, c)
    assert isinstance(out, Regeneration)
    assert out.redacted.shape == out.regenerated.shape == x.shape
    assert (edit == "none") == torch.equal(out.redacted, x)
    regeneration_mse(out.regenerated, x).backward()
    assert c.grad.abs().sum() > 0


class Filling(nn.Module):
    """Stands for a CRM that fills: an image that was given beforehand."""

    fills = True

    def __init__(self, image):
        super().__init__()
        self.image = image

    def forward(self, redacted, prediction):
        return self.image


@pytest.mark.parametrize("edit", EDITS)
def test_a_module_that_fills_decides_what_was_taken_and_nothing_else(edit):
    x, other = target(), target().flip(0, 2)
    branch = DejaVu(build_edit(edit, block=16), Filling(other))
    out = branch(x, prediction())
    draws = branch.edit._params
    torch.testing.assert_close(branch.edit(out.regenerated, params=draws), out.redacted, atol=1e-5, rtol=0)
    taken = other - branch.edit(other, params=draws)
    torch.testing.assert_close(out.regenerated - out.redacted, taken, atol=1e-5, rtol=0)
    assert regeneration_mse(out.regenerated, x) <= regeneration_mse(other, x)
    perfect = DejaVu(build_edit(edit, block=16), Filling(x))
    torch.testing.assert_close(perfect(x, prediction()).regenerated, x, atol=1e-5, rtol=0)


def test_disparity_is_divided_by_its_own_mean():
    branch = DejaVu(NoEdit(), Echo())
    c = prediction()
    branch(target(), c)
    torch.testing.assert_close(branch.crm.seen, c / c.mean((2, 3), keepdim=True))
    small = branch.crm.seen
    branch(target(), 10 * c)
    torch.testing.assert_close(branch.crm.seen, small)


def test_every_channel_has_a_mean_of_its_own():
    branch = DejaVu(NoEdit(), Echo())
    branch(target(), prediction(2) * torch.tensor([1.0, 5.0]).view(2, 1, 1))
    torch.testing.assert_close(branch.crm.seen.mean((2, 3)), torch.ones(2, 2))


def test_what_is_left_of_the_image_is_not_clamped():
    """A black half beside a white one overshoots at both ends without its middle frequencies."""
    halves = (torch.arange(64) >= 32).float().expand(1, 3, 32, 64)
    redacted = DejaVu(BandStop(), Echo())(halves, prediction(batch=1)).redacted
    assert torch.equal(redacted, BandStop()(halves))
    assert redacted.min() < -0.05 and redacted.max() > 1.05


def test_the_branch_cannot_push_the_scale():
    # Per image, the gradient has no part along the prediction itself.
    branch = DejaVu(BandStop(), build_crm("forward", 1, random=False))
    c = prediction()
    regeneration_mse(branch(target(), c).regenerated, target()).backward()
    along = (c.grad * c.detach()).sum((1, 2, 3))
    assert (along.abs() < 1e-5 * c.grad.flatten(1).norm(dim=1) * c.detach().flatten(1).norm(dim=1)).all()


def test_scores_are_not_normalised():
    branch = DejaVu(NoEdit(), Echo(), normalise=False)
    c = prediction(5)
    branch(target(), c)
    assert torch.equal(branch.crm.seen, c)


def test_a_smaller_prediction_is_resized():
    branch = DejaVu(NoEdit(), Echo())
    branch(target(), prediction(size=(8, 16)))
    assert branch.crm.seen.shape == (2, 1, 32, 64)
    torch.testing.assert_close(branch.crm.seen.mean((2, 3)), torch.ones(2, 1))


def test_control_without_condition():
    branch = DejaVu(BandStop(), build_crm("forward", 1, random=False), condition="none")
    x, c = target(), prediction()
    out = branch(x, c)
    assert torch.equal(out.regenerated, branch(x, 1 - c).regenerated)
    regeneration_mse(out.regenerated, x).backward()
    assert c.grad is None
    with_it = build_crm("forward", 1, random=False)
    assert sum(p.numel() for p in branch.crm.parameters()) == sum(p.numel() for p in with_it.parameters())


def test_control_with_a_detached_condition():
    branch = DejaVu(BandStop(), build_crm("forward", 1, random=False), condition="detached")
    x, c = target(), prediction()
    out = branch(x, c)
    regeneration_mse(out.regenerated, x).backward()
    assert c.grad is None and all(p.grad.abs().sum() > 0 for p in branch.crm.parameters())
    reference = DejaVu(branch.edit, branch.crm)
    torch.testing.assert_close(reference(x, c).regenerated, out.regenerated)


def test_bad_arguments():
    with pytest.raises(UserError, match="unknown DejaVu condition 'half'.*prediction, detached, none"):
        DejaVu(NoEdit(), Echo(), condition="half")
    with pytest.raises(ValueError, match="DejaVu takes"):
        DejaVu(NoEdit(), Echo())(target(), prediction(batch=1))


@pytest.mark.parametrize("crm", CRMS)
def test_gradient_map(crm):
    """The regeneration loss reaches the CRM and the prediction, and nothing of LPIPS."""
    torch.manual_seed(0)
    branch = DejaVu(BandStop(), build_crm(crm, 1, random=False))
    torch.nn.init.normal_(branch.crm.to_rgb.weight, 0.0, 0.1)  # additive begins at 0
    perceptual = PerceptualLoss("squeeze", "random")
    x, c = target().requires_grad_(), prediction()
    out = branch(x.detach(), c)
    loss = regeneration_mse(out.regenerated, x.detach()) + perceptual(out.regenerated, x)
    loss.backward()
    assert c.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in branch.crm.parameters())
    assert x.grad is None
    assert not list(perceptual.parameters())
    assert all(b.grad is None and not b.requires_grad for b in perceptual.buffers())


def test_only_the_crm_is_in_the_state():
    branch = DejaVu(DropBlocks(16), build_crm("recursive", 1, random=True))
    assert all(key.startswith("crm.") for key in branch.state_dict())
    assert all(name.startswith("crm.") for name, _ in branch.named_parameters())


def test_draws_resume_with_the_global_generator():
    branch = DejaVu(DropBlocks(16), build_crm("recursive", 1, random=True))
    x, c = target(), prediction()
    state = torch.get_rng_state()
    first = branch(x, c).redacted
    assert not torch.equal(branch(x, c).redacted, first)
    torch.set_rng_state(state)
    assert torch.equal(branch(x, c).redacted, first)


def test_under_autocast():
    branch = DejaVu(BandStop(), build_crm("forward", 1, random=False))
    x, c = target(), prediction()
    plain = branch(x, c)
    (expected,) = torch.autograd.grad(regeneration_mse(plain.regenerated, x), c)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = branch(x, c)
        (gradient,) = torch.autograd.grad(regeneration_mse(out.regenerated, x), c)
        assert branch(x, c.bfloat16()).regenerated.dtype == torch.float32  # a network's own bfloat16 is taken
    assert torch.equal(out.redacted, plain.redacted) and torch.equal(out.regenerated, plain.regenerated)
    assert torch.equal(gradient, expected)


def things(count, seed):
    """Rectangles of three kinds, each kind of about one colour, and which kind each pixel is, one-hot."""
    draws = torch.Generator().manual_seed(seed)
    colours = torch.tensor([[0.2, 0.3, 0.2], [0.8, 0.7, 0.3], [0.4, 0.4, 0.9]])
    kinds = torch.zeros(count, 32, 64, dtype=torch.long)
    for i in range(count):
        for _ in range(8):
            top, left, kind = (int(torch.randint(0, most, (), generator=draws)) for most in (26, 56, 3))
            kinds[i, top : top + 12, left : left + 16] = kind
    images = colours[kinds].permute(0, 3, 1, 2) + 0.1 * torch.rand(count, 3, 1, 1, generator=draws)
    return images, torch.nn.functional.one_hot(kinds, 3).permute(0, 3, 1, 2).float()


def test_the_truth_helps():
    """Not brightness handed over as C, which helps every module, but what the scene consists of."""
    seen, unseen = things(8, 0), things(8, 1)

    def error(condition):
        torch.manual_seed(0)
        branch = DejaVu(DropBlocks(8), build_crm("additive", 3, random=True), condition, normalise=False)
        optimiser = torch.optim.Adam(branch.parameters(), 3e-3)
        for _ in range(60):
            loss = regeneration_mse(branch(*seen).regenerated, seen[0])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            return regeneration_mse(branch(*unseen).regenerated, unseen[0]).item()

    assert error("prediction") < 0.6 * error("none")


def test_cyclic_loss_by_hand():
    a = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2).requires_grad_()
    b = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).requires_grad_()
    loss = cyclic_loss(a, b)
    loss.backward()
    assert loss.item() == 2.5
    assert b.grad is None
    assert a.grad.flatten().tolist() == [1.0, 2.0]


def test_text_loss_by_hand():
    a = torch.tensor([[2.0, 0.0]]).requires_grad_()
    b = torch.tensor([[0.0, 4.0]]).requires_grad_()
    assert text_loss(a, b).item() == pytest.approx((4 + 16) / 2)
    # Cosines with the two names: (1, .6) against (0, .8).
    names = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    loss = text_loss(a, b, names)
    assert loss.item() == pytest.approx((1 + 0.04) / 2)
    loss.backward()
    assert a.grad is not None and b.grad is None

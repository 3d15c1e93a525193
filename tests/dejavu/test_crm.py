import pytest
import torch
from torch import nn

from depth.dejavu.crm import CRMS, AdditiveCRM, ForwardCRM, RecursiveCRM, _condition, build_crm
from depth.dejavu.dct import keep_band
from depth.dejavu.edits import build_edit
from depth.types import UserError


def pair(channels, size=(16, 24), batch=2):
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(batch, c, *size, generator=generator) for c in (3, channels))


def started(crm):
    """The module as it is once its last conv, which may begin at 0, has moved."""
    nn.init.normal_(crm.to_rgb.weight, 0.0, 0.1)
    return crm


def test_condition_by_hand():
    image = torch.tensor([0.1, 0.2, 0.6]).view(1, 3, 1, 1)
    prediction = torch.tensor([2.0, 4.0]).view(1, 2, 1, 1)
    expected = torch.tensor([0.6, 1.2, 0.1, 0.2, 0.6, 2.0, 4.0])
    torch.testing.assert_close(_condition(image, prediction).flatten(), expected)


@pytest.mark.parametrize("name", CRMS)
@pytest.mark.parametrize("channels", [1, 5])
def test_shape_and_gradients(name, channels):
    redacted, prediction = pair(channels)
    prediction.requires_grad_()
    crm = started(build_crm(name, channels, random=False))
    out = crm(redacted, prediction)
    assert out.shape == redacted.shape
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in crm.parameters())
    assert (prediction.grad.abs().sum((0, 2, 3)) > 0).all()


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, RecursiveCRM) for name in ("pixels", "blocks", "spatial"))]
    + [(name, ForwardCRM) for name in ("checkerboard", "lowpass", "highpass", "bandstop", "middle", "none")],
)
def test_auto_follows_the_redaction(name, kind):
    assert isinstance(build_crm("auto", 1, build_edit(name).random), kind)


def test_unknown_names():
    with pytest.raises(UserError, match="unknown regeneration module 'G'.*forward, recursive"):
        build_crm("G", 1, random=True)


def test_forward_is_built_as_described():
    crm = ForwardCRM(channels=5, fold=1)
    convs = [m for m in crm.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.dilation[0]) for c in convs] == [
        (13, 32, 1), (32, 32, 2), (32, 32, 4), (32, 32, 8), (32, 3, 1),
    ]  # fmt: skip


def test_recursive_shares_one_block():
    assert sum(isinstance(m, nn.Conv2d) for m in RecursiveCRM(1).modules()) == 2
    redacted, prediction = pair(1)
    crm = RecursiveCRM(1, passes=2)
    once = RecursiveCRM(1, passes=1)
    once.load_state_dict(crm.state_dict())
    torch.testing.assert_close(crm(redacted, prediction), once(once(redacted, prediction), prediction))


def reach(crm, size=96):
    """Farthest pixel, to one side, that the middle of the output depends on."""
    for module in crm.modules():
        if isinstance(module, nn.BatchNorm2d):  # batch statistics tie all pixels together
            module.forward = lambda x: x
        if isinstance(module, nn.ReLU | nn.ELU):
            module.forward = lambda x: x
    redacted, prediction = pair(1, (size, size), batch=1)
    redacted.requires_grad_()
    crm(redacted, prediction)[0, 0, size // 2, size // 2].backward()
    columns = redacted.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    return int(size // 2 - columns.min())


def test_a_forward_module_sees_past_half_a_block():
    # Blocks are 32 px at 640x192: the middle of one is 16 px from its border.
    assert reach(ForwardCRM(1, fold=1)) == 16
    assert reach(ForwardCRM(1)) == 32
    assert reach(RecursiveCRM(1, fold=1)) == 8
    assert reach(RecursiveCRM(1)) == 16
    assert reach(started(AdditiveCRM(1))) == 32


@pytest.mark.parametrize("name", ["forward", "recursive"])
def test_the_pixels_of_a_cell_begin_equal(name):
    redacted, prediction = pair(1)
    cells = nn.functional.avg_pool2d(redacted, 2), nn.functional.avg_pool2d(prediction, 2)
    flat = [nn.functional.interpolate(each, scale_factor=2) for each in cells]  # so that nothing else tells them apart
    out = build_crm(name, 1, random=False)(*flat)
    first = out[..., ::2, ::2]
    assert first.std() > 0.01
    for row, column in ((0, 1), (1, 0), (1, 1)):
        torch.testing.assert_close(out[..., row::2, column::2], first)


@pytest.mark.parametrize("name", CRMS)
def test_training_and_evaluation_agree(name):
    redacted, prediction = pair(1)
    crm = build_crm(name, 1, random=False)
    for _ in range(3):
        crm(redacted * 5, prediction)
    torch.testing.assert_close(crm.eval()(redacted, prediction), crm.train()(redacted, prediction))
    assert not list(crm.buffers())


def test_additive_begins_as_no_change_and_has_no_statistics():
    redacted, prediction = pair(5)
    crm = AdditiveCRM(5)
    assert torch.equal(crm(redacted, prediction), redacted)
    one = started(crm)(redacted[:1], prediction[:1])
    torch.testing.assert_close(one, crm(redacted, prediction)[:1])  # a batch norm would mix the samples


def test_residual_starts_from_the_redacted_image():
    redacted, prediction = pair(1)
    plain, residual = ForwardCRM(1), ForwardCRM(1, residual=True)
    residual.load_state_dict(plain.state_dict())
    torch.testing.assert_close(residual(redacted, prediction), redacted + plain(redacted, prediction))


@pytest.mark.parametrize("name", CRMS)
def test_learns_to_copy_what_it_sees(name):
    torch.manual_seed(0)
    redacted, prediction = pair(1, batch=4)
    redacted = keep_band(redacted, 0.0, 0.3)
    crm = build_crm(name, 1, random=False)
    optimiser = torch.optim.Adam(crm.parameters(), 3e-3)
    for _ in range(120):
        loss = (crm(redacted, prediction) - redacted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    variance = redacted.var((0, 2, 3)).mean()
    assert loss < 0.3 * variance


def test_additive_does_not_see_a_predictions_mean():
    redacted, prediction = pair(2)
    crm = started(AdditiveCRM(2))
    shifted = prediction + torch.tensor([0.7, -3.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(crm(redacted, shifted), crm(redacted, prediction), rtol=0, atol=1e-4)
    assert (crm(redacted, 2 * prediction) - crm(redacted, prediction)).abs().max() > 0.01


@pytest.mark.parametrize("channels", [1, 2, 20])
def test_additive_sees_details_finer_than_its_cells(channels):
    redacted, prediction = pair(channels)
    means = nn.functional.interpolate(nn.functional.avg_pool2d(prediction, 2), scale_factor=2)
    crm = started(AdditiveCRM(channels))
    assert (crm(redacted, means) - crm(redacted, prediction)).abs().max() > 0.01
    assert crm.layers[0].in_channels <= 12 + 2 * 16  # many classes do not make the first layer the most expensive

import kornia.augmentation as K
import pytest
import scipy.fft
import torch

from depth.dejavu.dct import radius
from depth.dejavu.edits import EDITS, build_edit, default_block
from depth.dejavu.edits.spatial import Checkerboard, DropBlocks, DropPixels, NoEdit
from depth.dejavu.edits.spectral import BANDS, BandStop, LowPass
from depth.support.parts import constructor_of
from depth.types import UserError

SPATIAL = ["pixels", "checkerboard", "blocks", "spatial"]


def image(batch=4, height=64, width=96, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, height, width, generator=generator) + 0.01


def dct(x):
    """(...,H,W) -> its orthonormal DCT, float32."""
    return torch.from_numpy(scipy.fft.dctn(x.double().numpy(), axes=(-2, -1), norm="ortho")).float()


@pytest.mark.parametrize("name", EDITS)
def test_every_name_has_a_constructor(name):
    assert callable(constructor_of(EDITS, name, "edit"))


def test_unknown_name_lists_the_choices():
    with pytest.raises(UserError, match="unknown edit 'xxx'; choose one of: pixels.*bandstop"):
        build_edit("xxx")
    with pytest.raises(UserError, match="unknown edit 'bandpass'; did you mean .*bandstop"):
        build_edit("bandpass")


@pytest.mark.parametrize(
    "name, settings",
    [("pixels", {"keep": 1.5}), ("blocks", {"drop": -0.1}), ("checkerboard", {"block": 0})]
    + [("lowpass", {"cutoff": 0.0}), ("bandstop", {"band": (0.5, 0.2)}), ("bandstop", {"band": (0.5, 1.2)})],
)
def test_bad_settings(name, settings):
    with pytest.raises(UserError):
        build_edit(name, **settings)


def test_block_scales_with_the_width():
    assert [default_block(w) for w in (640, 320, 1024, 32)] == [32, 16, 51, 2]


@pytest.mark.parametrize("name", SPATIAL)
def test_spatial_edits_drop_whole_pixels_and_keep_the_others(name):
    x = image()
    out = build_edit(name, block=16)(x)
    kept = (out != 0).any(1, keepdim=True)
    assert torch.equal(out, x * kept)
    assert 0.2 < kept.float().mean() < 0.8


def test_pixels_keep_share():
    torch.manual_seed(0)
    out = DropPixels(keep=0.3)(image(8, 96, 96))
    assert (out != 0).any(1).float().mean() == pytest.approx(0.3, abs=0.01)
    assert (DropPixels(keep=0.0)(image()) == 0).all()
    assert torch.equal(DropPixels(keep=1.0)(image()), image())


def test_checkerboard_by_hand():
    edit = Checkerboard(block=2)
    x = torch.ones(1, 1, 4, 5)
    out = edit(x, params=edit.forward_parameters(x.shape) | {"phase": torch.tensor([[[[True]]]])})
    expected = torch.tensor([[0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [1, 1, 0, 0, 1], [1, 1, 0, 0, 1]]).float()
    assert torch.equal(out[0, 0], expected)
    other = edit(x, params=edit.forward_parameters(x.shape) | {"phase": torch.tensor([[[[False]]]])})
    assert torch.equal(other, 1 - out)


def test_checkerboard_drops_every_pixel_in_time():
    torch.manual_seed(0)
    edit, x = Checkerboard(block=8), torch.ones(64, 1, 16, 16)
    share = edit(x).mean(0)
    assert 0.2 < share.min() and share.max() < 0.8


def test_blocks_are_whole():
    torch.manual_seed(0)
    out = DropBlocks(block=16, drop=0.4)(torch.ones(50, 3, 40, 64))
    assert out.shape == (50, 3, 40, 64)
    blocks = out[:, :1, :32].unfold(2, 16, 16).unfold(3, 16, 16).flatten(4)
    assert ((blocks == 0).all(-1) | (blocks == 1).all(-1)).all()
    assert (blocks[..., 0] == 0).float().mean() == pytest.approx(0.4, abs=0.07)
    edge = out[:, :1, 32:]  # the last row of blocks is cut off by the border
    assert ((edge[..., :16] == 0).flatten(1).all(1) | (edge[..., :16] == 1).flatten(1).all(1)).all()


@pytest.mark.parametrize(
    "name, removed",
    [
        ("lowpass", lambda r: r >= 0.25),
        ("highpass", lambda r: r < 0.25),
        ("bandstop", lambda r: (r >= 0.08) & (r < 0.35)),
        ("spectral", lambda r: (r >= 0.08) & (r < 0.35)),
        ("low", lambda r: (r >= 0.02) & (r < 0.08)),
        ("middle", lambda r: (r >= 0.08) & (r < 0.35)),
        ("high", lambda r: r >= 0.35),
    ],
)
def test_spectral_edits_remove_their_components_and_no_other(name, removed):
    x = image(2, 96, 160)
    mask = removed(radius(96, 160))
    before, after = dct(x), dct(build_edit(name)(x))
    assert after[..., mask].abs().max() < 1e-4
    torch.testing.assert_close(after[..., ~mask], before[..., ~mask], atol=1e-4, rtol=1e-5)


def test_bands_tile_without_overlap():
    assert BANDS["low"][1] == BANDS["middle"][0] and BANDS["middle"][1] == BANDS["high"][0]


def test_spectral_is_the_same_under_autocast():
    x = image(1, 96, 160)
    edit = build_edit("spectral")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = edit(x)
    assert inside.dtype == torch.float32 and torch.equal(inside, edit(x))


def test_none_copies():
    assert torch.equal(NoEdit()(image()), image())


@pytest.mark.parametrize("name", EDITS)
def test_params_replay(name):
    edit, x = build_edit(name, block=16), image()
    first = edit(x)
    params = edit._params
    edit(x)  # another draw in between
    state = torch.get_rng_state()
    assert torch.equal(edit(x, params=params), first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["pixels", "blocks"])
def test_draws_come_from_the_global_generator(name):
    edit, x = build_edit(name, block=16), image()
    torch.manual_seed(7)
    first, second = edit(x), edit(x)
    assert not torch.equal(first, second)
    torch.manual_seed(7)
    assert torch.equal(edit(x), first)
    assert not torch.equal(first[0] != 0, first[1] != 0)


@pytest.mark.parametrize("edit", [DropPixels(same_on_batch=True), DropBlocks(16, same_on_batch=True)])
def test_same_on_batch(edit):
    out = edit(torch.ones(4, 3, 64, 64))
    assert torch.equal(out, out[:1].expand_as(out)) and 0 < out.mean() < 1


@pytest.mark.parametrize("name", EDITS)
def test_gradient_is_the_slope(name):
    edit = build_edit(name, block=16)
    x, towards, weights = image(2).requires_grad_(), image(2, seed=1) - 0.5, image(2, seed=2) - 0.5
    out = edit(x)
    assert out.shape == x.shape
    (gradient,) = torch.autograd.grad((out * weights).sum(), x)
    ahead, behind = (edit(x + step * towards, params=edit._params) for step in (0.01, -0.01))
    slope = ((ahead - behind) / 0.02 * weights).sum()
    torch.testing.assert_close((gradient * towards).sum(), slope, atol=3e-3, rtol=1e-3)


@pytest.mark.parametrize("edit", [LowPass(0.4), LowPass(0.4, invert=True), BandStop((0.2, 0.6)), DropPixels(0.5)])
def test_gradcheck(edit):
    x = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    params = edit.forward_parameters(x.shape)
    assert torch.autograd.gradcheck(lambda x: edit(x, params=params), x)


@pytest.mark.parametrize("name", EDITS)
def test_in_an_augmentation_sequential(name):
    x = image()
    alone = K.AugmentationSequential(build_edit(name, block=16), data_keys=["input"])
    out = alone(x)
    assert out.shape == x.shape and torch.equal(alone(x, params=alone._params), out)


@pytest.mark.parametrize("name", EDITS)
def test_with_others_and_a_mask(name):
    x = image()
    mask = (image(seed=2)[:, :1] > 0.5).float()
    both = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=1.0), build_edit(name, block=16), data_keys=["input", "mask"]
    )
    out, mask_out = both(x, mask)
    assert torch.equal(mask_out, mask.flip(-1))
    again, _ = both(x, mask, params=both._params)
    assert torch.equal(again, out)
    edit_alone = build_edit(name, block=16)
    torch.testing.assert_close(out, edit_alone(x.flip(-1), params=both._params[1].data))


@pytest.mark.parametrize("edit", [DropPixels(keepdim=True), BandStop(keepdim=True), NoEdit(keepdim=True)])
def test_single_image_with_keepdim(edit):
    assert edit(image()[0]).shape == (3, 64, 96)


def test_gate_leaves_skipped_samples_alone():
    torch.manual_seed(3)
    x = image(32)
    out = BandStop(p=0.5)(x)
    same = (out == x).flatten(1).all(1)
    assert 0 < same.sum() < 32

import math

import numpy as np
import pytest
import scipy.fft
import torch
from torch.utils.flop_counter import FlopCounterMode

from depth.dejavu.dct import _count_below, dct_matrix, keep_band, radius, stop_band

BANDS = [(0.0, 0.25), (0.08, 0.35), (0.02, 0.08), (0.35, 1.0), (0.1, 0.9)]


def scipy_band(x, mask):
    """The image that is left of (...,H,W) where the DCT is masked by (H,W), in float64."""
    coefficients = scipy.fft.dctn(x.double().numpy(), axes=(-2, -1), norm="ortho") * mask.numpy()
    return torch.from_numpy(scipy.fft.idctn(coefficients, axes=(-2, -1), norm="ortho")).float()


def test_matrix_by_hand():
    # c0 = (a+b)/sqrt2 and c1 = (a-b)/sqrt2.
    expected = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / math.sqrt(2)
    torch.testing.assert_close(dct_matrix(2, torch.device("cpu"), torch.float32), expected)


@pytest.mark.parametrize("n", [1, 7, 53, 640])
def test_matrix_equals_scipy(n):
    expected = scipy.fft.dct(np.eye(n), axis=0, norm="ortho")
    np.testing.assert_allclose(dct_matrix(n, torch.device("cpu"), torch.float32).numpy(), expected, atol=2e-7)


@pytest.mark.parametrize("n", [1, 2, 53, 640])
def test_matrix_is_orthonormal(n):
    matrix = dct_matrix(n, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(n), atol=1e-5, rtol=0)


def test_gradients_in_float64():
    torch.manual_seed(2)
    x = torch.rand(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert stop_band(x, 0.1, 0.4).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda x: stop_band(x, 0.1, 0.4), x)


def test_float32_under_autocast():
    torch.manual_seed(3)
    x = torch.rand(1, 3, 32, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = keep_band(x, 0.1, 0.4)
    assert inside.dtype == torch.float32 and torch.equal(inside, keep_band(x, 0.1, 0.4))
    assert keep_band(x.bfloat16(), 0.1, 0.4).dtype == torch.float32


def test_radius_values():
    r = radius(4, 8)
    assert r.shape == (4, 8) and r.dtype == torch.float32
    assert r[0, 0] == 0 and float(r.max()) < 1
    assert float(r[2, 4]) == pytest.approx(0.5)
    assert float(r[0, 4]) == pytest.approx(0.5 / math.sqrt(2))


@pytest.mark.parametrize("size", [(192, 640), (37, 53), (64, 16)])
@pytest.mark.parametrize("band", BANDS)
def test_bands_equal_the_whole_transform(size, band):
    torch.manual_seed(4)
    x = torch.rand(2, 3, *size)
    r = radius(*size)
    mask = ((r >= band[0]) & (r < band[1])).float()
    assert 0 < mask.sum() < mask.numel()
    torch.testing.assert_close(keep_band(x, *band), scipy_band(x, mask), atol=1e-5, rtol=0)
    torch.testing.assert_close(stop_band(x, *band), scipy_band(x, 1 - mask), atol=1e-5, rtol=0)


def test_bands_partition_an_image():
    torch.manual_seed(5)
    x = torch.rand(1, 3, 96, 320)
    parts = [keep_band(x, low, high) for low, high in [(0, 0.02), (0.02, 0.08), (0.08, 0.35), (0.35, 1)]]
    torch.testing.assert_close(sum(parts), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(keep_band(x, 0.0, 1.0), x)


@pytest.mark.parametrize("band", [(0.3, 0.3), (0.4, 0.2), (-0.1, 0.5)])
def test_no_band(band):
    with pytest.raises(ValueError, match="low < high"):
        keep_band(torch.rand(1, 1, 8, 8), *band)


def test_first_use_in_inference_mode_leaves_training_usable():
    size = (22, 46)  # of this test alone, so that its matrices are not cached before
    with torch.inference_mode():
        keep_band(torch.rand(size), 0.1, 0.4)
    x = torch.rand(size, requires_grad=True)
    keep_band(x, 0.1, 0.4).sum().backward()
    assert x.grad.isfinite().all()


def test_band_is_cheaper_than_the_whole_transform():
    # The work is counted, not timed: rows and columns that the mask leaves empty are not computed.
    def flops(function):
        with FlopCounterMode(display=False) as counter:
            function(torch.rand(1, 3, 192, 640))
        return counter.get_total_flops()

    whole = 2 * 2 * (3 * 192 * 640) * (192 + 640)  # two products there, two back
    assert flops(lambda x: stop_band(x, 0.08, 0.35)) < whole / 3
    assert flops(lambda x: keep_band(x, 0.0, 0.25)) < whole / 5
    assert flops(lambda x: stop_band(x, 0.35, 1.0)) < whole / 3


@pytest.mark.parametrize("length", [2, 7, 64, 192, 375, 640, 1242])
def test_counts_without_a_tensor_agree_with_the_radius(length):
    along = radius(length, length)[0]
    for high in [0.02, 0.08, 0.35, *(i / length / 2**0.5 for i in range(length)), *along.tolist()]:
        assert _count_below(high, length) == int((along < high).sum())


def test_the_whole_band_is_the_image():
    image = torch.rand(1, 3, 8, 12)
    assert torch.equal(keep_band(image, 0.0, 1.0), image)
    assert not stop_band(image, 0.0, 1.0).any()

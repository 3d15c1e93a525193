import math
import time

import numpy as np
import pytest
import scipy.fft
import torch
from torch.utils.flop_counter import FlopCounterMode

from depth.dejavu.dct import _count_below, dct2, dct_matrix, idct2, keep_band, radius, stop_band

SIZES = [(192, 640), (37, 53), (1, 7), (96, 321)]
BANDS = [(0.0, 0.25), (0.08, 0.35), (0.02, 0.08), (0.35, 1.0), (0.1, 0.9)]


def test_two_by_two_by_hand():
    # c0 = (a+b)/sqrt2 and c1 = (a-b)/sqrt2 along both dims.
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    expected = torch.tensor([[12.0, -4.0], [-6.0, 2.0]]) / 2
    torch.testing.assert_close(dct2(x), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("draw", [torch.rand, torch.randn])
def test_equals_scipy(size, draw):
    torch.manual_seed(0)
    x = draw(2, 3, *size)
    expected = scipy.fft.dctn(x.double().numpy(), axes=(-2, -1), norm="ortho")
    np.testing.assert_allclose(dct2(x).numpy(), expected, rtol=1e-5, atol=1e-5)
    back = scipy.fft.idctn(x.double().numpy(), axes=(-2, -1), norm="ortho")
    np.testing.assert_allclose(idct2(x).numpy(), back, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 53, 640])
def test_matrix_is_orthonormal(n):
    matrix = dct_matrix(n, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(n), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_inverse_and_energy(size):
    torch.manual_seed(1)
    x = torch.rand(2, 3, *size)
    coefficients = dct2(x)
    torch.testing.assert_close(idct2(coefficients), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(coefficients.square().sum(), x.square().sum(), rtol=1e-5, atol=0)


def test_gradients_in_float64():
    torch.manual_seed(2)
    x = torch.rand(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert dct2(x).dtype == torch.float64
    assert torch.autograd.gradcheck(dct2, x)
    assert torch.autograd.gradcheck(idct2, x)
    assert torch.autograd.gradcheck(lambda x: stop_band(x, 0.1, 0.4), x)


def test_float32_under_autocast():
    torch.manual_seed(3)
    x = torch.rand(1, 3, 32, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = dct2(x), idct2(x), keep_band(x, 0.1, 0.4)
    outside = dct2(x), idct2(x), keep_band(x, 0.1, 0.4)
    for a, b in zip(inside, outside, strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b)
    assert dct2(x.bfloat16()).dtype == torch.float32


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
    torch.testing.assert_close(keep_band(x, *band), idct2(mask * dct2(x)), atol=1e-5, rtol=0)
    torch.testing.assert_close(stop_band(x, *band), idct2((1 - mask) * dct2(x)), atol=1e-5, rtol=0)


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
        dct2(torch.rand(size))
        keep_band(torch.rand(size), 0.1, 0.4)
    x = torch.rand(size, requires_grad=True)
    (dct2(x).square().sum() + keep_band(x, 0.1, 0.4).sum()).backward()
    assert x.grad.isfinite().all()


def test_time_is_that_of_two_products():
    x = torch.rand(4, 3, 192, 640)
    rows, columns = (dct_matrix(n, x.device, x.dtype) for n in (192, 640))
    flat, tall = x.reshape(-1, 640), x.reshape(192, -1).contiguous()

    def seconds(function):
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    def ratio():
        # In turn, so that a change of the machine's load meets both; the best of each is the least disturbed.
        pairs = [(seconds(lambda: dct2(x)), seconds(lambda: (flat @ columns, rows @ tall))) for _ in range(12)]
        return min(a for a, _ in pairs) / min(b for _, b in pairs)

    ratio()
    assert min(ratio() for _ in range(4)) < 1.5


def test_band_is_cheaper_than_the_whole_transform():
    # The work is counted, not timed: rows and columns that the mask leaves empty are not computed.
    def flops(function):
        with FlopCounterMode(display=False) as counter:
            function(torch.rand(1, 3, 192, 640))
        return counter.get_total_flops()

    whole = flops(lambda x: idct2(dct2(x)))
    assert flops(lambda x: stop_band(x, 0.08, 0.35)) < whole / 3
    assert flops(lambda x: keep_band(x, 0.0, 0.25)) < whole / 5
    assert flops(lambda x: stop_band(x, 0.35, 1.0)) < whole / 3


@pytest.mark.parametrize("length", [2, 7, 64, 192, 375, 640, 1242])
def test_counts_without_a_tensor_agree_with_the_radius(length):
    along = radius(length, length)[0]
    for high in [0.02, 0.08, 0.35, *(i / length / 2**0.5 for i in range(length)), *along.tolist()]:
        assert _count_below(high, length) == int((along < high).sum())

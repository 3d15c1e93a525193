import numpy as np
import pytest
import torch

from depth.protocols import PROTOCOLS, prepare_sample, valid_mask
from depth.types import EvalSample

EIGEN, BENCHMARK, SYNTHETIC = (PROTOCOLS[name] for name in ("eigen", "eigen_benchmark", "synthetic"))


@pytest.mark.parametrize(
    ("shape", "first_and_last"), [((375, 1242), (153, 370, 44, 1196)), ((374, 1238), (152, 369, 44, 1192))]
)
def test_eigen_crop_is_cut_to_int(shape, first_and_last):
    mask = valid_mask(np.full(shape, 10.0, np.float32), EIGEN)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == first_and_last
    assert mask.sum() == len(rows) * len(columns)


def test_eigen_range_is_open():
    depth = np.full((375, 1242), 10.0, np.float32)
    depth[200, 600:604] = [0, 1e-3, 80, np.nan]
    assert valid_mask(depth, EIGEN)[200, 599:605].tolist() == [True, False, False, False, False, True]


def test_benchmark_counts_every_positive_pixel():
    depth = np.array([[0, 1e-4, 79, 85]], np.float32)
    assert valid_mask(depth, BENCHMARK).tolist() == [[False, True, True, True]]
    assert valid_mask(depth, SYNTHETIC).tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_prepared_pixels_are_the_masks(protocol):
    rng = np.random.default_rng(0)
    depth = (rng.uniform(0, 100, (94, 310)) * (rng.random((94, 310)) < 0.3)).astype(np.float32)
    sample = prepare_sample(EvalSample(torch.zeros(3, 4, 4, dtype=torch.uint8), depth, "drive 0 l"), protocol)
    mask = valid_mask(depth, protocol)
    assert sample.shape == depth.shape and sample.depth.dtype == np.float32
    np.testing.assert_array_equal(np.stack([sample.rows, sample.columns]), np.nonzero(mask))
    np.testing.assert_array_equal(sample.depth, depth[mask])

from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.locate import DataPlace
from depth.evaluation.protocols import PROTOCOLS, counted_pixels, prepare_sample
from depth.types import DepthPixels, EvalSample
from train import _protocol

EIGEN, BENCHMARK, SYNTHETIC = (PROTOCOLS[name] for name in ("eigen", "eigen_benchmark", "synthetic"))


def counted(depth, protocol):
    """bool (H,W): the pixels that count of a map."""
    return counted_pixels(DepthPixels.of(depth), protocol).dense() > 0


def masked(depth, protocol):
    """The same as it is usually written, with maps."""
    (height, width), (top, bottom, left, right) = depth.shape, protocol.crop or (0, 1, 0, 1)
    inside = np.zeros(depth.shape, bool)
    inside[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = True
    return inside & (depth > protocol.depth_above) & (depth < (protocol.depth_below or np.inf))


@pytest.mark.parametrize(
    ("shape", "first_and_last"), [((375, 1242), (153, 370, 44, 1196)), ((374, 1238), (152, 369, 44, 1192))]
)
def test_eigen_crop_is_cut_to_int(shape, first_and_last):
    mask = counted(np.full(shape, 10.0, np.float32), EIGEN)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == first_and_last
    assert mask.sum() == len(rows) * len(columns)


def test_eigen_range_is_open():
    depth = np.full((375, 1242), 10.0, np.float32)
    depth[200, 600:604] = [0, 1e-3, 80, np.nan]
    assert counted(depth, EIGEN)[200, 599:605].tolist() == [True, False, False, False, False, True]


def test_benchmark_counts_every_positive_pixel():
    depth = np.array([[0, 1e-4, 79, 85]], np.float32)
    assert counted(depth, BENCHMARK).tolist() == [[False, True, True, True]]
    assert counted(depth, SYNTHETIC).tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_prepared_pixels_are_the_masks(protocol):
    rng = np.random.default_rng(0)
    depth = (rng.uniform(0, 100, (94, 310)) * (rng.random((94, 310)) < 0.3)).astype(np.float32)
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    truth = prepare_sample(EvalSample(image, DepthPixels.of(depth), "drive 0 l"), protocol).truth
    mask = masked(depth, protocol)
    assert truth.shape == depth.shape and truth.depth.dtype == np.float32
    np.testing.assert_array_equal(np.stack([truth.rows, truth.columns]), np.nonzero(mask))
    np.testing.assert_array_equal(truth.depth, depth[mask])


def test_pixels_and_map_are_the_same():
    depth = np.array([[0, 2.5, np.nan], [-1, 0, 7]], np.float64)
    pixels = DepthPixels.of(depth)
    assert (pixels.rows.tolist(), pixels.columns.tolist(), pixels.depth.tolist()) == ([0, 1], [1, 2], [2.5, 7])
    assert pixels.rows.dtype == pixels.columns.dtype == np.int32 and pixels.depth.dtype == np.float32
    assert pixels.dense().tolist() == [[0, 2.5, 0], [0, 0, 7]]


def test_a_training_validates_by_the_protocol_of_its_data():
    assert _protocol(DataPlace(Path("kitti"), "kitti", "")) is EIGEN
    assert _protocol(DataPlace(Path("world"), "synthetic", "")) is SYNTHETIC

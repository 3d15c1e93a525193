import numpy as np
import pytest
import torch

from depth.evaluation.predictors import (
    ConstantPrior,
    NetworkPredictor,
    PredictionWriter,
    StoredPredictions,
    blend_mirrored,
)
from depth.evaluation.protocols import PROTOCOLS, prepare_sample
from depth.types import DepthOutput, DepthPixels, EvalSample, UserError


def _sample(depth, image=None):
    image = torch.zeros(3, 4, 8, dtype=torch.uint8) if image is None else image
    return prepare_sample(
        EvalSample(image, DepthPixels.of(np.asarray(depth, np.float32)), "drive 0 l"), PROTOCOLS["synthetic"]
    )


def _first_channel(images):
    return DepthOutput((images[:, :1],))


def test_network_predictor_gives_inverse_depth():
    image = torch.full((3, 4, 8), 255, dtype=torch.uint8)
    image[:, :, 4:] = 51
    predictor = NetworkPredictor(_first_channel, "cpu", 0.1, 100.0)
    inverse_depth = predictor([_sample(np.ones((2, 2)), image)] * 2, 0)
    assert inverse_depth.shape == (2, 4, 8) and inverse_depth.dtype == np.float32
    np.testing.assert_allclose(inverse_depth[..., :4], 1 / 0.1, rtol=1e-6)
    np.testing.assert_allclose(inverse_depth[..., 4:], 1 / 100 + (1 / 0.1 - 1 / 100) * 0.2, rtol=1e-6)


def test_network_predictor_keeps_no_graph_and_takes_bfloat16():
    weight = torch.ones(1, requires_grad=True)
    predictor = NetworkPredictor(lambda images: DepthOutput(((images[:, :1] * weight).bfloat16(),)), "cpu", 0.1, 100.0)
    assert predictor([_sample(np.ones((2, 2)))], 0).dtype == np.float32


def test_mirrored_blend_by_hand():
    """41 columns are 2.5 % apart: one prediction alone on the outer 5 %, half way at 7.5 %, the mean from 10 % on."""
    blended = blend_mirrored(torch.full((1, 1, 41), 2.0), torch.full((1, 1, 41), 4.0))[0, 0]
    np.testing.assert_allclose(blended[:6], [4, 4, 4, 3.5, 3, 3], rtol=1e-5)
    np.testing.assert_allclose(blended[-6:], [3, 3, 2.5, 2, 2, 2], rtol=1e-5)


def test_flip_of_a_network_that_follows_the_image_changes_nothing():
    image = torch.randint(256, (3, 4, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain, flipped = (NetworkPredictor(_first_channel, "cpu", 0.1, 100.0, flip=flip) for flip in (False, True))
    sample = _sample(np.ones((2, 2)), image)
    np.testing.assert_allclose(plain([sample], 0), flipped([sample], 0), rtol=1e-5)


def test_flip_blends_two_views():
    """A network that knows nothing but the column: mirrored back, its ramp runs the other way."""
    ramp = torch.linspace(0, 1, 41).expand(1, 1, 2, 41)
    image = torch.zeros(3, 2, 41, dtype=torch.uint8)
    predictor = NetworkPredictor(lambda x: DepthOutput((ramp,)), "cpu", 0.5, 1.0, flip=True)
    inverse_depth = predictor([_sample(np.ones((2, 2)), image)], 0)
    np.testing.assert_allclose(inverse_depth[0, 0, [0, 20, 40]], [2, 1.5, 2], rtol=1e-5)


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "disps_eigen_split.npy"
    values = np.random.default_rng(0).uniform(0.01, 1, (5, 3, 4)).astype(np.float32)
    samples = [_sample(np.ones((2, 2)))] * 5
    with PredictionWriter(lambda batch, first: values[first : first + len(batch)], path, 5) as writer:
        for first in (0, 2, 4):
            passed_on = writer(samples[first : first + 2], first)
            np.testing.assert_array_equal(passed_on, values[first : first + 2])
        assert not path.exists()
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), values)
    np.testing.assert_array_equal(StoredPredictions(path, 5)(samples[:2], 3), values[3:5])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_interrupted_writer_leaves_no_file(tmp_path):
    writer = PredictionWriter(lambda batch, first: np.ones((1, 2, 2), np.float32), tmp_path / "disps.npy", 2)
    with pytest.raises(UserError, match="later"), writer:
        writer([_sample(np.ones((2, 2)))], 0)
        raise UserError("something later")
    with pytest.raises(ValueError, match="1 of 2"), writer:
        pass
    assert not list(tmp_path.iterdir())


def test_writer_into_an_absent_folder_is_the_users_error(tmp_path):
    writer = PredictionWriter(lambda batch, first: np.ones((1, 2, 2), np.float32), tmp_path / "no" / "disps.npy", 1)
    with pytest.raises(UserError, match="cannot be written"), writer:
        writer([_sample(np.ones((2, 2)))], 0)


def _bad_files(folder):
    good = folder / "good.npy"
    np.save(good, np.ones((3, 4, 5), np.float32))
    (folder / "truncated.npy").write_bytes(good.read_bytes()[:-20])
    (folder / "empty.npy").write_bytes(b"")
    (folder / "text.npy").write_text("no numbers")
    np.save(folder / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(folder / "flat.npy", np.ones((3, 20), np.float32))
    np.save(folder / "whole.npy", np.ones((3, 4, 5), np.int64))
    np.save(folder / "tiny.npy", np.ones((3, 1, 5), np.float32))
    np.savez(folder / "archive.npy", a=np.ones(3))
    (folder / "archive.npy.npz").rename(folder / "archive.npy")
    np.save(folder / "count.npy", np.ones((2, 4, 5), np.float32))
    return ("truncated", "empty", "text", "objects", "flat", "whole", "tiny", "archive", "count", "absent")


def test_bad_prediction_files_are_the_users_error(tmp_path):
    for name in _bad_files(tmp_path):
        with pytest.raises(UserError, match=f"{name}.npy") as caught:
            StoredPredictions(tmp_path / f"{name}.npy", 3)
        assert "pickle" not in str(caught.value)
    with pytest.raises(UserError, match="absent.npy cannot be read: No such file"):
        StoredPredictions(tmp_path / "absent.npy", 3)
    assert StoredPredictions(tmp_path / "good.npy", 3)


def test_constant_prior_is_the_median_per_pixel():
    depths = np.array([[[1.0, 10], [5, 0]], [[2, 20], [0, 0]], [[9, 60], [7, 0]], [[4, 79], [8, 0]]])
    prior = ConstantPrior.fit([_sample(depth) for depth in depths], (2, 2))
    depth = 1 / prior([_sample(depths[0])] * 2, 0)
    assert depth.shape == (2, 2, 2)
    np.testing.assert_allclose(depth[0, 0], [(2 + 4) / 2, (20 + 60) / 2], rtol=1e-6)
    assert depth[0, 1, 0] == pytest.approx(7)  # of 5, 7, 8
    assert depth[0, 1, 1] in (pytest.approx(7), pytest.approx(40))  # never seen: a neighbour's value


def test_constant_prior_averages_cells_and_fills_from_the_nearest():
    depth = np.zeros((8, 12))
    depth[4:6, 0:3] = [[10, 10, 20], [20, 0, 0]]  # one cell of 2x3 pixels
    depth[6, 11] = 3
    prior = 1 / ConstantPrior.fit([_sample(depth), _sample(np.zeros((8, 12)))], (4, 4)).inverse_depth
    np.testing.assert_allclose(prior[:, 0], 15, rtol=1e-6)
    assert prior[3, 3] == pytest.approx(3) and prior[2, 3] == pytest.approx(3)


def test_constant_prior_of_mixed_sizes():
    prior = ConstantPrior.fit([_sample(np.full((375, 1242), 8.0)), _sample(np.full((370, 1224), 8.0))], (32, 96))
    np.testing.assert_allclose(prior.inverse_depth, 1 / 8, rtol=1e-6)


def test_constant_prior_without_ground_truth():
    with pytest.raises(UserError, match="ground truth"):
        ConstantPrior.fit([_sample(np.zeros((2, 2)))], (2, 2))

import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import depth
from depth.prediction.api import DepthModel, full_size
from depth.runs.checkpoint import CheckpointFacts
from depth.trained import TrainedModel
from depth.types import DepthOutput, UserError
from tests.tiny_run import HEIGHT, WIDTH, save_run

ROOT = Path(__file__).parents[2]


class Brightness(nn.Module):
    """The red channel is the disparity."""

    def forward(self, image):
        return DepthOutput((image[:, :1],))


def _model(scale=None, **changes):
    facts = {"metres_from": None, "unit_factor": 1.0, "height": 4, "width": 6, "min_depth": 0.5, "max_depth": 10.0}
    facts |= {"checkpoint": CheckpointFacts("last", None, None, None)}
    trained = TrainedModel(Brightness(), None, path=Path("x"), record={}, **(facts | changes))
    return DepthModel(trained, torch.device("cpu"), scale)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return depth.load_model(save_run(tmp_path_factory.mktemp("run") / "run"), device="cpu")


def test_import_is_cheap():
    code = "import sys, depth; assert not {'torch', 'numpy', 'cv2'} & set(sys.modules); depth.load_model"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_depth_of_a_plain_picture_by_hand():
    """Disparity 51/255 = 0.2: inverse depth 0.1 + 0.2 (2 - 0.1) = 0.48."""
    out = _model().predict(np.full((8, 10, 3), 51, np.uint8))
    assert out.depth.shape == out.inverse_depth.shape == (8, 10) and out.depth.dtype == np.float32
    np.testing.assert_allclose(out.inverse_depth, 0.48, rtol=1e-6)
    np.testing.assert_allclose(out.depth, 1 / 0.48, rtol=1e-6)
    assert out.unit == "up to scale"
    with pytest.raises(FrozenInstanceError):
        out.unit = "metres"


@pytest.mark.parametrize(
    ("changes", "scale", "factor", "unit"),
    [
        ({"metres_from": "stereo", "unit_factor": 5.4}, None, 5.4, "metres"),
        ({"metres_from": "stereo"}, None, 1.0, "metres"),
        ({"metres_from": "stereo", "unit_factor": 5.4}, 2.0, 2.0, "metres"),
        ({}, 3.0, 3.0, "metres"),
    ],
)
def test_units(changes, scale, factor, unit):
    out = _model(scale, **changes).predict(np.full((4, 6, 3), 51, np.uint8))
    np.testing.assert_allclose(out.depth, factor / 0.48, rtol=1e-6)
    assert out.unit == unit


def test_inverse_depth_is_what_is_interpolated():
    """Half way between depths 1 and 3 lies 1.5, not 2."""
    out = full_size(np.array([[1, 1 / 3]], np.float32), 1, 4, 1.0, "metres")
    assert out.depth[0, 0] == 1 and out.depth[0, 3] == pytest.approx(3)
    assert out.inverse_depth[0, 1:3].mean() == pytest.approx(2 / 3)


def test_path_array_and_tensor_agree(model, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    path = tmp_path / "zwei Wörter.png"
    Image.fromarray(picture).save(path)
    expected = model.predict(picture)
    assert (model.height, model.width) == (HEIGHT, WIDTH) and expected.depth.shape == (70, 50)
    assert np.ptp(expected.depth) > 0
    for image in (path, str(path), torch.from_numpy(picture).permute(2, 0, 1), picture.astype(np.float32) / 255):
        np.testing.assert_array_equal(model.predict(image).depth, expected.depth)


def test_network_sees_the_resized_image_in_the_order_rgb(model):
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        disparity = model.depth_net(image).disparities[0][0, 0].numpy()
    np.testing.assert_allclose(model.predict(picture).inverse_depth, 0.02 + 19.98 * disparity, rtol=1e-5)


def _save(path, image):
    assert cv2.imwrite(str(path), image)
    return path


def test_any_picture(model, tmp_path):
    """Grey, alpha, 16 bits, a palette and other formats: the same picture gives the same depth."""
    grey = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    rgb = np.repeat(grey[:, :, None], 3, 2)
    expected = model.predict(rgb).depth
    alpha = np.dstack([rgb, np.full_like(grey, 7)])
    for image in (grey, alpha, grey.astype(np.uint16) * 257):
        np.testing.assert_array_equal(model.predict(image).depth, expected)
    paths = [
        _save(tmp_path / "grey.png", grey),
        _save(tmp_path / "alpha.png", alpha),
        _save(tmp_path / "grey16.png", grey.astype(np.uint16) * 257),
        _save(tmp_path / "rgb16.png", rgb.astype(np.uint16) * 257),
        _save(tmp_path / "x.bmp", rgb),
        _save(tmp_path / "x.tif", rgb),
    ]
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    for path in [*paths, tmp_path / "palette.png"]:
        np.testing.assert_array_equal(model.predict(path).depth, expected, err_msg=path.name)


def test_photo_is_turned_upright(model, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn
    picture.save(tmp_path / "photo.png", exif=exif)
    assert model.predict(tmp_path / "photo.png").depth.shape == (30, 20)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5, 2), np.uint8), r"\(4, 5, 2\)"),
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\)"),
        (np.full((4, 5, 3), 2.0), r"\[0,1\]"),
        (np.full((4, 5, 3), np.nan), r"\[0,1\]"),
        (np.zeros((4, 5, 3), np.int64), "int64"),
        (torch.zeros(5, 4, 3), r"\(5, 4, 3\)"),
    ],
)
def test_arrays_that_are_no_image(image, message):
    with pytest.raises(UserError, match=message):
        _model().predict(image)


def test_what_cannot_be_loaded(model, tmp_path):
    with pytest.raises(UserError, match="no run, checkpoint or Monodepth2 folder at"):
        depth.load_model(tmp_path / "nothing")
    with pytest.raises(UserError, match="scale"):
        _model(scale=-1.0)
    (tmp_path / "text.png").write_text("hello")
    for name in ("text.png", "absent.png"):
        with pytest.raises(UserError, match=name):
            model.predict(tmp_path / name)
    whole = _save(tmp_path / "cut.jpg", np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    whole.write_bytes(whole.read_bytes()[:-1500])
    with pytest.raises(UserError, match="cut.jpg"):
        model.predict(whole)

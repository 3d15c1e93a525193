import json

import numpy as np
import pytest

from datasets.core.intrinsics import intrinsics_from_fov, read_intrinsics
from depth.prediction.metric_scale import scale_of_height
from depth.prediction.pointcloud import camera_height, point_cloud
from depth.types import UserError

K = np.array([[100.0, 0, 59.5], [0, 100, 39.5], [0, 0, 1]])


def _road(height, pitch=0.0, noise=0.0, wall=30.0):
    """Depth (80,120) of a road `height` below a camera that is pitched by `pitch` radians, and of a wall behind it."""
    rows, columns = np.mgrid[:80, :120]
    rays = np.linalg.inv(K) @ np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
    down = np.array([0, np.cos(pitch), np.sin(pitch)])
    with np.errstate(divide="ignore"):
        depth = height / (down @ rays)
    depth = np.where((depth <= 0) | (depth > wall), wall, depth).reshape(80, 120)
    return depth * (1 + noise * np.random.default_rng(0).standard_normal(depth.shape))


def test_points_and_colours_by_hand():
    depth = np.array([[2.0, 4.0], [8.0, np.inf]])
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    cloud = point_cloud(depth, picture, np.array([[2.0, 0, 1], [0, 4, 0], [0, 0, 1]]))
    np.testing.assert_allclose(cloud.points, [[-1 * 2 / 2, 0, 2], [0, 0, 4], [-4, 2, 8]])
    np.testing.assert_array_equal(cloud.colours, picture.reshape(-1, 3)[:3])
    near = point_cloud(depth, picture, K, max_depth=4.0)
    assert len(near.points) == len(near.colours) == 2


@pytest.mark.parametrize("pitch", [0.0, 0.15, -0.1])
def test_height_of_a_plane(pitch):
    height = camera_height(_road(1.65, pitch), K)
    # Where road and wall meet a strip of wall lies within the tolerance.
    assert height == pytest.approx(1.65, rel=5e-3)
    assert camera_height(0.1 * _road(1.65, pitch), K) == pytest.approx(0.1 * height)


def test_height_with_noise_and_a_car_in_front():
    depth = _road(1.65, 0.05, noise=0.02)
    depth[40:70, 65:95] = np.minimum(depth[40:70, 65:95], 5.0)
    assert camera_height(depth, K) == pytest.approx(1.65, rel=0.03)
    assert camera_height(depth, K) == camera_height(depth, K)  # the draws are seeded


def test_no_road():
    assert camera_height(np.full((80, 120), 7.0), K) is None
    assert camera_height(np.random.default_rng(0).uniform(1, 50, (80, 120)), K) is None


def test_scale_is_the_median_over_frames():
    scale = scale_of_height(1.65, [0.3, None, 0.33, 0.5], "clip")
    assert scale.factor == pytest.approx(5.0) and scale.unit == "metres"
    assert "median of 3 of 4 frames" in scale.origin
    with pytest.raises(UserError, match="no road found in clip"):
        scale_of_height(1.65, [None, None], "clip")


def test_fov_by_hand():
    """90 degrees over 120 pixels: half the width in front of half the width."""
    np.testing.assert_allclose(intrinsics_from_fov(90, 120, 80), [[60, 0, 59.5], [0, 60, 39.5], [0, 0, 1]])


CAMERA = {"fx": 100.0, "fy": 100.0, "cx": 59.5, "cy": 39.5, "width": 120, "height": 80}


def test_intrinsics_follow_the_image(tmp_path):
    (tmp_path / "k.json").write_text(json.dumps(CAMERA))
    camera = read_intrinsics(tmp_path / "k.json")
    np.testing.assert_array_equal(camera.scaled_to(120, 80), K)
    half = camera.scaled_to(60, 40)
    # The outer edges stay: pixel -0.5 goes to -0.5, pixel 119.5 to 59.5.
    for before, after in ((-0.5, -0.5), (119.5, 59.5)):
        ray = (before - 59.5) / 100
        assert half[0, 0] * ray + half[0, 2] == pytest.approx(after)
    camera.scaled_to(61, 41)  # rounded when it was resized
    with pytest.raises(UserError, match="120x80, these have 80x120"):
        camera.scaled_to(80, 120)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fx": None}, '"fx" is missing'),
        ({"cy": "39"}, '"cy" is missing or not a number'),
        ({"fx": float("nan")}, '"fx"'),
        ({"fx": True}, '"fx"'),
        ({"width": 120.5}, "not an image's size"),
        ({"fy": -3.0}, "focal lengths"),
        ({"cx": 500.0}, "far outside"),
    ],
)
def test_bad_intrinsics(tmp_path, changes, message):
    (tmp_path / "k.json").write_text(json.dumps(CAMERA | changes))
    with pytest.raises(UserError, match=message):
        read_intrinsics(tmp_path / "k.json")
    (tmp_path / "k.json").write_text("[1]")
    with pytest.raises(UserError, match="expected an object"):
        read_intrinsics(tmp_path / "k.json")

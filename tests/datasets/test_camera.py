import json
import math

import numpy as np
import pytest
import torch

from datasets.core.frames import resize_view
from datasets.core.intrinsics import camera_of, read_intrinsics
from datasets.footage.camera import CameraChoice, PinholeCamera, camera_from_fov, doubts, write_camera
from depth.types import UserError


def test_a_right_angle_sees_as_far_as_it_is_wide():
    camera = camera_from_fov(90, 640, 192)
    assert camera.fx == pytest.approx(320) and camera.fy == pytest.approx(320)
    assert (camera.cx, camera.cy) == (319.5, 95.5)
    assert camera.fov == pytest.approx(90)
    for wrong in (4, 171, -60, math.nan):
        with pytest.raises(UserError, match="--fov"):
            camera_from_fov(wrong, 640, 192)


def test_resizing_a_camera_is_resizing_its_image():
    camera = PinholeCamera(40, 24, 20.0, 21.0, 18.0, 12.5)
    _, expected = resize_view(torch.zeros(3, 24, 40, dtype=torch.uint8), camera.matrix, 12, 60)
    np.testing.assert_allclose(camera.resized(60, 12).matrix, expected)


def test_what_is_written_is_read(tmp_path):
    camera = PinholeCamera(1920, 1080, 1390.5, 1391.25, 959.5, 539.5)
    write_camera(tmp_path / "camera.json", camera)
    written = (tmp_path / "camera.json").read_bytes()
    for content in (written, b"\xef\xbb\xbf" + written):  # the second as Windows' editors save it
        (tmp_path / "camera.json").write_bytes(content)
        read = read_intrinsics(tmp_path / "camera.json")
        np.testing.assert_array_equal(read.matrix, camera.matrix)
        assert (read.width, read.height) == (1920, 1080)


def test_a_file_serves_every_size_of_its_aspect(tmp_path):
    write_camera(tmp_path / "camera.json", PinholeCamera(1920, 1080, 1400, 1400, 959.5, 539.5))
    choice = CameraChoice(tmp_path / "camera.json")
    assert choice.camera(960, 540, "clip.mp4").fx == pytest.approx(700)
    with pytest.raises(UserError, match="clip.mp4.*1920x1080.*960x720"):
        choice.camera(960, 720, "clip.mp4")


def test_no_camera_names_the_three_choices():
    with pytest.raises(UserError, match="--intrinsics .*--fov .*--learn_intrinsics"):
        CameraChoice().check()
    CameraChoice(learned=True).check()
    assert CameraChoice(learned=True).camera(640, 192, "a").fov == pytest.approx(60)
    with pytest.raises(UserError, match="--fov 500"):
        CameraChoice(fov=500).check()


def test_a_broken_file_is_found_before_anything_is_read(tmp_path):
    (tmp_path / "camera.json").write_text(json.dumps({"fx": 1}))
    with pytest.raises(UserError, match="camera.json"):
        CameraChoice(tmp_path / "camera.json").check()


def test_doubts():
    plain = camera_from_fov(60, 640, 480)
    assert doubts(plain.matrix, 640, 480) == []
    far = plain.matrix
    far[0, 2] = 10
    assert len(doubts(far, 640, 480)) == 1 and "cx" in doubts(far, 640, 480)[0]
    assert "field of view" in doubts(camera_from_fov(160, 640, 480).matrix, 640, 480)[0]
    oblong = np.array([[500, 0, 320], [0, 300, 240], [0, 0, 1.0]])
    assert any("oblong" in doubt for doubt in doubts(oblong, 640, 480))


PIXELS = {"fx": 500, "fy": 510, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480}


@pytest.mark.parametrize(
    "change, said",
    [
        ({"fx": -500}, "fx -500 and fy 510 are not focal lengths in pixels"),
        ({"fy": 0}, "fx 500 and fy 0 are not focal lengths in pixels"),
        ({"cx": 0.5}, "a centre of 0.5, 239.5 lies within the first pixel"),
        ({"cy": 0.5}, "a centre of 319.5, 0.5 lies within the first pixel"),
        ({"cx": 0, "cy": -1}, "a centre of 0, -1 lies within the first pixel"),
        ({"width": 0}, "width 0 and height 480 are not an image's size"),
        ({"fy": 500 * 5}, "too different for one lens"),
        ({"cx": 1281}, "lies far outside"),
        ({"cy": -481}, "lies far outside"),
    ],
)
def test_numbers_that_cannot_be_pixels(change, said):
    with pytest.raises(UserError, match="camera.json: ") as raised:
        camera_of(PIXELS | change, "camera.json")
    assert said in str(raised.value)


def test_numbers_that_can_be_pixels():
    assert camera_of(PIXELS | {"cx": 1, "cy": 200}, "x").matrix[0, 2] == 1
    assert camera_of({"fx": 1, "fy": 1, "cx": 0, "cy": 0, "width": 1, "height": 1}, "x").width == 1

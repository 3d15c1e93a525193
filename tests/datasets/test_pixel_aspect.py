"""Videos whose pixels are not square: K, the network's size, and what the user is told."""

import json

import numpy as np
import pytest

from datasets.check import main as check
from datasets.core.intrinsics import intrinsics_from_fov, read_intrinsics, shown_size
from datasets.footage import capture
from datasets.footage.camera import CameraChoice, camera_from_fov, doubts
from datasets.footage.capture import pixel_aspect
from datasets.footage.video import open_footage, training_size
from depth.types import UserError
from tests.clip_maker import HEIGHT, WIDTH, drive, with_pixel_aspect, write_video

SHOWN = {"width": 416, "height": 128, "fx": 240.0, "fy": 240.0, "cx": 207.5, "cy": 63.5}  # of 312x128 at 4:3


@pytest.fixture
def oblong(tmp_path):
    """320x192 with pixels of 4:3, shown as 427x192."""
    return with_pixel_aspect(write_video(tmp_path / "a.mp4", drive(14)), 4, 3)


def camera_file(tmp_path, **values):
    (tmp_path / "k.json").write_text(json.dumps(values))
    return tmp_path / "k.json"


def test_a_lens_has_one_focal_length():
    """A pixel that is twice as wide: the same angle takes half as many of them to the side as upwards."""
    k = intrinsics_from_fov(90, 100, 60, 2.0)
    assert k[0, 0] == pytest.approx(50) and k[1, 1] == pytest.approx(100)
    assert (k[0, 2], k[1, 2]) == (49.5, 29.5)
    shown = intrinsics_from_fov(90, 200, 60)
    assert shown[0, 0] == pytest.approx(100) and shown[1, 1] == pytest.approx(k[1, 1])


def test_the_size_that_is_shown_is_never_smaller():
    assert shown_size(312, 128, 4 / 3) == (416, 128) and shown_size(128, 312, 3 / 4) == (128, 416)
    assert shown_size(720, 576, 64 / 45) == (1024, 576) and shown_size(640, 480, 1.0) == (640, 480)


def test_a_camera_of_the_shown_or_of_the_stored_images(tmp_path):
    shown = read_intrinsics(camera_file(tmp_path, **SHOWN))
    k = shown.scaled_to(312, 128, 4 / 3)
    assert (k[0, 0], k[1, 1]) == (pytest.approx(180), 240)
    assert k[0, 2] == pytest.approx(155.5) and k[1, 2] == pytest.approx(63.5)
    assert shown.scaled_to(156, 64, 4 / 3)[0, 0] == pytest.approx(90)
    stored = read_intrinsics(camera_file(tmp_path, **SHOWN | {"width": 312, "fx": 180.0, "cx": 155.5}))
    np.testing.assert_array_equal(stored.scaled_to(312, 128, 4 / 3), stored.matrix)
    with pytest.raises(UserError, match=r"416x128, these have 312x128, another aspect"):
        shown.scaled_to(312, 128)
    with pytest.raises(UserError, match=r"312x128, these have 320x192 \(427x192 as shown\), another aspect"):
        stored.scaled_to(320, 192, 4 / 3)


class Header:
    """A capture of which only the header is asked."""

    def __init__(self, width, height, turned=0):
        self.values = {capture.cv2.CAP_PROP_SAR_NUM: width, capture.cv2.CAP_PROP_SAR_DEN: height}
        self.values[capture.cv2.CAP_PROP_ORIENTATION_META] = turned

    def get(self, key):
        return float(self.values[key])


@pytest.mark.parametrize(
    ("header", "aspect"),
    [
        (Header(4, 3), 4 / 3),
        (Header(64, 45), 64 / 45),
        (Header(4, 3, 90), 3 / 4),
        (Header(4, 3, 270), 3 / 4),
        (Header(4, 3, 180), 4 / 3),
        (Header(1, 1, 90), 1),
        (Header(4, 1), 4),
        (Header(1, 4), 1 / 4),
        (Header(0, 1), 1),
        (Header(1, 0), 1),
        (Header(0, 0), 1),
        (Header(5, 1), 1),
        (Header(1, 5), 1),
        (Header(-4, -3), 1),
    ],
)
def test_what_the_header_says(header, aspect):
    assert pixel_aspect(header) == pytest.approx(aspect)


def test_training_knows_the_shape_of_the_pixels(oblong, tmp_path):
    found = open_footage(oblong, tmp_path / "cache", CameraChoice(fov=90), progress=False)
    k, size = found.intrinsics(found.frames("train")[0])
    assert size == (WIDTH, HEIGHT)
    assert k[0, 0] == pytest.approx(WIDTH / 2) and k[1, 1] == pytest.approx(WIDTH / 2 * 4 / 3)
    assert found.size == (427, 192) and "320x192 shown as 427x192, 10 fps" in found.notes()[0]
    assert "90.0 degrees" in found.notes()[2]
    again = open_footage(oblong, tmp_path / "cache", CameraChoice(fov=90), progress=False)
    assert again.size == (427, 192), "from the cache"
    file = camera_file(tmp_path, width=427, height=192, fx=240, fy=240, cx=213, cy=95.5)
    found = open_footage(oblong, tmp_path / "cache", CameraChoice(file), progress=False)
    k, _ = found.intrinsics(found.frames("train")[0])
    assert k[0, 0] / k[1, 1] == pytest.approx(3 / 4, rel=2e-3)
    assert training_size(found.size) != training_size((WIDTH, HEIGHT))


def test_a_phone_held_upright_turns_the_pixels_too(tmp_path):
    video = with_pixel_aspect(write_video(tmp_path / "a.mp4", drive(14)), 4, 3, turned=True)
    found = open_footage(video, tmp_path / "cache", CameraChoice(fov=90), progress=False)
    k, size = found.intrinsics(found.frames("train")[0])
    assert size == (HEIGHT, WIDTH) and found.size == (192, 427)
    assert k[0, 0] == pytest.approx(HEIGHT / 2) and k[1, 1] == pytest.approx(HEIGHT / 2 * 3 / 4)


def test_large_footage_keeps_the_shape_of_its_pixels(tmp_path):
    camera = camera_from_fov(90, 1440, 1080, 4 / 3)
    stored = camera.resized(1280, 960)
    assert stored.fy / stored.fx == pytest.approx(4 / 3) and stored.fx == pytest.approx(640)


def test_the_doctor_counts_the_shape_in(oblong, tmp_path, capsys):
    assert check([str(oblong), "--fov", "90"]) == 0
    text = capsys.readouterr().out
    assert "320x192 shown as 427x192; fitting --width 512 --height 224" in text
    assert "fx 160.0 fy 213.3" in text and "oblong" not in text
    camera_file(tmp_path, width=320, height=192, fx=160, fy=160, cx=159.5, cy=95.5)
    assert check([str(oblong), "--intrinsics", str(tmp_path / "k.json")]) == 0
    assert "fx / fy differs by 33 % from 0.75, the shape of the video's pixels" in capsys.readouterr().out
    assert doubts(intrinsics_from_fov(90, 320, 192, 4 / 3), 320, 192, 4 / 3) == []

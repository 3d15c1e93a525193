import io
import os

import numpy as np
import pytest
from PIL import Image

from datasets.core.splits import FrameRef
from datasets.kitti.layout import KittiRaw
from datasets.prepare import convert_all, main, png_files
from depth.types import UserError
from tests.clip_maker import wall
from tests.kitti_layout import DRIVE, write_raw

REF = FrameRef(DRIVE, 2, "l")


def test_jpegs_stand_beside_the_pngs(tmp_path):
    write_raw(tmp_path)
    depth = tmp_path / DRIVE / "proj_depth" / "groundtruth" / "image_02"
    depth.mkdir(parents=True)
    Image.fromarray(np.full((24, 40), 2560, np.uint16)).save(depth / "0000000002.png")
    assert convert_all(tmp_path, delete_png=False, workers=1) == {"written": 10}
    assert len(list(tmp_path.rglob("*.jpg"))) == 10 and not list(depth.glob("*.jpg"))
    assert KittiRaw(tmp_path).image_path(REF).suffix == ".png"
    assert convert_all(tmp_path, delete_png=False, workers=1) == {"there": 10}


def test_deleting_goes_on_where_it_stopped(tmp_path):
    write_raw(tmp_path)
    convert_all(tmp_path, delete_png=False, workers=1)
    (tmp_path / DRIVE / "image_02" / "data" / "0000000002.png").unlink()
    assert convert_all(tmp_path, delete_png=True, workers=1) == {"there": 9}
    assert not list((tmp_path / DRIVE).glob("image_0?/data/*.png"))
    assert KittiRaw(tmp_path).image_path(REF).suffix == ".jpg"


def test_a_png_that_is_newer_is_converted_again(tmp_path):
    png = tmp_path / "a.png"
    Image.fromarray(wall()).save(png)
    convert_all(tmp_path, delete_png=False, workers=1)
    before = (tmp_path / "a.jpg").read_bytes()
    Image.fromarray(wall() // 2 + wall(0) // 2 + 1).save(png)
    assert convert_all(tmp_path, delete_png=False, workers=1) == {"written": 1}
    assert (tmp_path / "a.jpg").read_bytes() != before


def test_quality_and_chroma(tmp_path):
    Image.fromarray(wall()).save(tmp_path / "a.png")
    convert_all(tmp_path, delete_png=False, workers=1)
    written = Image.open(tmp_path / "a.jpg")
    expected = io.BytesIO()
    Image.fromarray(wall()).save(expected, "JPEG", quality=92, subsampling="4:2:0")
    assert written.quantization == Image.open(expected).quantization
    assert [layer[1:3] for layer in written.layer] == [(2, 2), (1, 1), (1, 1)]
    assert np.abs(np.asarray(written).astype(int) - wall()).mean() < 10  # a texture of colours; KITTI loses less


def test_processes_do_the_same(tmp_path):
    write_raw(tmp_path, sides="l")
    assert convert_all(tmp_path, delete_png=False, workers=2) == {"written": 5}


def test_a_damaged_png_stops_with_its_name_and_stays(tmp_path, capsys):
    write_raw(tmp_path, sides="l")
    bad = tmp_path / DRIVE / "image_02" / "data" / "0000000003.png"
    bad.write_bytes(bad.read_bytes()[:200])
    assert main(["jpeg", "--data_path", str(tmp_path), "--delete_png", "--num_workers", "1"]) == 2
    assert "0000000003.png" in capsys.readouterr().err
    assert bad.is_file() and not bad.with_suffix(".jpg").exists()


def test_folders_without_pngs(tmp_path):
    with pytest.raises(UserError, match="no PNG"):
        png_files(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        png_files(tmp_path / "nowhere")


def test_the_cache_of_a_split(tmp_path, capsys):
    write_raw(tmp_path / "kitti", frames=range(6))
    (tmp_path / "train.txt").write_text(f"{DRIVE} l 1-4\n")
    arguments = ["cache", "--data_path", str(tmp_path / "kitti"), "--split", str(tmp_path / "train.txt")]
    arguments += ["--height", "64", "--width", "96", "--to", str(tmp_path / "frames"), "--num_workers", "0"]
    (tmp_path / "val.txt").write_text(f"{DRIVE} l 2\n")
    assert main(arguments) == 0
    arrays = sorted((tmp_path / "frames").rglob("frames.npy"))
    assert sorted(np.load(path).shape[0] for path in arrays) == [3, 6]
    assert "the cache is in" in capsys.readouterr().out


@pytest.mark.parametrize("newer", ["a.png", "a.jpg"])
def test_another_picture_of_the_same_name_is_never_lost(tmp_path, newer):
    """A photograph and its mask: neither is written over, nor deleted for the other."""
    photo, mask = tmp_path / "a.jpg", tmp_path / "a.png"
    Image.fromarray(wall()).save(photo)
    Image.fromarray((wall() > 128).astype(np.uint8)).save(mask)
    os.utime(tmp_path / newer, (2**31, 2**31))
    before = photo.read_bytes(), mask.read_bytes()
    with pytest.raises(UserError, match="a.jpg is another picture than a.png"):
        convert_all(tmp_path, delete_png=True, workers=1)
    if newer == "a.jpg":
        assert convert_all(tmp_path, delete_png=False, workers=1) == {"there": 1}
    assert (photo.read_bytes(), mask.read_bytes()) == before


def test_links_are_followed_and_no_circle(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    Image.fromarray(wall()).save(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data")
    assert [path.name for path in png_files(tmp_path / "data")] == ["a.png"]

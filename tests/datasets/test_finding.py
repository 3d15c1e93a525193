"""Which files of a folder are footage, and in which order: names, maps, predict.py's own files."""

import itertools
import json
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.footage.finding import look_into, sort_out
from datasets.footage.naming import IMAGE_SUFFIXES, in_order
from datasets.prepare import convert, png_files
from depth.types import UserError

GREY = np.zeros((4, 4), np.uint8)


def write(path, pixels=GREY):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4":
        path.write_bytes(b"")
    else:
        Image.fromarray(pixels).save(path)
    return path


def found(root):
    """Folders, images and videos as names below the root, and the lines."""
    contents, notes = look_into(root, IMAGE_SUFFIXES)
    inside = [str(path.relative_to(root)) for c in contents for path in (*c.images, *c.videos)]
    return inside, notes


ORDERS = {
    "seconds": ["0.25", "0.5", "102.05", "102.1", "102.123456", "102.15", "102.2"],
    "no zeros": ["7.125", "7.25", "7.5", "7.625"],
    "one to six decimals": ["9.000001", "9.01", "9.1", "9.12345", "9.2", "10.0"],
    "padded seconds": ["0009.050", "0009.100", "0010.000", "0010.050"],
    "epochs": ["1305031102.05", "1305031102.1", "1305031102.15", "1305031103.0"],
    "drive and frame": ["2.8", "2.9", "2.10", "2.11", "10.1"],
    "seconds and nanoseconds": ["102.50000000", "102.150000000", "102.250000000"],
    "dates": ["2024.1.9", "2024.1.10", "2024.2.1", "2024.10.1"],
    "counts": ["frame2", "frame10", "frame100"],
    "padded counts": ["frame_0002", "frame_0010", "frame_0100"],
    "several numbers": ["cam0_frame2", "cam0_frame10", "cam1_frame1", "cam10_frame0"],
    "mixed prefixes": ["2", "10", "a1", "b0", "b2", "B10"],
    "prefix and seconds": ["left_1.05", "left_1.1", "left_1.15", "right_0.5"],
}


@pytest.mark.parametrize("names", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("suffix", [".png", ".mp4", ""])
def test_names_in_the_order_that_a_person_reads(names, suffix):
    paths = [Path(name + suffix) for name in names]
    for seed in range(5):
        shuffled = random.Random(seed).sample(paths, len(paths))
        assert in_order(shuffled) == paths


def test_times_with_up_to_six_decimals_are_in_the_order_of_their_values():
    draw = random.Random(0)
    for decimals in range(1, 7):
        times = sorted({round(draw.uniform(1e9, 1e9 + 3), draw.randrange(1, decimals + 1)) for _ in range(40)})
        for form in (str, lambda t, d=decimals: f"{t:.{d}f}", lambda t, d=decimals: f"{t:020.{d}f}"):
            names = [f"{form(time)}.png" for time in times]
            assert in_order(map(Path, sorted(names))) == list(map(Path, names))


def test_folders_count_before_names_and_what_is_above_the_root_does_not():
    wanted = [Path("/v1.10/v1.9/seq", *parts) for parts in (("1", "9.png"), ("2", "1.png"), ("10", "0.png"))]
    assert in_order(reversed(wanted), Path("/v1.10/v1.9/seq")) == wanted
    assert in_order([Path("1.05/a.png"), Path("1.1/a.png")]) == [Path("1.05/a.png"), Path("1.1/a.png")]
    equal = [Path("001.png"), Path("01.png"), Path("1.png")]
    assert all(in_order(order) == equal for order in itertools.permutations(equal))


def test_every_folder_below_is_looked_into_in_order(tmp_path):
    for name in ("b/10/x.png", "b/2/x.png", "a.png", "b/2/deep/er/1.png", "b/2/clip.mp4", "b/notes.txt"):
        write(tmp_path / name) if not name.endswith("txt") else (tmp_path / name).write_text("")
    for name in ("._a.png", ".hidden/a.png"):
        write(tmp_path / name)
    (tmp_path / "b" / "2" / "round").symlink_to(tmp_path)
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
    assert found(tmp_path) == (["a.png", "b/2/x.png", "b/2/clip.mp4", "b/2/deep/er/1.png", "b/10/x.png"], [])


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("datasets.footage.finding.os.scandir", refuse)
    with pytest.raises(UserError, match=f"cannot list {tmp_path}: Permission denied"):
        look_into(tmp_path, IMAGE_SUFFIXES)


@pytest.mark.parametrize(
    ("picture", "drawn"),
    [
        ("rgb/{}.png", "depth/{}.png"),
        ("rgb_{}.png", "depth_{}.png"),
        ("frame-{}.color.png", "frame-{}.depth.png"),
        ("image/{}.png", "proj_depth/groundtruth/{}.png"),
        ("image_2/{}.png", "disp_noc_0/{}.png"),
        ("left/{}.png", "left_disparity/{}.png"),
        ("train/{}.png", "trainannot/{}.png"),
        ("img/{}.png", "masks/{}.png"),
        ("a/{}_leftImg8bit.png", "a/{}_gtFine_labelIds.png"),
        ("rgb/{}.jpg", "surface_normals/{}.png"),
        ("{}.png", "{}_rawDepth.png"),
    ],
)
def test_maps_beside_pictures_are_left_out_by_their_names(tmp_path, picture, drawn):
    for number in (1, 2):
        write(tmp_path / picture.format(number))
        write(tmp_path / drawn.format(number))
    inside, notes = found(tmp_path)
    assert inside == [picture.format(1), picture.format(2)]
    (note,) = notes
    assert note.startswith("left out: 2 files that are maps") and str(tmp_path / drawn.split("{")[0]) in note


@pytest.mark.parametrize("name", ["kids", "unmasked", "display", "deputy", "normal", "dispatch", "idle"])
def test_words_that_only_begin_alike_are_pictures(tmp_path, name):
    write(tmp_path / name / "1.png")
    assert found(tmp_path)[0]


def test_what_the_root_and_the_folders_above_it_are_called_says_nothing(tmp_path):
    folder = tmp_path / "depth" / "masks"
    write(folder / "1.png")
    assert found(folder) == (["1.png"], [])


def test_16_bits_beside_8_are_maps_whatever_they_are_called(tmp_path):
    deep = GREY.astype(np.uint16) + 1000
    for number in (1, 2):
        write(tmp_path / "a" / f"{number}.png")
        write(tmp_path / "a" / f"d{number}.png", deep)
        write(tmp_path / "b" / f"{number}.png", deep)
    inside, notes = found(tmp_path)
    assert inside == ["a/1.png", "a/2.png"] and notes[0].startswith("left out: 4 files that are maps")
    assert found(tmp_path / "b") == (["1.png", "2.png"], []), "a camera that gives 16 bits"
    write(tmp_path / "b" / "3.png")
    assert found(tmp_path / "b") == (["1.png", "2.png", "3.png"], []), "and one that gives both"


def test_maps_alone_are_no_footage(tmp_path):
    write(tmp_path / "depth_1.png")
    inside, notes = found(tmp_path)
    assert inside == [] and "depth_1.png" in notes[0]


def test_a_damaged_header_is_left_to_the_reader(tmp_path):
    (tmp_path / "1.png").write_bytes(b"\x89PNG")
    assert found(tmp_path) == (["1.png"], [])


def test_runs_caches_and_worlds_below_are_not_looked_into(tmp_path):
    write(tmp_path / "a.png")
    for folder in ("run/pictures", "world/x", "cache/footage/clip"):
        write(tmp_path / folder / "1.png")
    (tmp_path / "run" / "checkpoints").mkdir()
    assert len(found(tmp_path)[0]) == 4
    for name, text in (("run/config.json", "{}"), ("world/world.json", "{}"), ("cache/footage/clip/clip.json", "{}")):
        (tmp_path / name).write_text(text)
    assert found(tmp_path)[0] == ["a.png", "cache/footage/clip/1.png"], "a clip.json may be anything"
    cached = {"segments": [], "stored_width": 4, "stored_height": 4}
    (tmp_path / "cache/footage/clip/clip.json").write_text(json.dumps(cached))
    inside, notes = found(tmp_path)
    assert inside == ["a.png"] and notes[0].startswith("left out: 3 folders of runs, caches or the embedded world")
    assert found(tmp_path / "run") == (["pictures/1.png"], []), "whoever names it means it"


def test_a_json_of_others_makes_nothing_predicts_own(tmp_path):
    picture = write(tmp_path / "1_colour.jpg")
    for text in ("{}", "[]", "{", '{"unit": 1, "files": 2}'):
        (tmp_path / "clip.json").write_text(text)
        assert sort_out([picture], tmp_path) == ([picture], [])


def test_a_header_with_oblong_pixels_is_told(tmp_path):
    """As ffmpeg writes it of a video with such pixels: 4 and 3 per unit of no length."""
    chunk = b"pHYs" + struct.pack(">IIB", 4, 3, 0)
    content = bytearray(write(tmp_path / "1.png").read_bytes())
    content[33:33] = struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk))  # behind the header
    (tmp_path / "1.png").write_bytes(content)
    assert found(tmp_path)[1] == [
        f"{tmp_path / '1.png'} says that its pixels are 4:3, which is not used: fx and fy of --intrinsics tell"
    ]
    Image.fromarray(GREY).save(tmp_path / "0.jpg", dpi=(72, 72))
    assert found(tmp_path)[1] == []
    content = bytearray((tmp_path / "0.jpg").read_bytes())
    at = content.index(b"JFIF") + 7  # behind the version: the unit, and two densities
    content[at : at + 5] = struct.pack(">BHH", 0, 8, 9)
    (tmp_path / "0.jpg").write_bytes(content)
    assert "pixels are 8:9" in found(tmp_path)[1][0]


def test_prepare_leaves_maps_alone(tmp_path):
    picture, deep = write(tmp_path / "rgb" / "1.png"), write(tmp_path / "depth" / "1.png", GREY.astype(np.uint16))
    assert png_files(tmp_path) == [picture]
    for name in ("1.png", "2.png"):
        write(tmp_path / "d" / name, GREY.astype(np.uint16) + 1)
    assert png_files(tmp_path) == [picture]
    with pytest.raises(UserError, match="16 bits a pixel"):
        convert(deep, delete_png=True)
    assert deep.is_file() and not deep.with_suffix(".jpg").exists()
    write(tmp_path / "alone" / "depth_1.png")
    with pytest.raises(UserError, match="nothing to convert; left out: 1 files that are maps"):
        png_files(tmp_path / "alone")

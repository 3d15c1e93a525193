"""Files of labelled sets that are almost right: other kinds of PNG, capital letters, neighbours of the folder."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.check import main as check
from datasets.core.depth_files import read_depth
from datasets.core.images import read_ids
from datasets.core.normal_files import read_normals
from datasets.labelled import open_labelled
from datasets.labelled.dataset import load_labelled
from depth.types import UserError
from tests import labelled_layouts as mini
from tests.labelled.test_readers import WRITERS
from tests.labelled_layouts import halves, save


def grey_png(path: Path, bits: int, row: bytes) -> Path:
    """A PNG of one row of grey pixels, `bits` each."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", len(row) * 8 // bits, 1, bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def palette_png(path: Path, ids: np.ndarray, palette: list[tuple[int, int, int]]) -> Path:
    image = Image.fromarray(ids, "P")
    image.putpalette([value for colour in palette for value in colour])
    image.save(path)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_ids_of_few_bits_are_refused(tmp_path, bits):
    """Pillow makes 4 bits' 1 a 17 and leaves 1 bit's 1 alone."""
    assert (read_ids(grey_png(tmp_path / "8.png", 8, b"\x01\x10")) == [[1, 16]]).all()
    with pytest.raises(UserError, match=f"a grey PNG of {bits} bits, ids need 8 or 16"):
        read_ids(grey_png(tmp_path / "few.png", bits, b"\x12\x34"))


def test_ids_in_a_palette(tmp_path):
    """Ids 8 and 11 in a file that was made smaller are 0 and 1 with the greys 8 and 11."""
    ids = halves(0, 1)
    with pytest.raises(UserError, match="palette of greys that are not their own numbers"):
        read_ids(palette_png(tmp_path / "small.png", ids, [(8, 8, 8), (11, 11, 11)]))
    # CamVid's first colour is a grey, too.
    coloured = palette_png(tmp_path / "coloured.png", halves(0, 0), [(128, 128, 128), (128, 0, 0)])
    assert (read_ids(coloured) == 0).all()
    assert (read_ids(palette_png(tmp_path / "own.png", ids, [(k, k, k) for k in range(256)])) == ids).all()


@pytest.mark.parametrize(
    ("dataset", "kind", "message"),
    [
        ("cityscapes", "depth", "a depth map is a 16-bit grey PNG, this is PNG with mode L"),
        ("vkitti2", "depth", "a depth map is a 16-bit grey PNG"),
        ("kitti_semantics", "instances", "a PNG of 16 bits, this has mode L"),
        ("vkitti2", "semantics", "not an RGB PNG, but PNG with mode L"),
        ("coco_panoptic", "semantics", "not an RGB PNG, but PNG with mode L"),
    ],
)
def test_eight_bits_of_grey_where_there_should_be_more(tmp_path, dataset, kind, message):
    source = open_labelled(WRITERS[dataset](tmp_path), dataset)
    name = source.images("train")[0]
    save(source.label_path(name, kind), np.zeros((12, 16), np.uint8))
    with pytest.raises(UserError, match=message):
        source.read(name, kind)


@pytest.mark.parametrize("dataset", WRITERS)
def test_capital_suffixes_and_hidden_files(tmp_path, dataset):
    root = WRITERS[dataset](tmp_path)
    before = {part: open_labelled(root, dataset).images(part) for part in ("train", "val")}
    for path in [p for p in root.rglob("*") if p.suffix in (".png", ".jpg", ".npy")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        path.rename(path.with_suffix(path.suffix.upper()))
    source = open_labelled(root, dataset)
    assert {part: source.images(part) for part in before} == before
    for name in source.select("train", source.kinds)[0]:
        assert load_labelled(source, name, source.kinds)[0].shape == (3, 12, 16)


def test_normals_of_whole_numbers_are_refused(tmp_path):
    """A picture of normals as an array: 127.5 (n + 1) would pass for directions, all to the right, down and away."""
    path = save(tmp_path / "n.npy", np.full((2, 3, 3), 128, np.uint8))
    with pytest.raises(UserError, match="floats, this is uint8"):
        read_normals(path)


def test_numbers_beyond_float32_are_no_labels_and_no_warnings(tmp_path):
    depth = save(tmp_path / "d.npy", np.array([[1e300, 2.0]]))
    normals = save(tmp_path / "n.npy", np.array([[[1e300, 0, 0], [0, 0, -2.0]]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_depth(depth).tolist() == [[0, 2]]
        assert read_normals(normals).tolist() == [[[0, 0, 0], [0, 0, -1]]]


def test_nyud_without_its_list(tmp_path, capsys):
    (mini.write_nyud(tmp_path) / "gt_sets" / "train.txt").unlink()
    assert check([str(tmp_path)]) == 2
    assert "cannot read the list" in capsys.readouterr().err


@pytest.mark.parametrize("folder", [".", "camvid/train", "camvid/trainannot"])
def test_a_folder_too_high_or_too_deep(tmp_path, capsys, folder):
    root = mini.write_camvid(tmp_path / "camvid")
    hint = f"{root} is laid out as camvid is: perhaps that folder is meant"
    with pytest.raises(UserError) as error:
        open_labelled(tmp_path / folder, "camvid")
    assert hint in str(error.value)
    check([str(tmp_path / folder)])
    assert hint in "".join(capsys.readouterr())

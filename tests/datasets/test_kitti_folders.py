"""KITTI as users have it: other suffixes, dataset/sequences, grey archives, splits that name a drive's ends."""

import shutil

import pytest

from datasets.check import main as check
from datasets.core.sources import at_the_ends, select_available
from datasets.core.splits import FrameRef
from datasets.download import _is_there
from datasets.kitti.layout import KittiOdometry, KittiRaw, odometry_home
from datasets.prepare import convert_all
from depth.types import UserError
from tests.kitti_layout import DATE, DRIVE, WIDTH, write_odometry, write_raw, write_scan

MOVING = (-1, 1)
NO_MORE = "there is no frame before the first and none after the last; take them out of the split"


def refs(frames, side="l", folder=DRIVE):
    return [FrameRef(folder, frame, side) for frame in frames]


def renamed(root, suffix):
    """The same folder, its images' and scans' suffixes written as in `suffix`."""
    for path in [*root.rglob("*.png"), *root.rglob("*.jpg"), *root.rglob("*.bin")]:
        path.rename(path.with_suffix(suffix if path.suffix != ".bin" else ".BIN"))
    return root


@pytest.mark.parametrize("suffix", [".PNG", ".JPG", ".JPEG"])
def test_suffixes_in_capitals_are_read(tmp_path, suffix, capsys):
    root = write_raw(tmp_path / "kitti", suffix="png" if suffix == ".PNG" else "jpg")
    write_scan(root, 2, [(10, 0, 0)])
    source = KittiRaw(renamed(root, suffix))
    assert source.image_path(FrameRef(DRIVE, 2, "r")).name == f"0000000002{suffix}"
    assert source.scan_path(FrameRef(DRIVE, 2, "l")).name == "0000000002.BIN"
    assert source.ground_truth(None, None)(FrameRef(DRIVE, 2, "l")).depth.tolist() == [10.0]
    (tmp_path / "test.txt").write_text(f"{DRIVE} l 2\n")
    assert check([str(root), "--split", str(tmp_path / "test.txt")]) == 0
    text = capsys.readouterr().out
    assert f"frames   5 in 1: {DRIVE} 5" in text and "1 with ground truth" in text
    assert _is_there(root / DRIVE / "image_02" / "data" / "0000000002.png")
    assert _is_there(root / DRIVE / "velodyne_points" / "data" / "0000000002.bin")
    assert not _is_there(root / DRIVE / "image_02" / "data" / "0000000009.png")


def test_of_two_spellings_the_preferred_one_is_taken_whatever_the_disk_lists_first(tmp_path, monkeypatch):
    folder = write_raw(tmp_path, range(1), "l") / DRIVE / "image_02" / "data"
    for name in ("0000000000.PNG", "0000000000.JPG"):
        shutil.copy(folder / "0000000000.png", folder / name)
    names = ["0000000000.PNG", "0000000000.png", "0000000000.JPG"]
    for order in (names, names[::-1]):
        monkeypatch.setattr("datasets.kitti.listing.os.listdir", lambda _, order=order: order)
        assert KittiRaw(tmp_path).image_path(FrameRef(DRIVE, 0, "l")).name == "0000000000.png"


def test_capitals_become_jpegs_too(tmp_path):
    root = renamed(write_raw(tmp_path), ".PNG")
    assert convert_all(root, delete_png=True, workers=1) == {"written": 10}
    assert KittiRaw(root).image_path(FrameRef(DRIVE, 2, "l")).name == "0000000002.jpg"


def test_a_drives_ends_are_named_and_no_download_is_advised(tmp_path, capsys):
    source = KittiRaw(write_raw(tmp_path / "kitti"))
    assert source.span(FrameRef(DRIVE, 2, "l")) == (0, 4) and source.span(FrameRef("absent", 0, "l")) is None
    with pytest.raises(UserError) as caught:
        select_available(source, refs(range(5)), MOVING)
    assert str(caught.value).split("\n") == [
        f"2 of 5 frames (or what goes with them) are missing under {tmp_path / 'kitti'}; take them out of the split, "
        "or go on without with --skip_missing:",
        f"  {DRIVE}: 2 of 5 at an end (0, 4): {NO_MORE}",
    ]
    (tmp_path / "train.txt").write_text(f"{DRIVE} l 0-4\n")
    assert check([str(tmp_path / "kitti"), "--split", str(tmp_path)]) == 2
    text = capsys.readouterr().out
    assert f"missing  train: {DRIVE}: 2 of 5 at an end (0, 4)" in text and "download" not in text
    assert "disk     15 kB of left frames\n" in text, "no archive has those frames"


@pytest.mark.parametrize(
    ("wanted", "ends"),
    [
        (range(5), [0, 4]),
        (range(1, 4), []),
        ([0], [0]),
        ([4], [4]),
        (range(3, 8), []),  # 5 to 7 are lacking, and so what comes after 4
        ([9], []),
    ],
)
def test_what_the_split_names_is_inside_of_the_drive(tmp_path, wanted, ends):
    source = KittiRaw(write_raw(tmp_path, sides="l"))
    assert [ref.frame for ref in at_the_ends(source, refs(wanted), MOVING)] == ends


def test_a_folders_ends_are_looked_for_once(tmp_path, monkeypatch):
    source, asked = KittiRaw(write_raw(tmp_path)), []
    span = source.span
    monkeypatch.setattr(source, "span", lambda ref: asked.append(ref.side) or span(ref))
    assert len(at_the_ends(source, refs(range(5)) + refs(range(5), "r"), MOVING)) == 4
    assert asked == ["l", "r"]


def test_a_hole_and_the_other_camera_are_no_ends(tmp_path):
    root = write_raw(tmp_path, range(8), "l")
    write_raw(tmp_path, range(1, 8), "r")
    (root / DRIVE / "image_02" / "data" / "0000000003.png").unlink()
    source = KittiRaw(root)
    assert [ref.frame for ref in at_the_ends(source, refs(range(8)), MOVING)] == [0, 7]
    assert at_the_ends(source, refs([0]), (-1, 1, 0)) == [] and at_the_ends(source, refs([0]), (0,)) == []
    with pytest.raises(UserError) as caught:
        select_available(source, refs(range(8)), MOVING)
    lines = str(caught.value).split("\n")
    assert "; download them, or go on" in lines[0]
    assert lines[1:] == [
        f"  {DRIVE}: 3 of 8 missing; download 2011_09_26_drive_0001_sync.zip (KITTI raw data)",
        f"  {DRIVE}: 2 of 8 at an end (0, 7): {NO_MORE}",
    ]


def test_where_the_archives_have_it_is_where_it_is_looked_for(tmp_path, monkeypatch, capsys):
    home = write_odometry(tmp_path / "kitti" / "dataset")
    for root in (home, tmp_path / "kitti", home / "sequences"):
        source = KittiOdometry(root)
        assert source.root == home and source.image_path(FrameRef("09", 1, "l")).is_file()
        assert source.intrinsics(FrameRef("9", 1, "l"))[1][0] == WIDTH
        check([str(root), "--split", "odom"])
        assert "KITTI odometry" in capsys.readouterr().out
    monkeypatch.chdir(home / "sequences")
    assert KittiOdometry(".").root == home
    assert odometry_home(tmp_path) == tmp_path, "with neither, messages name what was given"


def test_grey_archives_are_named_as_such(tmp_path, capsys):
    root = write_odometry(tmp_path / "odometry")
    for colour, grey in (("image_2", "image_0"), ("image_3", "image_1")):
        (root / "sequences" / "09" / colour).rename(root / "sequences" / "09" / grey)
    grey = f"{root / 'sequences'} has the grey images alone (image_0): download data_odometry_color.zip"
    with pytest.raises(UserError, match="has none of the 2 frames .*000000.png") as caught:
        select_available(KittiOdometry(root), refs([0, 1], folder="09"))
    assert grey in str(caught.value) and "\n" not in str(caught.value)
    check([str(root), "--split", "odom"])
    assert grey in capsys.readouterr().out
    write_odometry(root, "10")
    assert "grey" not in KittiOdometry(root).archive("09")
    raw = write_raw(tmp_path / "raw", sides="l")
    (raw / DRIVE / "image_02").rename(raw / DRIVE / "image_00")
    with pytest.raises(UserError, match=f"{DATE}_drive_0001_sync has the grey cameras alone"):
        select_available(KittiRaw(raw), refs([0, 1]))


def test_what_is_not_there_at_all_comes_with_what_to_download(tmp_path):
    with pytest.raises(UserError, match=r"has none of the 1 frames.*download 2011_09_26_drive_0001_sync\.zip and"):
        select_available(KittiRaw(tmp_path), refs([0]))

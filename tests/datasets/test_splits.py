from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.core.splits import SPLITS_FOLDER, FrameRef, has_part, load_split, parse_split, split_name, split_names
from datasets.locate import DataPlace
from datasets.sets import split_frames
from depth.types import UserError

DRIVE = "2011_09_26/2011_09_26_drive_0001_sync"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "part", "count"),
    [
        ("eigen", "test", 697),
        ("eigen_benchmark", "test", 652),
        ("eigen_zhou", "train", 39_810),
        ("eigen_zhou", "val", 4_424),
        ("eigen_full", "train", 45_200),
        ("eigen_full", "val", 1_776),
        ("odom", "train", 36_684),
        ("odom", "val", 4_062),
        ("odom", "test", 1_591 + 1_201),
        ("odom_9", "test", 1_591),
        ("odom_10", "test", 1_201),
    ],
)
def test_published_counts_without_a_frame_twice(name, part, count):
    refs = load_split(name, part)
    assert len(refs) == count
    assert len(set(refs)) == count


def test_the_eigen_test_images_are_in_the_published_order():
    refs = load_split("eigen", "test")
    assert [ref.frame for ref in refs[:5]] == [69, 54, 42, 57, 30]
    assert refs[0].name == "2011_09_26/2011_09_26_drive_0002_sync 69 l"
    assert refs[-1].folder.startswith("2011_10_03")
    assert set(load_split("eigen_benchmark", "test")) < set(refs)


@pytest.mark.parametrize("name", ["eigen_zhou", "eigen_full", "odom"])
def test_train_and_val_share_no_frame(name):
    assert not set(load_split(name, "train")) & set(load_split(name, "val"))


def test_odometry_uses_all_inner_frames_of_both_cameras_and_holds_out_the_last_tenth():
    lengths = dict(enumerate([4541, 1101, 4661, 801, 271, 2761, 1101, 1101, 4071]))
    train, val = load_split("odom", "train"), load_split("odom", "val")
    expected = {FrameRef(f"{s:02d}", f, side) for s, n in lengths.items() for f in range(2, n - 2) for side in "lr"}
    assert set(train) | set(val) == expected
    assert max(r.frame for r in train if r.folder == "04") < min(r.frame for r in val if r.folder == "04")


def test_notation_by_hand(tmp_path):
    path = write(tmp_path / "s.txt", f"# head\n\n{DRIVE} lr 3-4,1  # tail\n{DRIVE} 0000000473 r\r\n")
    expected = [(3, "l"), (3, "r"), (4, "l"), (4, "r"), (1, "l"), (1, "r"), (473, "r")]
    assert [(ref.frame, ref.side) for ref in parse_split(path)] == expected
    assert {ref.folder for ref in parse_split(path)} == {DRIVE}


def test_a_byte_order_mark_is_no_part_of_the_first_folder(tmp_path):
    (tmp_path / "s.txt").write_bytes(b"\xef\xbb\xbf" + f"{DRIVE} l 1\r\n{DRIVE} l 2\r\n".encode())
    assert parse_split(tmp_path / "s.txt") == [FrameRef(DRIVE, 1, "l"), FrameRef(DRIVE, 2, "l")]


@given(st.lists(st.tuples(st.integers(0, 9_999_999), st.sampled_from("lr")), min_size=1, max_size=20))
@settings(deadline=None, max_examples=50)
def test_both_notations_give_the_same_frames(tmp_path_factory, frames):
    folder = tmp_path_factory.mktemp("split")
    ours = write(folder / "a.txt", "\n".join(f"{DRIVE} {side} {frame}" for frame, side in frames))
    theirs = write(folder / "b.txt", "\n".join(f"{DRIVE} {frame:010d} {side}" for frame, side in frames))
    expected = [FrameRef(DRIVE, frame, side) for frame, side in frames]
    assert parse_split(ours) == parse_split(theirs) == expected


@pytest.mark.parametrize(
    "line",
    [
        f"{DRIVE} l",
        f"{DRIVE} l 1 2",
        f"{DRIVE} m 1",
        f"{DRIVE} rl 1",
        f"{DRIVE} l 5-3",
        f"{DRIVE} l 1,,2",
        f"{DRIVE} l -1",
        f"{DRIVE} l 1_0",
        f"{DRIVE} l ٣",
        f"{DRIVE} l 0-99999999",
        "../outside l 1",
        "/etc l 1",
        "a/../../b l 1",
        "a//b l 1",
        "c:/b l 1",
        "a\\..\\b l 1",
        "a\0b l 1",
    ],
)
def test_malformed_lines_name_file_and_line(tmp_path, line):
    path = write(tmp_path / "s.txt", f"{DRIVE} l 1\n{line}\n")
    with pytest.raises(UserError, match=r"s\.txt, line 2: ") as error:
        parse_split(path)
    assert "\n" not in str(error.value)


def test_a_split_that_would_fill_the_memory_is_refused(tmp_path):
    path = write(tmp_path / "s.txt", "a lr 0-9999999\n")
    with pytest.raises(UserError, match="more than"):
        parse_split(path)


@given(st.binary(max_size=80) | st.text("al r0-,#/.\n", max_size=60).map(str.encode))
@settings(deadline=None, max_examples=200)
def test_any_file_gives_frames_or_a_user_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.txt"
    path.write_bytes(data)
    try:
        assert all(".." not in ref.folder.split("/") for ref in parse_split(path))
    except UserError as error:
        assert "fuzz.txt" in str(error)


def test_unknown_names_and_absent_parts_say_what_there_is(tmp_path):
    assert {"eigen", "eigen_zhou", "eigen_full", "eigen_benchmark", "odom"} <= set(split_names())
    with pytest.raises(UserError, match="unknown split 'eigne'.*eigen_zhou"):
        load_split("eigne", "test")
    with pytest.raises(UserError, match="'eigen' has no train part; it has test"):
        load_split("eigen", "train")
    with pytest.raises(UserError, match="names no frame"):
        load_split(write(tmp_path / "empty.txt", "# nothing\n"), "test")
    assert has_part("eigen", "test") and not has_part("eigen", "val")


def test_own_files_and_folders(tmp_path):
    train = write(tmp_path / "train_files.txt", "d 1 l\n")
    write(tmp_path / "val_files.txt", "d 2 l\n")
    for place in (tmp_path, train):
        assert [load_split(place, part)[0].frame for part in ("train", "val")] == [1, 2]
        assert not has_part(place, "test")
    single = write(tmp_path / "mine.txt", "d 3 l\n")
    assert load_split(single, "train") == load_split(single, "test") == [FrameRef("d", 3, "l")]
    with pytest.raises(UserError, match="no val part"):
        load_split(single, "val")


def test_neighbours():
    ref = FrameRef("d", 5, "l")
    assert (ref.neighbour(-1), ref.neighbour(0)) == (FrameRef("d", 4, "l"), FrameRef("d", 5, "r"))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("eigen_benchmark", "eigen_benchmark"),
        (SPLITS_FOLDER / "eigen_benchmark", "eigen_benchmark"),
        (SPLITS_FOLDER / "eigen_benchmark" / "test.txt", "eigen_benchmark"),
        (SPLITS_FOLDER / "eigen_benchmark" / ".." / "odom_9" / "test.txt", "odom_9"),
        ("night.split", "night.split"),
        ("night.split/val_files.txt", "night.split"),
        ("night.split/rain.txt", "rain"),
        ("test.txt", "here"),
    ],
)
def test_name_of_a_split(tmp_path, monkeypatch, given, name):
    (tmp_path / "here" / "night.split").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for file in ("test.txt", "night.split/val_files.txt", "night.split/rain.txt"):
        write(Path(file), f"{DRIVE} l 1\n")
    assert split_name(given) == name


def test_no_name_for_an_unknown_split():
    with pytest.raises(UserError, match="unknown split 'nonsense'"):
        split_name("nonsense")


def test_a_misspelt_split_is_told_where_the_embedded_world_takes_its_own():
    place = DataPlace(Path("nowhere"), "synthetic", "")
    with pytest.raises(UserError, match="unknown split 'nonsense'"):
        split_frames(place, "nonsense", "train")

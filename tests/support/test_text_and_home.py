"""Text in other encodings, and paths that begin with ~: in every command, and in every reader of text."""

from pathlib import Path

import pytest

import depth
from datasets.core.intrinsics import read_intrinsics
from datasets.core.splits import parse_split
from datasets.kitti.calibration import read_raw_velodyne
from datasets.kitti.poses import read_poses
from datasets.labelled.cityscapes import read_camera
from datasets.locate import default_cache_dir, find_data
from datasets.tools.command import Parser
from datasets.world.making import WorldSpec, ensure_world
from depth.options.config import Config
from depth.options.evaluate import EvaluationOptions
from depth.options.predict import ExportOptions, PredictOptions
from depth.runs.run_folder import read_run
from depth.support.cli import parse
from depth.support.files import at_home, read_text
from depth.types import UserError
from tests.kitti_layout import VELO_TO_CAM
from tests.tiny_run import save_run


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_named_with_what_to_do(tmp_path, encoding):
    path = tmp_path / "split.txt"
    path.write_bytes("drive l 1-3\n".encode(encoding))
    with pytest.raises(UserError) as caught:
        read_text(path, "the split file")
    assert str(caught.value) == f"the split file {path} is in UTF-16: save it as UTF-8"


def test_what_is_no_utf_8_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("Straße".encode("latin-1"))
    with pytest.raises(UserError, match=r"the poses .*a\.txt is not in UTF-8: save it as UTF-8"):
        read_text(tmp_path / "a.txt", "the poses")
    (tmp_path / "a.txt").write_bytes(b"1234")
    assert read_text(tmp_path / "a.txt", "", most=4) == "1234"
    with pytest.raises(UserError, match="the poses .*too large: more than 3 bytes"):
        read_text(tmp_path / "a.txt", "the poses", most=3)
    with pytest.raises(UserError, match=r"cannot read the poses .*absent: No such file"):
        read_text(tmp_path / "absent", "the poses")


def test_marks_and_line_ends_are_no_part_of_the_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\nStra\xc3\x9fe\x00")
    assert read_text(tmp_path / "a.txt", "") == "a\nb\nc\nStraße\0"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse_split, "drive l 1\n"),
        (read_intrinsics, "{}"),
        (read_raw_velodyne, VELO_TO_CAM),
        (read_poses, "1 0 0 0 0 1 0 0 0 0 1 0\n"),
        (read_camera, "{}"),
        (lambda path: read_run(path.parent), "{}"),
    ],
)
def test_every_reader_of_text_says_so(tmp_path, read, text):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(UserError, match=r"config\.json is in UTF-16: save it as UTF-8"):
        read(path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_only_a_home_is_expanded(home):
    expected = {
        "~": f"{home}",
        "~/x": f"{home}/x",
        "--out=~/x": f"--out={home}/x",
        "--a=b=~/x": "--a=b=~/x",
        "~x": "~x",
        "--name=~x": "--name=~x",
        "./~/x": "./~/x",
        "x~/y": "x~/y",
        "--~/x": "--~/x",
        "~nobody-has-this-name/x": "~nobody-has-this-name/x",
    }
    assert {argument: at_home(argument) for argument in expected} == expected


def test_every_path_of_a_command_may_begin_at_home(home):
    data = parse(Config, "", ["--data_path=~/k", "--split=~/s", "--cache=~/c", "--log_dir=~/r"])
    assert (data.data.data_path, data.data.split, data.data.cache) == (f"{home}/k", f"{home}/s", f"{home}/c")
    assert data.log.log_dir == f"{home}/r"
    assert parse(EvaluationOptions, "", ["--eval_out_dir=~/e"]).eval_out_dir == f"{home}/e"
    options = parse(PredictOptions, "", ["~/a.png", "b.png", "--out=~/o", "--checkpoint", "~/run"])
    assert options.inputs == (f"{home}/a.png", "b.png")
    assert (options.out, options.checkpoint) == (f"{home}/o", f"{home}/run")
    assert parse(ExportOptions, "", ["~/run", "--output=~/m.onnx"]).output == f"{home}/m.onnx"


def test_so_may_those_of_the_tools(home):
    parser = Parser()
    sub = parser.add_subparsers().add_parser("jpeg")
    sub.add_argument("--data_path", type=Path)
    sub.add_argument("files", nargs="*")
    options = parser.parse_args(["jpeg", "--data_path=~/k", "~/a"])
    assert options.data_path == home / "k" and options.files == [f"{home}/a"]
    assert Parser().parse_known_args(["--rest=~/x"])[1] == [f"--rest={home}/x"]


def test_so_may_the_environment(home, monkeypatch):
    monkeypatch.delenv("DEJAVU_CACHE", raising=False)
    assert default_cache_dir() == home / ".cache" / "dejavu-depth"
    monkeypatch.setenv("DEJAVU_CACHE", "~/cache")
    monkeypatch.setenv("KITTI_DATA", "~/kitti")
    (home / "kitti").mkdir()
    assert default_cache_dir() == home / "cache"
    assert find_data(None, "kitti", home).root == home / "kitti"
    spec = WorldSpec(height=16, width=32, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=3)
    assert ensure_world(spec=spec).parent == home / "cache"


def test_so_may_those_of_the_api(home):
    save_run(home / "run")
    assert depth.load_model("~/run", device="cpu").trained.path == home / "run" / "checkpoints" / "last.pt"
    with pytest.raises(UserError, match=f"{home}/photo.png"):
        depth.load_model("~/run", device="cpu").predict("~/photo.png")

"""What is wrong with a manifest is said in one line with its number; the schema says the same of a line's form."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from datasets.manifest.source import Manifest
from depth.types import UserError
from tests.manifest_maker import CAMERA, HEADER, HEIGHT, WIDTH, frames, write

SCHEMA = json.loads((Path(__file__).parents[2] / "datasets/manifest/schema.json").read_text())
POSE = np.eye(4).tolist()


def turned(**entries):
    return {"manifest": 1, "cameras": {"front": CAMERA | entries}}


def complaint(path):
    with pytest.raises(UserError) as raised:
        source = Manifest(path)
        truth = source.ground_truth(None, None)
        for ref in source.frames("all"):
            truth(ref)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# What is changed in line 3 of a manifest, what is said of it, and whether a schema can know.
FRAMES = [
    ({"image": "gone.png"}, "gone.png does not exist", False),
    ({"image": 3}, '"image" is text, not 3', True),
    ({"image": ""}, '"image" is text', True),
    ({"sequence": None}, '"sequence" is text, not null', True),
    ({"order": -1}, "from 0, not -1", True),
    ({"order": True}, "from 0, not true", True),
    ({"order": 10**30}, "a number of more than 20 digits", True),
    ({"order": 0}, '"order" 0 of sequence "street" stands in line 2 already', False),
    ({"camera": "rear"}, 'camera "rear" is not in the table of cameras (front)', False),
    ({"splt": "test"}, 'unknown entry "splt"; did you mean "split"?', True),
    ({"split": "holdout"}, '"split" is one of train, val, test, not "holdout"', True),
    ({"depth": "street/001.exr"}, "depth is a 16-bit .png, a .npy or a .npz, not .exr", True),
    ({"depth": {"path": "street/001_depth.png"}}, 'a .png needs its "scale"', True),
    ({"depth": {"path": "street/001_depth.png", "scale": 0}}, '"scale" is above 0', True),
    ({"depth": {"path": "street/001_depth.png", "scale": 1, "kye": "a"}}, 'did you mean "key"?', True),
    ({"depth": {"path": "street/001.png", "scale": 1}}, "a depth map is a 16-bit grey PNG", False),
    ({"pose": POSE[:3]}, '"pose" is four rows of four finite numbers', True),
    ({"pose": [*POSE[:3], [0, 0, 0, "1"]]}, '"pose" is four rows of four finite numbers', True),
    ({"pose": [[2, 0, 0, 0], *POSE[1:]]}, '"pose" is not a rotation and a shift', False),
    ({"pose": [[-1, 0, 0, 0], *POSE[1:]]}, '"pose" is not a rotation and a shift', False),
    ({"pose": [*POSE[:3], [0, 0, 1, 1]]}, '"pose" is not a rotation and a shift', False),
    ({"mask": "small.png"}, f"small.png has 3x2 pixels, its camera {WIDTH}x{HEIGHT}", False),
    ({"mask": "street/001_depth.npy"}, "street/001_depth.npy does not exist", False),
    ({"speed": "fast"}, '"speed" is a number, not "fast"', True),
    ({"other_camera": {"image": "street/001.png"}}, '"other_camera: other_from_this" is four rows', True),
]


@pytest.mark.parametrize("change, said, formal", FRAMES, ids=[said for _, said, _ in FRAMES])
def test_a_line_that_is_wrong(tmp_path, change, said, formal):
    lines = frames(tmp_path, 3)
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "small.png")
    lines[1] |= change
    path = write(tmp_path / "m.jsonl", lines)
    text = complaint(path)
    assert text.startswith(f"{path}, line 3: ") and said in text
    assert formal != jsonschema.Draft202012Validator(SCHEMA).is_valid(lines[1])


@pytest.mark.parametrize(
    "header, said",
    [
        ({"manifest": 2, "cameras": {}}, "the first line is"),
        ({"manifest": 1, "cameras": {}}, '"cameras" is a table'),
        ({"manifest": 1, "cameras": "gone.json"}, "cannot read the cameras gone.json: No such file"),
        ({"manifest": 1, "cameras": {"front": CAMERA}, "scale": 3}, 'unknown entry "scale"'),
        (turned(fx=-3), 'camera "front": fx -3 and fy 20 are not focal lengths'),
        (turned(width=2.5), 'camera "front": width 2.5'),
        (turned(cx=None), 'camera "front": "cx" is missing'),
    ],
)
def test_a_header_that_is_wrong(tmp_path, header, said):
    path = write(tmp_path / "m.jsonl", frames(tmp_path, 1), header)
    assert complaint(path).startswith(f"{path}, line 1: ") and said in complaint(path)


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "is empty"),
        (json.dumps(HEADER), "names no frame"),
        (json.dumps(HEADER) + "\n[1]\n", "line 2: expected a JSON object, not list"),
        (json.dumps(HEADER) + '\n{"image": \n', "line 2: not JSON"),
        (json.dumps(HEADER).replace("19.5", "NaN"), "line 1: not JSON: NaN is not a number"),
        ("\0" * 100_000, "longer than 65,536 bytes"),
    ],
)
def test_a_file_that_is_none(tmp_path, text, said):
    (tmp_path / "m.jsonl").write_text(text)
    assert said in complaint(tmp_path / "m.jsonl")


def test_a_mark_of_utf_8_is_taken_at_the_beginning_alone(tmp_path):
    path, mark = write(tmp_path / "m.jsonl", frames(tmp_path, 1)), b"\xef\xbb\xbf"  # as Windows' editors save it
    header, line = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(mark + header + line)
    assert len(Manifest(path).frames("all")) == 1
    path.write_bytes(header + mark + line)
    assert "line 2: not JSON" in complaint(path)


def test_a_file_in_another_encoding(tmp_path):
    path = write(tmp_path / "m.jsonl", frames(tmp_path, 1))
    path.write_text(path.read_text(), encoding="utf-16")
    assert "line 1: not UTF-8 text; save the file as UTF-8" in complaint(path)


def test_a_sequence_has_one_camera(tmp_path):
    lines = frames(tmp_path, 3)
    lines[2]["camera"] = "rear"
    path = write(tmp_path / "m.jsonl", lines, {"manifest": 1, "cameras": {"front": CAMERA, "rear": CAMERA}})
    assert 'line 4: camera "rear" in sequence "street", which line 2 begins with "front"' in complaint(path)


def test_schema_knows_what_the_reader_reads(tmp_path):
    lines = frames(tmp_path, 3)
    lines[0] |= {"split": "val", "speed": 3, "time": 0.5, "mask": "street/001_depth.png"}
    lines[1] |= {"depth": {"path": "x.npz", "key": "a"}}
    lines[2] |= {"other_camera": {"image": "street/000.png", "other_from_this": POSE}}
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    for line in (HEADER, {"manifest": 1, "cameras": "cameras.json"}, *lines):
        validator.validate(line)

"""The labels of a manifest: values, what masks and lenses take away, what is wrong with them, a training."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

from datasets.check import main as check
from datasets.core.lens import lens_of
from datasets.labelled.dataset import LabelledImages
from datasets.manifest.labels import ManifestLabels
from datasets.manifest.source import Manifest
from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.evaluate import DenseOptions
from depth.options.log import LogOptions
from depth.options.network import NetworkOptions
from depth.options.tasks import TaskOptions
from depth.options.train import TrainOptions
from depth.support.distributed import Process
from depth.types import IGNORE, UserError
from evaluate_dense import evaluate
from tests.manifest_maker import CAMERA, CLASSES, HEADER, HEIGHT, LABELLED_HEADER, WIDTH, frames, labelled, write
from train import train

SCHEMA = json.loads((Path(__file__).parents[2] / "datasets/manifest/schema.json").read_text())
KINDS = ("semantics", "instances", "depth", "normals")
PROCESS = Process(0, 1, torch.device("cpu"))


def source(tmp_path, lines, header=LABELLED_HEADER):
    return ManifestLabels(Manifest(write(tmp_path / "m.jsonl", lines, header)))


def test_labels_are_read(tmp_path):
    lines = frames(tmp_path, 3, "main street")
    labels = source(tmp_path, labelled(tmp_path, lines[:2]) + lines[2:])
    assert labels.classes.names == ("road", "car") and labels.classes.things == (False, True)
    assert labels.kinds == KINDS and labels.label_ids == (7, 26) and labels.classes.colours[1] == (0, 0, 142)
    names, note = labels.select("train", KINDS)
    assert names == ["main street 0 l", "main street 1 l"] and "2 of 3 frames" in note
    sample = LabelledImages(labels, names, KINDS, 64, 96)[1]
    assert sample.image.shape == (3, 64, 96)
    found, half = sample.labels, WIDTH // 2
    assert (found.semantics[0] == IGNORE).all()
    assert (found.semantics[1:, :half] == 0).all() and (found.semantics[1:, half:] == 1).all()
    assert (found.instances[: HEIGHT // 2] == 0).all() and (found.instances[:, :half] == 0).all()  # crowd, road
    assert (found.instances[HEIGHT // 2 :, half:] == 26_001).all()
    assert found.normals[5, 5] == pytest.approx([0.004, -1, 0.004], abs=1e-3)
    assert found.depth[5, 0] == 10 and found.depth[5, -1] == 0
    with pytest.raises(UserError, match="no frame of the test part has labels of normals"):
        source(tmp_path, lines).select("test", ("normals",))


def test_instances_count_on_things_alone(tmp_path):
    """Without "from" the road's 7 is a number as any other: that a road is no thing takes it away."""
    lines = labelled(tmp_path, frames(tmp_path, 1))
    lines[0]["labels"] = {"semantics": "classes.png", "instances": "things.png"}
    found = source(tmp_path, lines).read("street 0 l", "instances")
    assert np.unique(found[:, : WIDTH // 2]).tolist() == [0] and set(np.unique(found)) == {0, 26, 26_001}


def test_a_mask_takes_labels_away(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:] = 1
    Image.fromarray(mask).save(tmp_path / "bonnet.png")
    lines = [line | {"mask": "bonnet.png"} for line in labelled(tmp_path, frames(tmp_path, 1))]
    found = source(tmp_path, lines).labels("street 0 l", KINDS)
    assert (found.semantics[20:] == IGNORE).all() and not found.normals[20:].any() and not found.depth[20:].any()
    assert not found.instances[20:].any() and (found.semantics[1:20] != IGNORE).all() and found.normals[19].all()


def test_a_lens_straightens_labels_with_the_image(tmp_path):
    """A class goes where its pixels go, and nothing lies between two ids."""
    distortion = [-0.2, 0.05, 0.0, 0.0]
    header = LABELLED_HEADER | {"cameras": {"front": CAMERA | {"distortion": distortion, "alpha": 1.0}}}
    lines = labelled(tmp_path, frames(tmp_path, 1))
    ids = np.where(np.arange(WIDTH) < 9, 7, 26).astype(np.uint8) * np.ones((HEIGHT, 1), np.uint8)
    Image.fromarray(ids).save(tmp_path / "classes.png")
    Image.fromarray(np.repeat(ids[..., None] // 26 * 255, 3, 2)).save(tmp_path / "street/000.png")
    labels = source(tmp_path, lines, header)
    found, seen = labels.read("street 0 l", "semantics"), labels.source.counted(labels.source.frames("all")[0])
    assert set(np.unique(found)) == {0, 1, IGNORE} and ((found == IGNORE) == ~seen).all()
    image = labels.image("street 0 l")[0].numpy()
    sure = seen & ((image < 60) | (image > 195))  # not where the straight picture mixes the two
    assert sure.sum() > 0.8 * seen.sum() and ((found == 1) == (image > 127))[sure].all()


def test_ids_of_a_straight_picture_are_the_nearest_pixels():
    """Where the picture's columns, straightened, read 2.7, stands what column 3 has."""
    matrix = np.array([[20, 0, 19.5], [0, 20, 11.5], [0, 0, 1.0]])
    lens = lens_of("pinhole", (0.1, 0.0, 0.0, 0.0), matrix, (WIDTH, HEIGHT), 1.0)
    ids = np.arange(1, WIDTH * HEIGHT + 1, dtype=np.int32).reshape(HEIGHT, WIDTH)
    rows, columns = np.indices((HEIGHT, WIDTH)).astype(np.float32)
    straight, seen = lens.straighten_ids(ids), lens.seen()
    for bent, found in ((columns, (straight - 1) % WIDTH), (rows, (straight - 1) // WIDTH)):
        assert (np.abs(found - lens.straighten_pixels(bent))[seen] < 0.54).all()  # cv2 rounds to 1/32 pixel
    assert seen.sum() > 500 and straight.dtype == np.int32


# What is changed in line 3, what is said of it, and whether a schema can know.
LINES = [
    ({"semantics": "gone.png"}, "gone.png does not exist", False),
    ({"semantics": "street/001.png"}, "ids are a grey or palette PNG", False),
    ({"semantics": "small.png"}, "small.png has 3x2 pixels, its camera 40x24", False),
    ({"semantics": "odd.png"}, 'odd.png holds the id 99, which is neither in "classes" nor in "void"', False),
    ({"semantics": "beyond.png"}, 'beyond.png holds the id 26001, which is neither in "classes" nor in "void"', False),
    ({"semantic": "classes.png"}, 'labels: unknown entry "semantic"; did you mean "semantics"?', True),
    ({"depth": "x.npy"}, 'labels: depth stands beside "labels"', True),
    ({"panoptic": "x.png"}, 'labels: unknown entry "panoptic"; known are instances, normals, semantics', True),
    ({"semantics": 3}, '"labels: semantics" is text, not 3', True),
    ({"instances": {"path": "things.png", "from": 0}}, '"from" is the least id that counts, not 0', True),
    ({"instances": {"path": "things.png", "to": 9}}, 'labels: instances: unknown entry "to"', True),
    ({"instances": "small.png"}, "small.png has 3x2 pixels, its camera 40x24", False),
    ({"normals": "normals.exr"}, "normals are a .png or a .npy", True),
    ({"normals": "street/000_depth.png"}, "not an RGB PNG", False),
    ({"normals": "flat.npy"}, "a map of normals is (height, width, 3) floats", False),
]


@pytest.mark.parametrize("labels, said, formal", LINES, ids=[said for _, said, _ in LINES])
def test_labels_that_are_wrong(tmp_path, labels, said, formal):
    lines = labelled(tmp_path, frames(tmp_path, 3))
    for name, array in {"small": np.full((2, 3), 7, np.uint8), "odd": np.full((HEIGHT, WIDTH), 99, np.uint8)}.items():
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    Image.fromarray(np.full((HEIGHT, WIDTH), 26_001, np.uint16)).save(tmp_path / "beyond.png")
    np.save(tmp_path / "flat.npy", np.ones((HEIGHT, WIDTH)))
    lines[1] = lines[1] | {"labels": labels}
    with pytest.raises(UserError) as raised:
        found = source(tmp_path, lines)
        for kind in KINDS:
            for name in found.select("train", (kind,))[0]:
                found.read(name, kind)
    text = str(raised.value)
    assert text.startswith(f"{tmp_path / 'm.jsonl'}, line 3: ") and said in text and "\n" not in text
    assert text.count("line 3") == 1
    assert formal != jsonschema.Draft202012Validator(SCHEMA).is_valid(lines[1])


def test_depth_as_a_label_has_the_images_size(tmp_path):
    lines = frames(tmp_path, 1)
    np.save(tmp_path / "half.npy", np.ones((HEIGHT // 2, WIDTH // 2)))
    lines[0]["depth"] = "half.npy"
    with pytest.raises(UserError, match="line 2: half.npy has 20x12 pixels, its camera 40x24"):
        source(tmp_path, lines).read("street 0 l", "depth")


HEADERS = [
    ({"classes": []}, '"classes" is a table of classes by name, 1 to 255', True),
    ({"classes": {"road": -1}}, 'class "road": its id is a whole number from 0 to 65535, not -1', True),
    ({"classes": {"road": True}}, "its id is a whole number from 0 to 65535, not true", True),
    ({"classes": {"road": {"id": 1, "thign": True}}}, 'unknown entry "thign"; did you mean "thing"?', True),
    ({"classes": {"road": {"id": 1, "thing": 1}}}, '"thing" is true or false', True),
    ({"classes": {"road": {"id": 1, "colour": [0, 0, 256]}}}, '"colour" is three whole numbers', True),
    ({"classes": {"road": 1, "car": 1}}, 'two of "classes" and "void" have the id 1', False),
    ({"classes": CLASSES, "void": [7]}, 'two of "classes" and "void" have the id 7', False),
    ({"classes": CLASSES, "void": 0}, '"void" is a list', True),
    ({"void": [0]}, '"void" without "classes"', True),
]


@pytest.mark.parametrize("entries, said, formal", HEADERS, ids=[said for _, said, _ in HEADERS])
def test_classes_that_are_wrong(tmp_path, entries, said, formal):
    with pytest.raises(UserError, match="line 1: ") as raised:
        source(tmp_path, frames(tmp_path, 1), HEADER | entries)
    assert said in str(raised.value)
    assert formal != jsonschema.Draft202012Validator(SCHEMA).is_valid(HEADER | entries)


def test_classes_are_needed_and_known_to_the_schema(tmp_path):
    lines = labelled(tmp_path, frames(tmp_path, 1))
    with pytest.raises(UserError, match='line 2: labels: semantics need "classes" in the first line'):
        source(tmp_path, lines, HEADER)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for line in (LABELLED_HEADER, *lines):
        validator.validate(line)
    assert source(tmp_path, lines, HEADER | {"classes": CLASSES | {"bush": 255}}).label_ids == (7, 26, 255)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write(folder / "street.jsonl", labelled(folder, frames(folder, 14)), LABELLED_HEADER)


def config(manifest, folder):
    return Config(
        tasks=TaskOptions(tasks=("depth", "semantics", "normals", "panoptic"), depth_from="both"),
        data=DataOptions(
            data_path=str(manifest), dataset="frames", height=64, width=96, num_workers=0, poses="from_file"
        ),
        network=NetworkOptions(encoder_weights="scratch"),
        train=TrainOptions(batch_size=2, max_steps=1, device="cpu"),
        log=LogOptions(log_dir=str(folder), model_name="tiny", log_frequency=1),
    )


def test_all_tasks_train_on_video_with_its_poses_and_labels(manifest, tmp_path, capsys):
    assert train(config(manifest, tmp_path), PROCESS)
    said = capsys.readouterr().out
    state = torch.load(tmp_path / "tiny" / "checkpoints" / "last.pt", weights_only=True)
    assert not any("pose" in name for name in state["objective"])
    assert "of these, 9 have their neighbours" in said and "evaluate_dense.py" in said and "--dataset frames" in said
    options = DenseOptions(
        load_weights_folder=str(tmp_path / "tiny"), data_path=str(manifest), num_workers=0, device="cpu",
        eval_split="test", save_predictions=True,
    )  # fmt: skip
    report = evaluate(options)
    assert set(report.results) == {"depth", "semantics", "normals", "panoptic"} and report.images_in_split == 3
    stored = np.asarray(Image.open(next((tmp_path / "tiny" / "dense_test" / "semantics").glob("*.png"))))
    assert set(np.unique(stored)) <= {7, 26}  # the set's own ids
    with pytest.raises(UserError, match="needs --data_path: a manifest"):
        evaluate(DenseOptions(load_weights_folder=str(tmp_path / "tiny"), device="cpu"))


def test_doctor_looks_at_labels(tmp_path, capsys):
    lines = labelled(tmp_path, frames(tmp_path, 2)[:1])
    path = write(tmp_path / "m.jsonl", lines, LABELLED_HEADER)
    assert check([str(path)]) == 0  # single pictures with labels can be trained on
    assert "1 with semantics, 1 with instances, 1 with normals" in capsys.readouterr().out
    Image.fromarray(np.full((HEIGHT, WIDTH), 9, np.uint8)).save(tmp_path / "classes.png")
    assert check([str(path)]) == 2
    assert "line 2: " in (said := capsys.readouterr().out) and "holds the id 9" in said

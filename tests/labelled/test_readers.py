"""Readers of labelled sets on miniatures of their layouts, and the one line that is said of bad files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.labelled import LABELLED, open_labelled, recognise
from datasets.labelled.dataset import LabelledImages, load_labelled
from depth.types import IGNORE, UserError
from tests import labelled_layouts as mini
from tests.labelled_layouts import halves, picture, save

WRITERS = {
    "camvid": mini.write_camvid,
    "cityscapes": mini.write_cityscapes,
    "kitti_semantics": mini.write_kitti_semantics,
    "vkitti2": mini.write_virtual_kitti,
    "nyud": mini.write_nyud,
    "ade20k": mini.write_ade20k,
    "coco_panoptic": mini.write_coco_panoptic,
}
SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.mark.parametrize("dataset", WRITERS)
def test_miniature(tmp_path, dataset):
    source = open_labelled(WRITERS[dataset](tmp_path), dataset)
    assert recognise(tmp_path) == dataset
    for part in ("train", "val"):
        names, note = source.select(part, source.kinds)
        assert names and f"{len(names)} of {len(names)}" in note
        image, labels = load_labelled(source, names[0], source.kinds)
        assert image.shape == (3, 12, 16)
        assert set(labels.given()) == set(source.kinds)
        known = labels.semantics[labels.semantics != IGNORE]
        assert known.size and known.max() < len(source.classes.names)
    assert not set(source.images("train")) & set(source.images("val"))
    assert {"/", " "}.isdisjoint(source.prediction_name(names[0]))
    sample = LabelledImages(source, names, source.kinds, 64, 96)[0]
    assert sample.image.shape == (3, 64, 96) and sample.labels.semantics.shape == (12, 16)


def first(dataset: str, root: Path):
    source = open_labelled(WRITERS[dataset](root), dataset)
    name = source.images("train")[0]
    return source, name, source.labels(name, source.kinds)


def test_camvid_values(tmp_path):
    _, _, labels = first("camvid", tmp_path)
    assert (labels.semantics == halves(8, IGNORE)).all()


def test_cityscapes_values(tmp_path):
    """Label id 7 is road, 26 car (train ids 0 and 13); disparity (2561 - 1) / 256 = 10 px: 0.2 * 2200 / 10 = 44 m."""
    source, _, labels = first("cityscapes", tmp_path)
    assert (labels.semantics == halves(0, 13)).all()
    assert [source.classes.names[k] for k in (0, 13)] == ["road", "car"]
    assert (labels.instances[2:] == halves(0, 26001, np.uint16)[2:]).all()
    assert labels.instances[0, 15] == 0 and labels.instances[5, 0] == 0
    assert labels.depth[0, 15] == pytest.approx(44) and labels.depth[0, 0] == 0
    assert sum(source.classes.things) == 8


def test_predictions_are_called_as_tools_look_for_them(tmp_path):
    source, name, _ = first("cityscapes", tmp_path / "a")
    assert source.prediction_name(name) == "aachen_000000_000019"
    source, name, _ = first("vkitti2", tmp_path / "b")
    assert source.prediction_name(name) == "Scene01_clone_00000"


def test_kitti_semantics_values(tmp_path):
    source, _, labels = first("kitti_semantics", tmp_path)
    assert (labels.semantics == halves(0, 13)).all()
    assert labels.instances[0, 0] == 0 and labels.instances[0, 15] > 0
    assert source.images("val") == ["000000_10", "000005_10"]


def test_virtual_kitti_values(tmp_path):
    source, name, labels = first("vkitti2", tmp_path)
    names = source.classes.names
    assert [names[labels.semantics[0, c]] for c in (0, 9)] == ["sky", "car"]
    assert labels.semantics[0, 13] == IGNORE
    assert labels.depth[0, 15] == pytest.approx(12.5) and labels.depth[0, 0] == 0
    assert (labels.instances == halves(0, 3)).all()
    assert source.images("val")[0].startswith("scene02/clone/")
    path = source.label_path(name, "semantics")
    save(path, np.full((12, 16, 3), 7, np.uint8))
    with pytest.raises(UserError, match="colour 7,7,7, which no class"):
        source.read(name, "semantics")


@pytest.mark.parametrize("release", ["npy", "png"])
def test_nyud_values(tmp_path, release):
    source = open_labelled(mini.write_nyud(tmp_path, release), "nyud")
    labels = source.labels("1", source.kinds)
    assert (labels.semantics == halves(IGNORE, 39)).all()
    assert (labels.depth == halves(0, 2)).all()
    assert labels.normals[0, 15] == pytest.approx([0, 0, -1], abs=0.01)
    assert not labels.normals[0, 0].any()
    assert source.images("test") == source.images("val") == ["3"]


BAD_IDS = {
    "camvid": ("semantics", halves(8, 12), "holds the id 12; CamVid's ids go up to 11"),
    "cityscapes": ("semantics", halves(7, 34), "holds the id 34; Cityscapes' label ids go up to 33"),
    "kitti_semantics": ("semantics", halves(7, 99), "holds the id 99"),
    "nyud": ("semantics", halves(1, 41), "holds the id 41; NYUD's labels go up to 40"),
    "ade20k": ("semantics", halves(1, 151), "holds the id 151; ADE20K's ids go up to 150"),
}


@pytest.mark.parametrize("dataset", BAD_IDS)
def test_ids_out_of_range(tmp_path, dataset):
    source, name, _ = first(dataset, tmp_path)
    kind, ids, message = BAD_IDS[dataset]
    save(source.label_path(name, kind), ids)
    with pytest.raises(UserError, match=message):
        source.read(name, kind)


@pytest.mark.parametrize("dataset", ["cityscapes", "kitti_semantics"])
def test_instances_of_unknown_classes(tmp_path, dataset):
    source, name, _ = first(dataset, tmp_path)
    save(source.label_path(name, "instances"), halves(7, 65000, np.uint16))
    with pytest.raises(UserError, match="Cityscapes does not have"):
        source.read(name, "instances")


@pytest.mark.parametrize("dataset", WRITERS)
def test_damaged_files_are_named(tmp_path, dataset):
    source, name, _ = first(dataset, tmp_path)
    for kind in source.kinds:
        path = source.label_path(name, kind)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match=path.name) as error:
            source.read(name, kind)
        assert "\n" not in str(error.value)
        path.write_bytes(whole)


@pytest.mark.parametrize("dataset", WRITERS)
def test_a_label_of_another_size(tmp_path, dataset):
    source, name, _ = first(dataset, tmp_path)
    path = source.image_path(name)
    Image.fromarray(picture()).resize((20, 12)).save(path)
    with pytest.raises(UserError, match="has 16x12 pixels, its image 20x12"):
        load_labelled(source, name, source.kinds[:1])


def test_labels_of_different_sizes(tmp_path):
    source, name, _ = first("nyud", tmp_path)
    save(source.label_path(name, "depth"), np.ones((5, 6), np.float32))
    with pytest.raises(UserError, match="different sizes .semantics 16x12, depth 6x5"):
        source.labels(name, ("semantics", "depth"))
    save(source.label_path(name, "depth"), np.ones((5, 6, 2), np.float32))
    with pytest.raises(UserError, match=r"\(height, width\) real numbers, this is float32 \(5, 6, 2\)"):
        source.read(name, "depth")


def camera(baseline: str, fx: str) -> str:
    return f'{{"extrinsic": {{"baseline": {baseline}}}, "intrinsic": {{"fx": {fx}}}}}'


@pytest.mark.parametrize(
    "text",
    ["{}", "no json", "[1]", camera('"x"', "1"), camera("-0.2", "-2200"), camera("0.2", "NaN"), camera("0.2", "0")],
)
def test_cityscapes_camera_without_numbers(tmp_path, text):
    source, name, _ = first("cityscapes", tmp_path)
    (tmp_path / "camera" / f"{name}_camera.json").write_text(text)
    with pytest.raises(UserError, match="does not hold extrinsic.baseline and intrinsic.fx"):
        source.read(name, "depth")


def test_missing_labels(tmp_path):
    source = open_labelled(mini.write_camvid(tmp_path), "camvid")
    source.label_path("train/0001", "semantics").unlink()
    with pytest.raises(UserError, match="1 of 3 images have no label, e.g. .*0001.png; --skip_missing"):
        source.select("train", ("semantics",))
    names, note = source.select("train", ("semantics",), skip_missing=True)
    assert names == ["train/0000", "train/0002"] and "2 of 3" in note
    counts, missing = source.report()
    assert counts == ["train 3 of 367", "val 2 of 101", "test 1 of 233"]
    assert any("1 without semantics" in line for line in missing)
    with pytest.raises(UserError, match="CamVid has no depth labels; it has semantics"):
        source.select("train", ("depth",))


@pytest.mark.parametrize("dataset", LABELLED)
def test_another_folder_is_refused(tmp_path, dataset):
    with pytest.raises(UserError, match="is not laid out as"):
        open_labelled(tmp_path, dataset)
    assert recognise(tmp_path) is None


def test_names_that_lead_out_are_refused(tmp_path):
    source = open_labelled(mini.write_nyud(tmp_path), "nyud")
    (tmp_path / "gt_sets" / "train.txt").write_text("../../etc/passwd\n")
    with pytest.raises(UserError, match="lead out"):
        source.images("train")


@pytest.mark.skipif(not (SHARED / "camvid").is_dir(), reason="no CamVid beside the repository")
def test_real_camvid():
    source = open_labelled(SHARED / "camvid", "camvid")
    counts, missing = source.report()
    assert counts == ["train 367 of 367", "val 101 of 101", "test 233 of 233"] and not missing
    _, labels = load_labelled(source, source.images("test")[0], ("semantics",))
    assert set(np.unique(labels.semantics)) <= {*range(11), IGNORE}

"""Readers of sets whose classes stand in a file of the set, and the one line that is said where that is none."""

import json
from pathlib import Path

import numpy as np
import pytest

from datasets.labelled import open_labelled
from depth.types import IGNORE, UserError
from tests import labelled_layouts as mini
from tests.labelled_layouts import halves, save


def first(root: Path, dataset: str):
    source = open_labelled(root, dataset)
    name = source.images("train")[0]
    return source, name, source.labels(name, source.kinds)


def test_ade20k_values(tmp_path):
    source, _, labels = first(mini.write_ade20k(tmp_path), "ade20k")
    assert (labels.semantics == halves(IGNORE, 149)).all()
    assert source.classes.names[149] == "name 150" and source.label_ids[149] == 150
    assert source.images("test") == [] and len(set(source.classes.colours)) == 150


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the classes' names .*objectInfo150.txt"),
        ("Idx\tName\n1\twall\n", "not a table of 150 classes"),
        ("\n".join(["Idx\tName", *[f"{k}\t" for k in range(1, 151)]]), "not a table of 150 classes"),
    ],
)
def test_ade20k_without_names(tmp_path, text, message):
    path = mini.write_ade20k(tmp_path) / "objectInfo150.txt"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=message):
        open_labelled(tmp_path, "ade20k")


def test_coco_values(tmp_path):
    """66051 is (3, 2, 1), 3 + 256 * 2 + 65536; category 1 is the first class, 200 the second."""
    source, name, labels = first(mini.write_coco_panoptic(tmp_path), "coco_panoptic")
    expected = halves(1, 0)
    expected[:, 0] = IGNORE
    assert (labels.semantics == expected).all()
    assert (labels.instances[2:] == halves(0, 66051, np.int32)[2:]).all() and not labels.instances[:2].any()
    assert source.classes.things == (True, False) and source.label_ids == (1, 200)
    save(source.label_path(name, "semantics"), np.full((12, 16, 3), 5, np.uint8))
    with pytest.raises(UserError, match="holds the segment 328965, which .*panoptic_train2017.json does not list"):
        source.read(name, "semantics")


def _without(name: str):
    return lambda content: [content["annotations"][0].pop(name)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content.pop("annotations"), "it lacks 'annotations'"),
        (_without("segments_info"), "it lacks 'segments_info'"),
        (lambda content: content["annotations"][0].update(segments_info=7), "not iterable"),
        (lambda content: content["annotations"][0].update(file_name=7), "panoptic segments"),
        (lambda content: content["annotations"][0]["segments_info"][0].update(id=1 << 40), "panoptic segments"),
        (lambda content: content["annotations"][0]["segments_info"][0].update(id="x"), "panoptic segments"),
        (lambda content: content["annotations"][0]["segments_info"][0].update(category_id=9), "it lacks 9"),
        (lambda content: content["categories"][0].update(color=[1, 2]), "panoptic segments"),
        (lambda content: content["categories"][0].update(id=256), "0 to 255"),
        (lambda content: content["categories"][0].update(id=200), "two categories have one id"),
        (lambda content: content["categories"][0].update(color=[0, 0, 256]), "colours are 0 to 255"),
        (lambda content: content.update(categories=[]), "panoptic segments"),
    ],
)
def test_coco_lists_that_are_none(tmp_path, spoil, message):
    path = mini.write_coco_panoptic(tmp_path) / "annotations" / "panoptic_val2017.json"
    content = json.loads(path.read_text())
    spoil(content)
    for text, words in ((json.dumps(content), message), ("[1]", "panoptic segments"), ("{", "panoptic segments")):
        path.write_text(text)
        with pytest.raises(UserError, match=words) as error:
            open_labelled(tmp_path, "coco_panoptic")
        assert "panoptic_val2017.json" in str(error.value) and "\n" not in str(error.value)

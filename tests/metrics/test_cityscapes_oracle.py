"""Cityscapes' own tools, where they are installed, find our files and give our figures."""

import json

import numpy as np
import pytest

from datasets.labelled import open_labelled
from depth.evaluation.submissions import PredictionFolder
from depth.metrics.panoptic import INSTANCES, VOID
from depth.tasks import build_tasks
from tests.labelled_layouts import picture, save

panoptic_tool = pytest.importorskip("cityscapesscripts.evaluation.evalPanopticSemanticLabeling")
semantic_tool = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
converter = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")

STEMS = ("lindau_000000_000019", "lindau_000001_000019")
# gtFine's instance ids: stuff, crowds of person and car, single ones, and what is not evaluated.
IDS = (7, 8, 11, 21, 24, 26, 24000, 24001, 26000, 26001, 26002, 33000, 0, 4, 29)


def blocks(draws: np.random.Generator, values: tuple[int, ...]) -> np.ndarray:
    """(48,96) of blocks of 8 pixels."""
    return np.kron(draws.choice(values, (6, 12)), np.ones((8, 8), int))


def write_set(root):
    """Two images, whose labels are blocks; an image is 96 columns by 48 rows."""
    draws = np.random.default_rng(0)
    for stem in STEMS:
        ids = blocks(draws, IDS)
        save(root / "leftImg8bit" / "val" / "lindau" / f"{stem}_leftImg8bit.png", np.resize(picture(), (48, 96, 3)))
        base = root / "gtFine" / "val" / "lindau"
        save(base / f"{stem}_gtFine_instanceIds.png", ids.astype(np.uint16))
        save(base / f"{stem}_gtFine_labelIds.png", np.where(ids < 1000, ids, ids // 1000).astype(np.uint8))
    return open_labelled(root, "cityscapes")


def wrong(draws: np.random.Generator, truth: np.ndarray) -> np.ndarray:
    """A prediction with all sorts of errors: shifted, things merged, split and invented, void, crowds filled."""
    found = np.roll(truth, (2, -1), (0, 1))
    change = blocks(draws, (0, 0, 0, 1, 2, 3)).astype(int)
    found = np.where(change == 1, 13 * INSTANCES + 7, np.where(change == 2, VOID, found))
    found = np.where(change == 3, 0, found)
    things = found // INSTANCES >= 11
    crowd = things & (found % INSTANCES == 0) & (found != VOID)
    return np.where(crowd, found + 900, found)


@pytest.fixture
def judged(tmp_path):
    """Tasks' scores, and the files of the same predictions."""
    source, draws = write_set(tmp_path / "set"), np.random.default_rng(1)
    tasks = build_tasks(["panoptic"], classes=source.classes)
    folder = PredictionFolder(tmp_path / "predictions", source.classes, source.label_ids)
    scores = {name: task.score() for name, task in tasks.items()}
    for name in source.images("val"):
        labels = source.labels(name, ("semantics", "instances"))
        panoptic = wrong(draws, tasks["panoptic"].truth(labels))
        semantics = np.where(panoptic == VOID, 2, panoptic // INSTANCES).astype(np.uint8)
        results = {"panoptic": panoptic, "semantics": semantics}
        folder.add(source.prediction_name(name), results)
        for task in tasks.values():
            scores[task.name].add(task.truth(labels), results[task.name])
    folder.finish()
    return tmp_path, {name: score.results() for name, score in scores.items()}


def test_panoptic_quality(judged):
    root, results = judged
    converter.convert2panoptic(str(root / "set" / "gtFine"), str(root), setNames=["val"])
    wanted = json.loads((root / "cityscapes_panoptic_val.json").read_text())
    found = {
        each["image_id"]: each for each in json.loads((root / "predictions/panoptic.json").read_text())["annotations"]
    }
    pairs = [(each, found[each["image_id"]]) for each in wanted["annotations"]]
    categories = {each["id"]: each for each in wanted["categories"]}
    folders = str(root / "cityscapes_panoptic_val"), str(root / "predictions" / "panoptic")
    theirs = panoptic_tool.average_pq(panoptic_tool.pq_compute_single_core(0, pairs, *folders, categories), categories)
    ours = results["panoptic"]
    for suffix, group in (("", "All"), ("_things", "Things"), ("_stuff", "Stuff")):
        for figure in ("pq", "sq", "rq"):
            assert ours[figure + suffix] == pytest.approx(theirs[group][figure], abs=1e-12)
    assert 0.05 < ours["pq_things"] < 0.95 and 0.05 < ours["pq_stuff"] < 0.95
    for number, each in categories.items():
        name = each["name"].replace(" ", "_")
        assert ours.get(f"pq/{name}", 0) == pytest.approx(theirs["per_class"][number]["pq"], abs=1e-12)


def test_class_iou(judged):
    root, results = judged
    args = semantic_tool.args
    args.predictionPath, args.predictionWalk = str(root / "predictions" / "semantics"), None
    args.evalInstLevelScore = args.JSONOutput = False
    args.quiet = True
    truths = [str(path) for path in sorted((root / "set" / "gtFine").rglob("*_labelIds.png"))]
    found = [semantic_tool.getPrediction(args, path) for path in truths]
    theirs = semantic_tool.evaluateImgLists(found, truths, args)
    ours = results["semantics"]
    assert ours["miou"] == pytest.approx(theirs["averageScoreClasses"], abs=1e-12)
    scores = {name.replace(" ", "_"): value for name, value in theirs["classScores"].items() if value == value}
    for name, value in scores.items():
        assert ours[f"iou/{name}"] == pytest.approx(value, abs=1e-12)
    assert len(scores) == sum(name.startswith("iou/") for name in ours) >= 6

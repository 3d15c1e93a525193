"""Reports of labelled tasks: gain by hand, what is held against what, pairs by image, stored predictions."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from depth.evaluation.compare import compare, read_evaluation
from depth.evaluation.dense_report import DenseReport, multi_task_gain, read_single, summary, write_report
from depth.evaluation.submissions import PredictionFolder, coco_segments
from depth.metrics.panoptic import VOID
from depth.tasks import build_tasks
from depth.types import UserError
from tests.dense_samples import CLASSES

NAMES = ("train/0001_000", "train/0001_030", "train/0006_000")


def report(miou: float = 0.5, angle: float = 20.0, rows: tuple[float, ...] = (0.1, 0.5, 0.3)) -> DenseReport:
    tasks = build_tasks(["semantics", "normals"], classes=CLASSES)
    semantics = {"miou": miou, "pixel_accuracy": 0.9, "boundary_f": math.nan, "iou/sky": 0.7}
    normals = {"median_angle": 10.0, "mean_angle": angle, "within_11.25": 0.6}
    table = [{"semantics/miou": value, "normals/median_angle": 10 * value} for value in rows]
    return DenseReport(
        tasks, {"semantics": semantics, "normals": normals}, NAMES, table, "camvid", "val", "runs/x/best.pt", 4
    )


def test_gain_by_hand():
    """mIoU 0.5 against 0.4 is +25 %, an angle of 20 against 16 is -25 %; 0.6 against 0.4 and 8 against 16 is +50 %."""
    single = {"semantics": {"miou": 0.4}, "normals": {"mean_angle": 16.0}}
    own = report()
    assert multi_task_gain(own.tasks, own.results, single) == pytest.approx(0)
    better = report(0.6, 8.0)
    assert multi_task_gain(better.tasks, better.results, single) == pytest.approx(0.5)


def test_best_median_and_worst():
    assert report().extremes("semantics") == {"best": 1, "median": 2, "worst": 0}
    assert report().extremes("normals") == {"best": 0, "median": 2, "worst": 1}
    unknown = report(rows=(math.nan, math.nan, math.nan))
    assert unknown.extremes("semantics") == {}


def test_files(tmp_path):
    write_report(report(), tmp_path)
    values = json.loads((tmp_path / "metrics.json").read_text())
    assert values["metrics"]["semantics"]["boundary_f"] is None and values["images"] == 3
    text = summary(report())
    assert "val part, 3 of 4 images" in text and "semantics: sky 0.700" in text and "0.5000" in text
    assert (tmp_path / "per_image.csv").read_text().splitlines()[1] == "camvid,val,0,train/0001_000,0.1,1"


def single(*tasks):
    """A report of a run that was trained for these tasks."""
    return replace(report(), details={"trained": {"config": {"tasks": {"tasks": tasks}}}})


def test_single_task_runs_are_read_and_checked(tmp_path):
    for name in ("semantics", "normals"):
        write_report(single(name), tmp_path / name / "dense_val")
    runs, same = [tmp_path / "semantics", tmp_path / "normals"], (("semantics", "normals"), "camvid", "val", 3)
    # Each report has both figures, as a run for panoptic has semantics': what was trained for counts.
    both = read_single(runs, *same)
    assert both["normals"]["mean_angle"] == 20 and both.keys() == {"semantics", "normals"}
    with pytest.raises(UserError, match="semantics in more than one"):
        read_single([*runs, tmp_path / "semantics" / "dense_val"], *same)
    with pytest.raises(UserError, match="none of the runs has normals"):
        read_single(runs[:1], *same)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_single([tmp_path / "gone"], *same)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match="is not what evaluate_dense.py writes"):
        read_single([tmp_path], *same)
    values = json.loads((tmp_path / "normals" / "dense_val" / "metrics.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps(values | {"images": 2}))
    with pytest.raises(UserError, match="not of the same images"):
        read_single([tmp_path], *same)
    write_report(single("semantics", "normals"), tmp_path / "both" / "dense_val")
    with pytest.raises(UserError, match="is of a run of semantics, normals: name runs of one task each"):
        read_single([tmp_path / "both"], *same)


def test_runs_are_paired_by_image(tmp_path):
    """+0.1 on each image that both have; an image without a value is left out; sequences are drawn whole."""
    write_report(report(rows=(0.1, 0.5, math.nan)), tmp_path / "a" / "dense_val")
    write_report(report(rows=(0.2, 0.6, 0.9)), tmp_path / "b" / "dense_val")
    text = compare(*([read_evaluation(tmp_path / name)] for name in "ab"))
    row = next(line for line in text.splitlines() if line.startswith("| semantics/miou"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:5] == ["0.3000", "0.4000", "+0.1000", "[+0.1000, +0.1000]"] and cells[5] == "yes"
    assert "drives with all their images (2)" in text


def test_coco_segments_by_hand():
    ids = np.array([[0, 2001, 2001], [VOID, 2002, 2001]])
    numbers, segments = coco_segments(ids, np.array([7, 8, 26]))
    assert numbers.tolist() == [[1, 2, 2], [0, 3, 2]]
    assert [(s["id"], s["category_id"], s["area"]) for s in segments] == [(1, 7, 1), (2, 26, 3), (3, 26, 1)]
    assert segments[1]["bbox"] == [1, 0, 2, 2]


def test_stored_predictions_are_read_back(tmp_path):
    folder = PredictionFolder(tmp_path, CLASSES, (7, 8, 26))
    ids = np.array([[0, 2001, 2001], [VOID, 2002, 2001]])
    folder.add("x_1", {"semantics": np.array([[0, 2, 2], [1, 2, 2]], np.uint8), "panoptic": ids})
    folder.add("000000000139", {"panoptic": ids})
    folder.finish()
    stored = cv2.imread(str(tmp_path / "semantics" / "x_1.png"), cv2.IMREAD_UNCHANGED)
    assert stored.tolist() == [[7, 26, 26], [8, 26, 26]]
    colours = cv2.imread(str(tmp_path / "panoptic" / "x_1.png"))[..., ::-1].astype(int)
    assert (colours @ [1, 256, 65536]).tolist() == [[1, 2, 2], [0, 3, 2]]
    content = json.loads((tmp_path / "panoptic.json").read_text())
    assert [each["image_id"] for each in content["annotations"]] == ["x_1", 139]  # COCO's ids are numbers
    assert content["annotations"][0]["file_name"] == "x_1.png"
    assert content["categories"][2] == {"id": 26, "name": "car", "isthing": 1}

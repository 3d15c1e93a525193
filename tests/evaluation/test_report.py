import csv
import json

import cv2
import numpy as np
import pytest
import torch

from depth.evaluation.compare import read_evaluation
from depth.evaluation.metrics import METRICS, Scaling, evaluate_split
from depth.evaluation.protocols import PROTOCOLS, prepare_sample
from depth.evaluation.report import Report, metrics_table, protocol_line, summary, table, title, write_report
from depth.evaluation.sheets import choose_frames, frame_sheet
from depth.types import DepthPixels, EvalSample, UserError

SYNTHETIC = PROTOCOLS["synthetic"]


def _samples():
    """Three images of a plane at 10 m, whose left half an image-independent prediction misses more and more."""
    samples = []
    for i in range(3):
        depth = np.full((20, 40), 10, np.float32)
        depth[:, :20] *= 1 + i
        depth[:5] = 0
        image = torch.tensor([10, 20, 60 * (i + 1)], dtype=torch.uint8)[:, None, None].expand(3, 8, 16)
        samples.append(prepare_sample(EvalSample(image, DepthPixels.of(depth), f"drive {i} l"), SYNTHETIC))
    return samples


def _predict(batch, first):
    return np.full((len(batch), 8, 16), 0.1, np.float32)


def _report(**changes):
    result = evaluate_split(_predict, [_samples()], SYNTHETIC, changes.pop("scaling", Scaling()))
    return Report(
        **(
            {"result": result, "dataset": "synthetic", "split": "synthetic", "model": "runs/a/best.pt"}
            | {"images_in_split": 3}
            | changes
        )
    )


def test_protocol_line():
    assert protocol_line(_report()) == (
        "split synthetic, 3 images, exact dense ground truth, no crop, cap 80 m, median scaling"
    )
    line = protocol_line(_report(scaling=Scaling(median=False, factor=5.4)))
    assert line.endswith("cap 80 m, no median scaling, depths times 5.4")


def test_protocol_line_names_what_is_not_usual():
    line = protocol_line(_report(post_processed=True, images_in_split=697, trained_on="kitti"))
    assert line == (
        "split synthetic, 3 of 697 images, exact dense ground truth, no crop, cap 80 m, median scaling, "
        "post-processed, trained on KITTI"
    )
    assert "trained" not in protocol_line(_report(trained_on="synthetic"))
    assert protocol_line(_report(dataset="kitti", trained_on="synthetic")).endswith("trained on the embedded world")


def test_table_by_hand():
    assert table([("name", "a", "error"), ("x", "10", "0.5")]).splitlines() == [
        "| name |  a | error |",
        "|------|---:|------:|",
        "| x    | 10 |   0.5 |",
    ]


def test_table_lines_up_and_holds_the_means():
    report = _report()
    report = _report(baselines={"constant prior": report.result})
    lines = metrics_table(report).splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines) == 4
    assert len({tuple(i for i, c in enumerate(line) if c == "|") for line in lines}) == 1
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert cells == ["model", *(f"{report.result.means[name]:.3f}" for name in METRICS)]
    assert lines[3].split("|")[1].strip() == "constant prior"


def test_make3d_has_the_figures_of_its_field(tmp_path):
    """Everything twice as far: Abs Rel 1, log10 0.301. The files have the other metrics, too."""
    truth = np.full((20, 40), 5.0)
    sample = prepare_sample(EvalSample(torch.zeros(3, 8, 16), DepthPixels.of(truth), "a 0 l"), PROTOCOLS["make3d"])
    result = evaluate_split(
        lambda batch, first: np.full((1, 8, 16), 0.1, np.float32), [[sample]], PROTOCOLS["make3d"], Scaling(False)
    )
    report = _report(result=result)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in metrics_table(report).splitlines()]
    assert lines[0][1:] == ["Abs Rel", "Sq Rel", "RMSE", "log10"] and lines[2][1:] == [
        "1.000",
        "5.000",
        "5.000",
        "0.301",
    ]
    write_report(report, tmp_path)
    (row,) = csv.DictReader((tmp_path / "per_image.csv").open())
    assert float(row["log10"]) == pytest.approx(np.log10(2), rel=1e-5) and float(row["d3"]) == 0
    assert read_evaluation(tmp_path).metrics == (*METRICS, "log10")


def test_summary_names_ratios_and_what_was_left_out():
    text = summary(_report())
    assert "Scale ratios: median" in text and "Left out" not in text
    assert "Scale ratios (not applied): median" in summary(_report(scaling=Scaling(median=False)))
    empty = prepare_sample(EvalSample(torch.zeros(3, 8, 16), DepthPixels.of(np.zeros((20, 40))), "void 7 l"), SYNTHETIC)
    result = evaluate_split(_predict, [[*_samples(), empty]], SYNTHETIC)
    assert "Left out, no valid ground-truth pixel: 1 images, e.g. void 7 l" in summary(_report(result=result))


def test_files(tmp_path):
    report = _report(details={"seed": 3, "versions": {"torch": "2"}}, images_in_split=5)
    folder = tmp_path / "run" / "evaluation"
    paths = write_report(report, folder)
    assert sorted(folder.iterdir()) == sorted(paths)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["metrics"] == report.result.means and metrics["images"] == 3 and metrics["seed"] == 3
    assert metrics["images_in_split"] == 5
    assert (metrics["dataset"], metrics["split"], metrics["model"]) == ("synthetic", "synthetic", "runs/a/best.pt")
    assert metrics["scaling"]["ratio_median"] == report.result.ratio_median
    rows = list(csv.DictReader((folder / "per_image.csv").open()))
    assert [row["name"] for row in rows] == ["drive 0 l", "drive 1 l", "drive 2 l"]
    for row, result in zip(rows, report.result.rows, strict=True):
        assert [float(row[name]) for name in METRICS] == pytest.approx(list(result.errors), rel=1e-5)
        assert int(row["pixels"]) == 15 * 40


def test_synthetic_numbers_cannot_pass_for_kittis(tmp_path):
    report = _report(split="eigen")
    write_report(report, tmp_path)
    assert "NOT KITTI" in summary(report).splitlines()[0]
    assert all("synthetic" in line for line in (tmp_path / "per_image.csv").read_text().splitlines()[1:])
    assert json.loads((tmp_path / "metrics.json").read_text())["dataset"] == "synthetic"
    assert "NOT KITTI" in (tmp_path / "metrics.md").read_text()
    assert metrics_table(report).splitlines()[0].split("|")[1].strip() == "synthetic"
    assert title("kitti") == "Dataset kitti"


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        write_report(_report(), tmp_path / "file" / "folder")


def test_sheet_shows_best_median_and_worst():
    samples = _samples()
    result = evaluate_split(_predict, [samples], SYNTHETIC)
    frames = choose_frames(result, _predict, samples.__getitem__)
    assert [(frame.rank, frame.row.name) for frame in frames] == [
        ("best", "drive 0 l"), ("median", "drive 1 l"), ("worst", "drive 2 l")
    ]  # fmt: skip
    sheet = frame_sheet(frames, result, "SYNTHETIC")
    assert sheet.dtype == np.uint8 and sheet.shape == (2 * 24 + 3 * (24 + 240), 4 * 480, 3)
    for i in range(3):  # below each caption: the input in BGR, then no truth above and truth below
        top = 2 * 24 + i * (24 + 240) + 24
        assert sheet[top + 120, 240].tolist() == [60 * (i + 1), 20, 10]
        assert (sheet[top + 20, 2 * 480 + 240] == 40).all() and (sheet[top + 20, 3 * 480 + 240] == 40).all()
        assert (sheet[top + 200, 2 * 480 + 240] != 40).any()
    error = sheet[2 * 24 + 24 + 200, 3 * 480 + 100]
    no_error = cv2.applyColorMap(np.ones((1, 1), np.uint8), cv2.COLORMAP_TURBO)[0, 0]
    np.testing.assert_array_equal(error, no_error)
    assert (sheet[-40, 3 * 480 + 100] != no_error).any()


def test_points_of_a_scan_become_dots():
    depth = np.zeros((240, 480), np.float32)
    depth[100, 200] = 5
    sample = prepare_sample(
        EvalSample(torch.zeros(3, 8, 16, dtype=torch.uint8), DepthPixels.of(depth), "drive 0 l"), SYNTHETIC
    )
    result = evaluate_split(_predict, [[sample]], SYNTHETIC)
    truth = frame_sheet(choose_frames(result, _predict, [sample].__getitem__), result, "")[72 : 72 + 240, 960:1440]
    dot = (truth != 40).any(-1)
    assert dot.sum() == 9 and dot[99:102, 199:202].all()

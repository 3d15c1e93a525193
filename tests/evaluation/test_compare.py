"""Paired comparison of evaluations: a table worked by hand, and what cannot be paired."""

import csv
import re

import numpy as np
import pytest

from depth.evaluation.analysis import paired_difference
from depth.evaluation.compare import CompareOptions, compare, drive_of, read_evaluation
from depth.evaluation.metrics import METRICS
from depth.types import UserError


def _write(folder, abs_rel, names=("a 1 l", "a 2 l", "b 1 l"), split="eigen"):
    """An evaluation whose other metrics are ten times Abs Rel."""
    folder.mkdir(parents=True)
    with (folder / "per_image.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "split", "index", "name", *METRICS, "scale_ratio", "pixels"])
        for index, (name, value) in enumerate(zip(names, abs_rel, strict=True)):
            writer.writerow(["kitti", split, index, name, value, *[10 * value] * 6, 1, 9])
    return folder


def _cells(text, row):
    line = next(line for line in text.splitlines() if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


def test_two_pairs_by_hand(tmp_path):
    """Differences of the pairs: -0.01 on each image of the first; -0.02, -0.02, +0.02 of the second."""
    baseline = [_write(tmp_path / "p0", (0.1, 0.2, 0.3)), _write(tmp_path / "p1", (0.2, 0.3, 0.4))]
    other = [_write(tmp_path / "d0", (0.09, 0.19, 0.29)), _write(tmp_path / "d1", (0.18, 0.28, 0.42))]
    text = compare(*([read_evaluation(place) for place in side] for side in (baseline, other)))
    assert "split eigen, 3 images; 2 pairs" in text and "draws drives with all their images (2), and takes S" in text
    assert _cells(text, "baseline")[:2] == ["0.2500 ± 0.0707", "2.5000 ± 0.7071"]
    assert _cells(text, "difference")[:2] == ["-0.0083 ± 0.0024", "-0.0833 ± 0.0236"]
    # Mean over pairs by image: -0.015, -0.015, 0.005. Drawn are a (twice -0.015) and b (0.005), from a to b alone: arms
    # of 0.00667 and 0.01333. The pairs' means, -0.01 and -0.00667, give t(1) = 12.706 times their standard error of
    # 0.001667, 0.02118. Together: sqrt(0.00667^2 + 0.02118^2) = 0.0222 and sqrt(0.01333^2 + 0.02118^2) = 0.0250.
    low, high = map(float, re.findall(r"[-+][\d.]+", _cells(text, "95 % interval")[0]))
    assert (low, high) == (-0.0305, 0.0167)
    assert _cells(text, "0 outside")[0] == "no"


def test_a_difference_that_holds_everywhere(tmp_path):
    places = (
        _write(tmp_path / "run" / "evaluation_eigen", (0.1, 0.2, 0.3)).parent,
        _write(tmp_path / "d", (0.09, 0.19, 0.29)),
    )
    text = compare(*([read_evaluation(place)] for place in places))
    assert _cells(text, "95 % interval")[0] == "[-0.0100, -0.0100]" and _cells(text, "0 outside")[0] == "yes"
    assert "1 pair," in text and "±" not in _cells(text, "difference")[0]


def test_one_drive_is_no_drive(tmp_path):
    places = [_write(tmp_path / name, (value, 0.2), ("a 1 l", "a 2 l")) for name, value in (("p", 0.1), ("d", 0.2))]
    assert "for there is one drive: too narrow" in compare(*([read_evaluation(place)] for place in places))


def test_an_interval_of_one_drive_has_a_width():
    known = np.random.default_rng(0).normal(0, 1, (1, 200))
    alone, images = paired_difference(known, ["a"] * 200), paired_difference(known, None)
    assert (alone.low, alone.high) == (images.low, images.high) and alone.low < alone.mean < alone.high


def test_weathers_of_one_street_are_one_drive():
    assert {drive_of(f"Scene02/{weather}/0000{i}") for weather in ("fog", "rain") for i in (1, 2)} == {"Scene02"}
    assert drive_of("Scene18/clone/00001") != drive_of("Scene20/clone/00001")


def test_evaluations_of_other_images_are_refused(tmp_path):
    first = read_evaluation(_write(tmp_path / "p", (0.1, 0.2, 0.3)))
    for name, kept in {"names": {"names": ("a 1 l", "a 2 l", "b 2 l")}, "split": {"split": "mine"}}.items():
        with pytest.raises(UserError, match="are not of the same images"):
            compare([first], [read_evaluation(_write(tmp_path / name, (0.1, 0.2, 0.3), **kept))])


def test_what_is_no_evaluation_is_one_line(tmp_path):
    with pytest.raises(UserError, match="holds no evaluation: evaluate_depth.py, or evaluate_dense.py"):
        read_evaluation(tmp_path)
    for split in ("eigen", "mine"):
        _write(tmp_path / f"evaluation_{split}", (0.1, 0.2, 0.3))
    with pytest.raises(UserError, match="holds 2 evaluations, name one: .*evaluation_eigen, .*evaluation_mine"):
        read_evaluation(tmp_path)
    for content in ("", "a,b\n1,2\n", "dataset,split,name,abs_rel\nkitti,eigen,a,x\n"):
        (tmp_path / "bad.csv").write_text(content)
        with pytest.raises(UserError, match="is not what evaluate_depth.py or evaluate_dense.py writes"):
            read_evaluation(tmp_path / "bad.csv")
    with pytest.raises(UserError, match="--baseline names 1 evaluations and --other 2"):
        CompareOptions(("a",), ("b", "c"))

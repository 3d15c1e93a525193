"""The ablation: its grids, its tables worked by hand, and one grid in the smallest size."""

import importlib.util
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import ablation
from benchmarks.cells import cell as one_cell
from benchmarks.cells.depth_measure import DepthMeasure
from benchmarks.cells.grids import GRIDS, Cell
from benchmarks.cells.table import difference, headlines, markdown, seed_means
from datasets.world.making import WorldSpec, ensure_world
from depth.options.config import Config, resolved
from depth.runs.checkpoint import load_checkpoint
from depth.training.trainer import Trainer
from depth.types import UserError


def test_grids_are_sound():
    """Labels are unique, every cell's baseline is there, and equal names mean equal options."""
    named = {}
    for cells in GRIDS.values():
        labels = [cell.label for cell in cells]
        assert len(set(labels)) == len(labels)
        for cell in cells:
            assert cell.against is None or cell.against in labels
            assert named.setdefault(cell.name, cell.config(Config())) == cell.config(Config())
            assert Path(cell.name).name == cell.name
    assert set(GRIDS) == {"edits", "bands", "crm", "weights", "extensions", "controls", "base", "encoders"}


def results_of(values, seeds=None):
    """One result a seed from rows of abs_rel; the other metrics are missing."""
    names = ["one 0 l", "one 1 l", "two 0 l", "two 1 l"]
    rest = {m: [math.nan] * 4 for m in DepthMeasure.columns}
    return [
        {"seed": seed, "per_image": rest | {"name": names, "abs_rel": row}, "gradients": {"photometric": g}}
        for seed, row, g in zip(seeds or range(len(values)), values, [{"norm": 2.0, "cosine": 1.0}] * 9, strict=False)
    ]


def test_differences_are_paired_by_image_and_seed():
    baseline = results_of([[0.1, 0.9, 0.2, 0.4], [0.2, 0.8, 0.3, 0.3]])
    # 0.05 better on every image, with images that differ far more: paired, nothing is left to chance.
    better = results_of([[v - 0.05 for v in r["per_image"]["abs_rel"]] for r in baseline])
    found = difference(better, baseline, "abs_rel")
    assert [found[key] for key in ("mean", "low", "high")] == pytest.approx([-0.05] * 3)
    assert found["spread"] == pytest.approx(0) and found["agree"]
    # Worse on the first drive by as much as better on the second: drives are what is drawn.
    other = results_of(
        [[v + d for v, d in zip(r["per_image"]["abs_rel"], (1, 1, -1, -1), strict=True)] for r in baseline]
    )
    found = difference(other, baseline, "abs_rel")
    assert [found[key] for key in ("mean", "low", "high")] == pytest.approx([0, -1, 1])
    # Seeds that contradict each other do not agree.
    mixed = results_of([[0.0] * 4, [0.9] * 4])
    assert not difference(mixed, baseline, "abs_rel")["agree"]
    # Seed 1 alone is common.
    found = difference(results_of([[0.0] * 4], seeds=[1]), baseline, "abs_rel")
    assert found["mean"] == pytest.approx(-0.4) and math.isnan(found["spread"])
    assert difference(results_of([[0.0] * 4], seeds=[7]), baseline, "abs_rel") is None
    assert difference(better, baseline, "texture_energy") is None
    assert seed_means(baseline, "abs_rel") == pytest.approx([0.4, 0.4])
    assert math.isnan(seed_means(baseline, "rmse")[0])


def test_markdown():
    cells = [Cell("baseline", {}, None), Cell("new", {}), Cell("not yet", {})]
    results = {"baseline": results_of([[0.5] * 4, [0.7] * 4]), "new": results_of([[0.4] * 4, [0.6] * 4]), "not yet": []}
    text = markdown("T", "note", DepthMeasure.columns, cells, results, results_of([[0.9] * 4])[0])
    assert "| constant prior |  | 0.9000 |" in text
    assert "| baseline | 2 | 0.6000 ± 0.1414 |" in text and "| not yet | 0 |" in text
    assert "| new | **-0.1000 [-0.1000, -0.1000] ± 0.0000** | – |" in text
    assert "| new | 2 (+1.00) |" in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--grid edits --share 2/2", "--share 2/2"),
        ("--grid edits --leave_out TS", "--leave_out TS"),
        ("--grid edits --seeds 0", "--seeds"),
        ("--grid edits --dejavu", "the grid's to choose"),
        ("--grid edits --heigth 64", "--heigth"),
    ],
)
def test_a_bad_flag_is_one_line(line, words):
    with pytest.raises(UserError, match=words):
        ablation.parse_plan(line.split())


def test_the_command_of_the_results_makes_what_they_say():
    """It names the branch's flags for all cells, those without the branch among them."""
    page = (Path(__file__).parents[2] / "docs" / "RESULTS.md").read_text().replace("\\\n", " ")
    flags = next(line for line in page.splitlines() if "benchmarks/ablation.py --grid GRID" in line).split()[2:]
    plan, common = ablation.parse_plan(["edits" if flag == "GRID" else flag for flag in flags])
    common = replace(common, data=replace(common.data, dataset="synthetic"))
    plain, branch = (resolved(cell.config(common)) for cell in plan.cells if cell.label in ("baseline", "bandstop"))
    assert not plain.dejavu.dejavu and plain.network.depth_encoder == "resnet18"
    made = branch.dejavu
    assert (made.crm, made.dejavu_weight, made.dejavu_lpips, made.lpips_net) == ("auto", 0.1, 0.1, "squeeze")
    assert plain.network.encoder_weights == "scratch" and (plain.data.height, plain.data.width) == (64, 224)


def test_figures_of_the_whole_set_head_the_table_and_differences_are_by_image():
    results = {
        "baseline": [{"seed": 0, "whole": {"miou": 0.5}, "per_image": {"name": ["a_1", "b_1"], "miou": [0.25, 0.75]}}],
        "new": [{"seed": 0, "whole": {"miou": 0.75}, "per_image": {"name": ["a_1", "b_1"], "miou": [0.5, 0.875]}}],
    }
    results = {name: [each | {"gradients": {}} for each in found] for name, found in results.items()}
    assert headlines(results["new"], "miou") == [0.75] and seed_means(results["new"], "miou") == [0.6875]
    cells, prior = [Cell("baseline", {}, None), Cell("new", {})], {"whole": {"miou": 0.125}}
    text = markdown("T", "note", {"miou": "semantics miou"}, cells, results, prior)
    assert "| constant prior |  | 0.1250 |" in text and "| new | 1 | 0.7500 |" in text
    assert "| new | **+0.1875 [+0.1250, +0.2500]** |" in text and "Gradient" not in text


def test_an_output_that_is_no_folder_is_refused_before_a_world_is_rendered(tmp_path, monkeypatch):
    monkeypatch.setattr(DepthMeasure, "place", lambda *_: pytest.fail("rendered"))
    (tmp_path / "results.md").write_text("")
    with pytest.raises(UserError, match=r"results\.md cannot be made"):
        ablation.main(["--grid", "base", "--out", str(tmp_path / "results.md")])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    spec = WorldSpec(
        height=64, width=192, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=4, labels=True
    )  # fmt: skip
    return ensure_world(tmp_path_factory.mktemp("world"), spec)


@pytest.fixture
def small_grid(monkeypatch):
    monkeypatch.setitem(GRIDS, "controls", GRIDS["controls"][:2])


def test_a_grid_of_tasks_is_measured_by_their_figures(world, small_grid, tmp_path, monkeypatch, capsys):
    line = (
        f"--grid controls --seeds 1 --steps 1 --out {tmp_path} --data_path {world} --dataset synthetic --num_workers 0"
    )
    line = f"{line} --device cpu --height 64 --width 96 --batch_size 2 --encoder_weights scratch".split()
    ablation.main([*line, "--tasks", "semantics", "normals"])
    record = json.loads((tmp_path / "controls_test.json").read_text())
    cells, prior = record["cells"], record["constant_prior"]
    assert set(cells) == {"baseline", "DejaVu"}
    assert "semantics/miou" in prior and "normals/median_angle" in prior and 0 < prior["semantics/miou"][0] < 1
    written = json.loads((tmp_path / "cells" / "plain-seed0" / "dense_test" / "metrics.json").read_text())
    assert cells["baseline"]["means"]["semantics/miou"] == [written["metrics"]["semantics"]["miou"]]
    (result,) = (json.loads(path.read_text()) for path in tmp_path.glob("cells/plain-seed0/result_test.json"))
    assert result["steps"] == 1 and len(result["per_image"]["semantics/miou"]) == len(result["per_image"]["name"]) == 4
    assert (tmp_path / "controls_test.png").is_file() == (importlib.util.find_spec("matplotlib") is not None)

    monkeypatch.setattr(one_cell, "train", lambda *_: pytest.fail("trained again"))
    ablation.main([*line, "--tasks", "semantics", "normals"])
    with pytest.raises(UserError, match="--depth_from labels"):
        ablation.main([*line, "--tasks", "semantics", "depth"])


def test_a_grid_is_run_kept_and_resumed(world, small_grid, tmp_path, monkeypatch, capsys):
    line = f"--grid controls --seeds 1 --steps 3 --out {tmp_path} --data_path {world} --num_workers 0 --device cpu"
    line = f"{line} --height 64 --width 96 --batch_size 2 --val_samples 2".split()
    ablation.main(line)
    text = (tmp_path / "controls_test.md").read_text()
    assert "| baseline | 1 |" in text and "| DejaVu | 1 |" in text and "regeneration_mse" in text
    record = json.loads((tmp_path / "controls_test.json").read_text())
    assert record["versions"]["machine"] and record["cells"]["DejaVu"]["differences"]["abs_rel"]["mean"] != 0
    gradients = record["cells"]["DejaVu"]["gradients"][0]
    assert gradients["photometric"]["cosine"] == pytest.approx(1) and gradients["regeneration_mse"]["norm"] > 0
    parameters = [cell["inference_parameters"] for cell in record["cells"].values()]
    assert parameters[0] == parameters[1]
    (result,) = (json.loads(path.read_text()) for path in tmp_path.glob("cells/plain-seed0/result_test.json"))
    assert result["steps"] == 3 and len(result["per_image"]["name"]) == 4
    assert all(len(values) == 4 for values in result["per_image"].values())
    assert all(0 <= v for v in result["per_image"]["texture_energy"] if not math.isnan(v))

    # Nothing is trained again, neither for the same part nor for another; a result that was lost is measured again.
    monkeypatch.setattr(one_cell, "train", lambda *_: pytest.fail("trained again"))
    (tmp_path / "cells" / "plain-seed0" / "result_test.json").unlink()
    ablation.main(line)
    ablation.main([*line, "--part", "val"])
    assert json.loads((tmp_path / "controls_test.json").read_text())["cells"] == record["cells"]
    assert (tmp_path / "controls_val.md").is_file()
    with pytest.raises(UserError, match="other settings"):
        ablation.main([*line, "--learning_rate", "0.5"])


def test_an_interrupted_run_goes_on(world, tmp_path, monkeypatch):
    """A signal after the first step, then the rest: the same weights as all at once."""
    line = f"--grid controls --seeds 1 --steps 2 --out {tmp_path} --data_path {world} --num_workers 0 --device cpu"
    plan, config = ablation.parse_plan(f"{line} --height 64 --width 96 --batch_size 2 --val_samples 2".split())
    measure = DepthMeasure()
    config = ablation.common_config(config, plan, measure.place(config, tmp_path), measure)
    process = ablation.Process(0, 1, torch.device("cpu"))
    assert one_cell.train_cell(config, tmp_path / "at_once", process) > 0
    step, steps = Trainer.step, []

    def interrupted(self, batch):
        steps.append(self.progress.step)
        if len(steps) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", interrupted)
    assert one_cell.train_cell(config, tmp_path / "in_two", process) is None
    assert math.isnan(one_cell.train_cell(config, tmp_path / "in_two", process))
    assert steps == [0, 1]
    path, count = one_cell.last_checkpoint(tmp_path / "in_two" / "run")
    whole, _ = one_cell.last_checkpoint(tmp_path / "at_once" / "run")
    ours, theirs = load_checkpoint(path)["objective"], load_checkpoint(whole)["objective"]
    assert count == 2 and all(torch.equal(ours[name], theirs[name]) for name in theirs)

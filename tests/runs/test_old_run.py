"""A run that the version before the rooms has written loads, predicts, evaluates and goes on as it did there."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.runs.old_run import fill, outline, rebuild, results

ROOT = Path(__file__).resolve().parents[2]
RECORD = json.loads((Path(__file__).parent / "run_of_first_layout.json").read_text())
THEN = RECORD["results"]


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    rebuild(RECORD["outlines"], folder)
    return results(ROOT, folder)


def test_outline_and_fill_are_inverse():
    assert outline(fill(RECORD["outlines"]["best"])) == RECORD["outlines"]["best"]
    state = {"a": torch.zeros(2, 3), "b": (1, None), "c": {0: torch.tensor(2)}, "d": list(range(150)), "e": [7] * 624}
    found = outline(state)
    assert found["a"] == "<2x3>" and found["c"] == {"#": [[0, "int64<>"]]} and found["e"] == {"integers": 624}
    again = fill(json.loads(json.dumps(found)))
    assert again["a"].shape == (2, 3) and again["a"].any() and (again["b"], again["d"]) == (state["b"], state["d"])


def test_it_predicts_the_same_depths(now):
    np.testing.assert_allclose(now["depth"], THEN["depth"], rtol=1e-3)


def test_it_has_the_same_errors(now):
    assert now["errors"].keys() == THEN["errors"].keys()
    for name, value in THEN["errors"].items():
        assert now["errors"][name] == pytest.approx(value, rel=2e-3, abs=5e-3 if name.startswith("d") else 0), name


def test_it_goes_on_for_a_step(now):
    assert [now["progress"][name] for name in ("step", "epoch", "step_in_epoch")] == [3, 1, 1]
    assert now["moved"] == pytest.approx(THEN["moved"], rel=1e-2)

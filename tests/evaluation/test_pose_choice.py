"""evaluate_pose.py takes a run's last checkpoint, or its best."""

import json

import numpy as np

from depth.options.evaluate import PoseOptions
from evaluate_pose import evaluate
from tests.evaluation.test_evaluate_pose import world, write_run  # noqa: F401
from tests.tiny_run import add_best


def test_the_best_checkpoint_where_asked(world, tmp_path):  # noqa: F811
    run = write_run(tmp_path / "run")
    add_best(run)
    options = {"data_path": str(world), "load_weights_folder": str(run), "num_workers": 0, "device": "cpu"}
    last, best = (evaluate(PoseOptions(**options, checkpoint_choice=choice)) for choice in ("last", "best"))
    assert not np.allclose(last[0].predicted, best[0].predicted)
    record = json.loads((run / "poses_synthetic_best" / "metrics.json").read_text())
    assert record["checkpoint"]["which"] == "best" and (run / "poses_synthetic" / "metrics.json").is_file()
    assert "last.pt, last checkpoint" in (run / "poses_synthetic" / "metrics.md").read_text()

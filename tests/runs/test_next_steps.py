"""What a finished training says to type next: commands that find the same data."""

from pathlib import Path

import pytest

from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.tasks import TaskOptions
from depth.runs.resuming import next_steps


@pytest.mark.parametrize(
    ("dataset", "path", "tasks", "said"),
    [
        ("kitti", None, ("depth",), ["evaluate_depth.py --load_weights_folder runs/a"]),
        ("kitti", "my data", ("depth",), ["evaluate_depth.py --load_weights_folder runs/a --data_path 'my data'"]),
        ("camvid", "camvid", ("semantics",), ["evaluate_dense.py --load_weights_folder runs/a --data_path camvid"]),
        (
            "frames",
            "m.jsonl",
            ("semantics",),
            ["evaluate_dense.py --load_weights_folder runs/a --dataset frames --data_path m.jsonl"],
        ),
        (
            "synthetic",
            None,
            ("depth", "semantics"),
            ["evaluate_dense.py --load_weights_folder runs/a", "evaluate_depth.py --load_weights_folder runs/a"],
        ),
    ],
)
def test_what_evaluates_a_run(dataset, path, tasks, said):
    config = Config(tasks=TaskOptions(tasks=tasks), data=DataOptions(dataset=dataset, data_path=path))
    lines = next_steps(config, Path("runs/a"), 1, None).splitlines()
    assert lines == ["done: runs/a", *(f"evaluate: python {each}" for each in said)]

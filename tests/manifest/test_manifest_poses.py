"""evaluate_pose.py on a manifest: its poses are the truth, gaps cut, and names are fit for files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import evaluate_pose
from datasets.core.sequences import sequences_of
from datasets.kitti.poses import read_poses
from datasets.manifest.source import Manifest
from depth.options.evaluate import PoseOptions
from depth.trained import load_trained
from depth.types import UserError
from evaluate_pose import evaluate
from tests.manifest_maker import frames, write
from tests.tiny_run import save_run


class _Ahead(nn.Module):
    """One unit forward a frame."""

    def forward(self, pair):
        return torch.tensor([0, 0, 0, 0, 0, -1.0]).expand(len(pair), 6)


def test_the_lines_poses_are_the_truth(tmp_path, monkeypatch, capsys):
    """Half a metre a frame is true, one unit is predicted; the clip without poses has its trajectory alone."""
    monkeypatch.setattr(evaluate_pose, "load_trained", lambda *a: replace(load_trained(*a), load_pose=_Ahead))
    lines = frames(tmp_path, 6, "a/street")
    for line in frames(tmp_path, 3, "b"):
        lines.append({name: value for name, value in line.items() if name != "pose"})
    path = write(tmp_path / "m.jsonl", lines)
    options = PoseOptions(
        dataset="frames", data_path=str(path), eval_split="all", num_workers=0, device="cpu",
        load_weights_folder=str(save_run(tmp_path / "run")),
    )  # fmt: skip
    known, alone = evaluate(options)
    assert known.errors.scale["scale"] == pytest.approx(0.5) and known.errors.ate["scale"] < 1e-6
    assert known.errors.ate["none"] == pytest.approx(0.5 * np.sqrt(np.mean(np.arange(6) ** 2)))
    assert alone.errors is None
    folder = tmp_path / "run" / "poses_m_all"
    assert np.allclose(read_poses(folder / "a_street.txt")[:, 2, 3], range(6)) and (folder / "b.txt").is_file()
    record = json.loads((folder / "metrics.json").read_text())
    assert list(record["sequences"]) == ["a_street"] and record["without_truth"] == ["b"]
    assert "split m_all" in capsys.readouterr().out


def test_gaps_cut_and_a_lonely_frame_is_passed_over(tmp_path):
    lines = [line for line in frames(tmp_path, 9) if line["order"] not in (3, 5)]
    source = Manifest(write(tmp_path / "m.jsonl", lines))
    found = sequences_of(source, source.frames("all"))
    assert [(s.name, [ref.frame for ref in s.refs]) for s in found] == [
        ("street", [0, 1, 2]),
        ("street_from_6", [6, 7, 8]),
    ]
    assert np.allclose(found[1].truth[:, 2, 3], [0, 0.5, 1])  # from its own first frame
    with pytest.raises(UserError, match="poses need two frames in a row"):
        sequences_of(source, source.frames("all")[3:4])


def test_parts_are_checked():
    with pytest.raises(UserError, match="one of train, val, test, all"):
        PoseOptions(dataset="frames", data_path="x.jsonl", eval_split="odom_9")
    with pytest.raises(UserError, match="needs --data_path: a manifest"):
        PoseOptions(dataset="frames")

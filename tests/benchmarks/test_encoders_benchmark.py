"""The encoders' costs: a published figure, a hand-worked one, and the command in its smallest size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import ablation
from benchmarks.encoders import EncoderOptions, abs_rel, multiply_adds, table, training_flags
from depth.networks import build_depth_net
from depth.types import DepthOutput, UserError

ROOT = Path(__file__).parents[2]


def test_multiply_adds_of_a_known_network():
    """8 x 3 x 3 x 3 for each of 16 x 12 pixels; and Monodepth2's, 8.0 G in Zhang et al., Lite-Mono, CVPR 2023."""
    conv = nn.Conv2d(3, 8, 3, padding=1)
    assert multiply_adds(conv, torch.rand(1, 3, 16, 12)) == 8 * 27 * 192
    with torch.device("meta"):
        net, image = build_depth_net("resnet", "resnet18"), torch.empty(1, 3, 192, 640)
    assert isinstance(net(image), DepthOutput)
    assert multiply_adds(net, image) / 1e9 == pytest.approx(8.0, abs=0.1)


def test_the_command_writes_its_record(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "encoders.py"), "--device", "cpu", "--threads", "1"]
    command += ["--height", "64", "--width", "96", "--batch_size", "1", "--seconds", "0.1", "--seeds", "0"]
    done = subprocess.run(
        [*command, "--encoders", "resnet18", "--out", str(tmp_path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "encoders.json").read_text())["rows"]
    assert row["encoder_parameters"] == 11_176_512 and row["images_per_second"]["rate"] > 0
    # The weights and their gradients alone: 2 x 14.3 million numbers of four bytes, less what the first pass left.
    assert row["peak_bytes"] > 20e6
    assert (tmp_path / "encoders.md").read_text().splitlines()[-1].startswith("| `resnet18` | 11.2 M | 14.3 M | 0.4 |")


def test_trainings_are_those_asked_for_and_see_the_other_camera():
    asked = EncoderOptions(encoders=("timm/tf_efficientnet_lite0",), seeds=2, steps=5, out="there")
    plan, config = ablation.parse_plan(training_flags(asked))
    assert [cell.label for cell in plan.cells] == ["tf_efficientnet_lite0", "tf_efficientnet_lite0, pretrained"]
    assert (plan.seeds, plan.steps, str(plan.out)) == (2, 5, "there")
    assert config.data.frame_ids == (0,) and config.data.use_stereo
    assert len(ablation.parse_plan(training_flags(EncoderOptions()))[0].cells) == 9
    with pytest.raises(UserError, match="timm/convnext_atto: trained are"):
        EncoderOptions(encoders=("timm/convnext_atto",))


def test_errors_are_read_from_the_trainings_record(tmp_path):
    cells = {"x": {"means": {"abs_rel": [0.2, 0.3]}}}
    (tmp_path / "r.json").write_text(json.dumps({"cells": cells, "constant_prior": {"abs_rel": [0.5]}}))
    assert abs_rel(tmp_path / "r.json") == {"x": [0.2, 0.3], "constant": [0.5]}


def test_errors_are_joined_by_label():
    row = {"encoder": "timm/x", "encoder_parameters": 1e6, "parameters": 2e6, "multiply_adds": 3e9, "peak_bytes": 4e9}
    row |= {"images_per_second": {"rate": 5.0}}
    options = type("Options", (), {"width": 640, "height": 192})
    errors = {"x": [0.2, 0.3], "x, pretrained": [0.1], "constant": [0.5]}
    *_, line, _, last = table([row], options, errors).splitlines()
    assert last == "The best map that is the same for every image: Abs Rel 0.500."
    assert line == "| `timm/x` | 1.0 M | 2.0 M | 3.0 | 5.0 | 4.00 GB | 0.250 ± 0.071 | 0.100 |"

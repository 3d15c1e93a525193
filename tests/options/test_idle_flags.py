"""Flags that nothing reads are errors: whoever gives one believes that it did something."""

import pytest

from depth.options.config import config_from_dict
from depth.options.dejavu import DejaVuOptions
from depth.options.presets import parse_training
from depth.types import UserError


@pytest.mark.parametrize(
    "line", ["--edit blocks", "--dejavu_weight 1 --crm recursive", "--dejavu_attention --edit none --crm forward"]
)
def test_branch_options_without_the_branch_are_refused(line):
    """Whoever forgets --dejavu in an ablation would publish a baseline as DejaVu."""
    with pytest.raises(UserError, match="without --dejavu has no effect") as caught:
        parse_training("", line.split())
    assert "--dejavu_attention" not in str(caught.value)
    assert parse_training("", ["--dejavu", *line.split()]).dejavu.dejavu


@pytest.mark.parametrize(
    ("line", "idle"),
    [
        ("--dejavu --edit spectral --edit_drop 0.3", "--edit_drop has no effect with --edit spectral"),
        ("--dejavu --edit high --edit_band 0.1 0.2", "--edit_band has no effect with --edit high"),
        ("--dejavu --edit_keep 0.3 --edit_cutoff 0.1", "--edit_cutoff --edit_keep has no effect with --edit spatial"),
        ("--dejavu --text_model RN50", "--text_model without --dejavu_text"),
        ("--tasks semantics --dejavu_tasks semantics", "--dejavu_tasks without --dejavu"),
        ("--dejavu --dejavu_classes probabilities", "--dejavu_classes without semantics"),
        ("--speed_weight 1", "--speed_weight without --pose_scale speed"),
        ("--lr_schedule poly --scheduler_step_size 3", "--scheduler_step_size has no effect with --lr_schedule poly"),
    ],
)
def test_options_that_nothing_reads_beside_the_others_are_refused(line, idle):
    with pytest.raises(UserError, match=f"^{idle}"):
        parse_training("", line.split())


@pytest.mark.parametrize(
    "line",
    [
        "--edit blocks --edit_drop 0.3 --edit_block 8", "--edit pixels --edit_keep 0.3",
        "--edit spectral --edit_band 0.1 0.2",
        "--edit highpass --edit_cutoff 0.1", "--edit none --crm forward --edit_band 0.1 0.2 --dejavu_attention",
        "--text_weights random --dejavu_text 0.1", "--pose_scale speed --speed_weight 1", "--edit_drop 0.3",
    ],
)  # fmt: skip
def test_options_that_are_read_are_taken(line):
    assert parse_training("", ["--dejavu", *line.split()]).dejavu.dejavu


@pytest.mark.parametrize("weights", [{"dejavu_weight": 0.0}, {"dejavu_mse": 0.0, "dejavu_lpips": 0.0}])
def test_a_branch_without_weight_is_refused_but_an_older_runs_record_is_read(weights):
    line = " ".join(f"--{name} {value}" for name, value in weights.items())
    with pytest.raises(UserError, match="--dejavu has no weight above 0"):
        parse_training("", f"--dejavu {line}".split())
    assert parse_training("", f"--dejavu --dejavu_cyclic 0.1 {line}".split()).dejavu.dejavu
    assert config_from_dict({"dejavu": {"dejavu": True, **weights}}).dejavu.dejavu


def test_attention_without_the_branch_takes_what_it_reads():
    line = "--dejavu_attention --edit_band 0.1 0.2 --dejavu_weight 0 --lpips_net vgg --lpips_weights random"
    assert parse_training("", line.split()).dejavu.dejavu_attention


def test_the_module_that_adds_is_refused_where_nothing_is_taken_away():
    """It would be perfect before its first step, and the control a baseline under another name."""
    with pytest.raises(UserError, match="--edit none leaves --crm additive nothing to add"):
        parse_training("", "--dejavu --edit none".split())
    assert DejaVuOptions(dejavu=True, edit="none").edit == "none"  # in an older run's record


@pytest.mark.parametrize(
    "line",
    ["semantics --semantics_weight 0", "normals semantics --normals_weight 0 --balance uncertainty",
     "panoptic --centre_weight 0 --offset_weight 0", "depth semantics --depth_from labels --depth_weight 0"],
)  # fmt: skip
def test_a_task_without_weight_is_refused(line):
    with pytest.raises(UserError, match="with a weight of 0 is not learnt"):
        parse_training("", ["--dataset", "synthetic", "--tasks", *line.split()])
    assert parse_training("", "--dataset synthetic --tasks panoptic --centre_weight 0".split()).tasks.unlearnt == ()

"""A training that explodes, and one that collapses, say so."""

import threading

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from depth.runs.checkpoint import load_checkpoint
from depth.training.alarms import alarms
from depth.training.monitor import Monitor

HEALTHY = {"disparity/spread": 0.05, "pose/translation": 0.005, "share/automasked": 0.5}


def test_an_exploding_run_names_term_parameter_and_frames_and_stops(server, flags, tmp_path):
    arguments = [*flags, "--num_workers", 0, "--learning_rate", 1e30, "--max_bad_steps", 3, "--model_name", "run"]
    job = server.start(arguments, tmp_path / "run.txt")
    assert job.wait() == 2, job.text
    skipped = [line for line in job.text.splitlines() if "is not finite and was skipped" in line]
    assert len(skipped) == 3 and "Traceback" not in job.text
    for line in skipped:
        assert "loss photometric is nan, first bad gradient of depth_net." in line
        assert " in frames 20" in line and "; the batch: " in line
    assert "error: 3 steps in a row were not finite (--max_bad_steps 3)" in job.text.splitlines()[-1]
    kept = load_checkpoint(next((tmp_path / "run" / "bad_steps").glob("*.pt")))
    assert kept["batches"][0]["target"].shape == (2, 3, 64, 96)


@pytest.mark.parametrize(
    ("name", "statistic", "value", "healthy"),
    [
        ("disparity", "disparity/spread", 0.0019, 0.0021),
        ("pose", "pose/translation", 0.9e-4, 1.1e-4),
        ("automask", "share/automasked", 0.0009, 0.0011),
        ("automask", "share/automasked", 0.981, 0.979),
    ],
)
def test_signs_of_a_collapse(name, statistic, value, healthy):
    assert raised(HEALTHY | {statistic: value}) == [name]
    assert raised(HEALTHY | {statistic: healthy}) == []


def raised(values):
    return [name for name, line in alarms(values).items() if line]


def test_without_automask_nothing_is_masked_and_nothing_is_wrong():
    assert raised(HEALTHY | {"share/automasked": 0.0}) == []


BRANCH = {"redacted": 0.01, "regenerated": 0.009, "regenerated_without_c": 0.0095}
BRANCH = {f"dejavu/{k}": v for k, v in (BRANCH | {"texture": 0.19, "texture_growth": 0.5, "gamma_share": 0.2}).items()}


@pytest.mark.parametrize(
    ("name", "figure", "value"),
    [
        ("regeneration", "dejavu/regenerated", 0.0101),
        ("condition", "dejavu/regenerated_without_c", 0.009),
        ("texture", "dejavu/texture", 0.21),
        ("texture", "dejavu/regenerated_without_c", 0.0131),
    ],
)
def test_a_branch_that_harms_is_told_of_once_it_reaches_the_network(name, figure, value):
    assert raised({"score": 1.0} | BRANCH) == []
    assert raised(BRANCH | {"dejavu/regenerated_without_c": 0.0129}) == []
    assert raised(BRANCH | {figure: value}) == [name]
    assert raised(BRANCH | {figure: value, "dejavu/gamma_share": 0.0}) == []


def test_texture_that_shrinks_and_a_frame_without_redaction_are_no_alarm():
    assert raised(BRANCH | {"dejavu/texture": 0.5, "dejavu/texture_growth": 0.0}) == []
    assert raised(BRANCH | {"dejavu/redacted": 0.0}) == []
    assert raised(BRANCH | {"dejavu/regenerated_without_c": 0.02, "dejavu/texture": 0.04}) == []
    # Blocks, four tasks, the default: half of what is left without C, but a tenth of what was dropped.
    blocks = {"redacted": 0.0943, "regenerated": 0.0126, "regenerated_without_c": 0.0223, "texture": 0.0521}
    assert raised(BRANCH | {f"dejavu/{name}": value for name, value in blocks.items()}) == []


def test_a_leak_is_told_of_where_the_module_needs_little_of_c():
    """Blocks at gamma 1, whose depth got worse: C took 9 % of what was dropped, but 58 % of what is left without it."""
    blocks = {"redacted": 0.1147, "regenerated": 0.0076, "regenerated_without_c": 0.0179, "texture": 0.107}
    leak = BRANCH | {f"dejavu/{name}": value for name, value in blocks.items()}
    assert raised(leak) == ["texture"]
    assert raised(leak | {"dejavu/texture": 0.09}) == []
    assert raised(leak | {"dejavu/regenerated_without_c": 0.0092}) == []  # a healthy one


def test_validations_without_a_branch_raise_nothing():
    assert alarms({"photometric": 0.1, "score": 0.1}) == {}


def test_alarms_of_steps_and_of_validations_do_not_end_each_other(tmp_path, capsys):
    monitor = Monitor(tmp_path, "synthetic")
    for step, values in enumerate([HEALTHY, BRANCH, HEALTHY, BRANCH]):
        bad = {"dejavu/regenerated": 0.02} if values is BRANCH else {"disparity/spread": 0.0}
        monitor.watch(values | bad, step)
    monitor.close()
    warnings = capsys.readouterr().err.splitlines()
    assert [line[:16] for line in warnings] == ["warning: step 0:", "warning: step 1:"]


def test_an_alarm_is_told_when_it_begins_and_drawn_while_it_lasts(tmp_path, capsys):
    monitor = Monitor(tmp_path, "synthetic")
    for step, spread in enumerate([0.05, 0.001, 0.001, 0.05, 0.001]):
        monitor.watch(HEALTHY | {"disparity/spread": spread}, step)
    monitor.close()
    warnings = capsys.readouterr().err.splitlines()
    assert [line[:16] for line in warnings] == ["warning: step 1:", "warning: step 4:"]
    assert "disparity is nearly the same everywhere (spread 0.001)" in warnings[0]
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("alarm/disparity")] == [(1, 1.0), (3, 0.0), (4, 1.0)]


def test_a_monitor_passes_other_threads_errors_on_and_gives_the_hook_back(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    hook = threading.excepthook
    monitor = Monitor(tmp_path, "synthetic")
    assert threading.excepthook != hook
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert [arguments.exc_type for arguments in seen] == [ZeroDivisionError]
    monitor.close()
    assert threading.excepthook is hook

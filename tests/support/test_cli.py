"""The door of the scripts: what a Ctrl-C leaves, and who may answer it first."""

import signal

import pytest

from datasets.tools.command import as_command
from depth.options.config import Config
from depth.options.evaluate import EvaluationOptions
from depth.options.predict import ExportOptions, PredictOptions
from depth.support.cli import parse, run
from depth.support.stop_signal import StopSignal
from depth.types import UserError


@pytest.fixture(autouse=True)
def _as_at_a_terminal(monkeypatch):
    """A shell has its background jobs ignore Ctrl-C, tests among them; their allocator stays as it is."""
    monkeypatch.setattr("depth.support.cli.keep_freed_memory", lambda: None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_one_line_and_exit_code_130(capsys):
    def main():
        print("begun")
        signal.raise_signal(signal.SIGINT)
        print("not reached")

    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == 130
    assert capsys.readouterr() == ("begun\n", "interrupted\n")


def test_what_is_not_permitted_is_one_line(capsys):
    """As a folder that may not be entered, met by Path.is_file; a command of datasets says the same."""

    def main():
        raise PermissionError(13, "Permission denied", "locked/world.json")

    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == 2 and as_command()(main)() == 2
    assert capsys.readouterr().err == "error: no permission for locked/world.json\n" * 2


def test_a_main_that_saves_before_it_leaves_answers_ctrl_c_itself(capsys):
    def main():
        with StopSignal() as stop:
            signal.raise_signal(signal.SIGINT)
        print(f"saved after signal {stop.number}")

    run(main)
    assert capsys.readouterr() == ("saved after signal 2\n", "")


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        (PredictOptions, ["x.png", "--checkpoint", ""], "--checkpoint is empty"),
        (PredictOptions, ["x.png", "--checkpoint="], "--checkpoint is empty"),
        (PredictOptions, ["", "--checkpoint", "runs/a"], "an argument is empty"),
        (EvaluationOptions, ["--ext_disp_to_eval", ""], "--ext_disp_to_eval is empty"),
        (Config, ["--num_epochs", "2", "--resume", ""], "--resume is empty"),
        (ExportOptions, [""], "an argument is empty"),
    ],
)
def test_an_empty_value_is_not_a_flag_that_was_not_given(options, arguments, message):
    with pytest.raises(UserError) as caught:
        parse(options, "", arguments)
    assert str(caught.value) == message


def test_a_value_may_hold_equal_signs():
    assert parse(PredictOptions, "", ["x.png", "--scale_from=factor=5.4"]).scale_from == "factor=5.4"

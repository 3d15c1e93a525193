"""The door of the scripts: what a Ctrl-C leaves, and who may answer it first."""

import signal

import pytest

from depth.cli import run
from depth.stop_signal import StopSignal


@pytest.fixture(autouse=True)
def _usual_allocator(monkeypatch):
    """The tests' own process keeps its allocator as it is."""
    monkeypatch.setattr("depth.cli.keep_freed_memory", lambda: None)


def test_ctrl_c_is_one_line_and_exit_code_130(capsys):
    def main():
        print("begun")
        signal.raise_signal(signal.SIGINT)
        print("not reached")

    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == 130
    assert capsys.readouterr() == ("begun\n", "interrupted\n")


def test_a_main_that_saves_before_it_leaves_answers_ctrl_c_itself(capsys):
    def main():
        with StopSignal() as stop:
            signal.raise_signal(signal.SIGINT)
        print(f"saved after signal {stop.number}")

    run(main)
    assert capsys.readouterr() == ("saved after signal 2\n", "")

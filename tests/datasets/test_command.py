import os
import signal
import subprocess
import sys
import time

import pytest

from datasets import check, download, prepare
from datasets.tools.command import as_command
from depth.types import UserError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [(UserError("no such folder"), 2, "error: no such folder\n"), (KeyboardInterrupt(), 130, "stopped; go on\n")],
)
def test_what_ends_a_command_is_one_line_and_an_exit_code(error, code, line, capsys):
    @as_command("stopped; go on")
    def main():
        raise error

    assert main() == code and capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback_and_a_good_end_its_code():
    assert as_command()(lambda value: value)(3) == 3
    with pytest.raises(ZeroDivisionError):
        as_command()(lambda: 1 // 0)()


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (check.main, []),
        (check.main, ["folder", "--epochs", "many"]),
        (download.main, ["--what", "everything"]),
        (download.main, ["--unknown"]),
        (prepare.main, []),
        (prepare.main, ["cache", "--data_path", "folder"]),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(main, arguments, capsys):
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("error: ") and output.err.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_ctrl_c_while_the_world_is_written_is_one_line(tmp_path):
    """A terminal sends it to the whole group, and the processes that write have nothing to say."""
    job = subprocess.Popen(
        [sys.executable, "-m", "datasets.synthetic", "--root", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell has its background jobs ignore Ctrl-C, tests among them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list(tmp_path.glob(".*/new/*/*_sync/image_02/data/*")):
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGINT)
    said = job.communicate(timeout=60)[1]
    assert job.returncode == 130 and said.rstrip().endswith("stopped") and "Traceback" not in said
    assert not list(tmp_path.iterdir())

import pytest

from datasets import check, download, prepare
from datasets.command import as_command
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

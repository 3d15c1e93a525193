import pytest

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

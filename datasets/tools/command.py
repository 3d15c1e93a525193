"""What the commands of this folder share: errors in one line, and exit codes."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, ParamSpec

from depth.support.files import at_home, one_line
from depth.types import UserError

Arguments = ParamSpec("Arguments")


class Parser(argparse.ArgumentParser):
    """An argument parser, and those of its subcommands, whose complaint is a UserError: one line, without the usage.

    Paths may begin with ~, see `at_home`.
    """

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """The arguments, by default the command line's, and those that are not known; parse_args asks it too."""
        given = sys.argv[1:] if args is None else args
        return super().parse_known_args([at_home(argument) for argument in given], namespace)

    def error(self, message: str) -> NoReturn:
        """Called for flags and values that are not known. Raises UserError."""
        raise UserError(f"{message} (--help lists every flag)")


def as_command(stopped: str = "stopped") -> Callable[[Callable[Arguments, int]], Callable[Arguments, int]]:
    """A main whose UserError, or what is not permitted, is one line on stderr and exit code 2.

    After Ctrl-C the line is `stopped`, the code 130. A bug keeps its traceback.
    """

    def decorate(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
        @functools.wraps(main)
        def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except (UserError, PermissionError) as error:
                print(f"error: {one_line(error)}", file=sys.stderr)
                return 2
            except KeyboardInterrupt:
                print(stopped, file=sys.stderr)
                return 130

        return guarded

    return decorate

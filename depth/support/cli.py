"""The door between a command line and the project: flags to dataclasses, errors to one line and an exit code."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

import docstring_parser
import tyro

from depth.support.files import at_home, one_line
from depth.support.host import keep_freed_memory
from depth.types import UserError

Options = TypeVar("Options")


def parse(
    options: type[Options],
    description: str,
    arguments: Sequence[str] | None = None,
    default: Options | None = None,
) -> Options:
    """Flags -> an instance of the dataclass `options`, every field a flag without its group's prefix; see `at_home`.

    Args:
        options: a dataclass with documented fields.
        description: first lines of --help.
        arguments: default sys.argv[1:].
        default: what flags that are not given are; default the dataclass's own defaults.

    Raises:
        UserError: a flag or a value that is not known, or an empty value, in one line.
        SystemExit: after --help.
    """
    given = [at_home(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    _refuse_empty(given)
    _flow_help(options)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                tyro.conf.OmitArgPrefixes[options],
                args=given,
                description=description,
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.FlagCreatePairsOff,),
                use_underscores=True,
            )
    except SystemExit as stop:
        if stop.code:
            raise UserError(_one_line(complaint.getvalue())) from None
        raise


def _refuse_empty(arguments: Sequence[str]) -> None:
    """An unset variable of the shell, --checkpoint "$RUN", must not pass for a flag that was not given."""
    for before, argument in zip(("", *arguments), arguments, strict=False):
        flag, equals, value = argument.partition("=")
        if flag.startswith("--") and equals and not value:
            raise UserError(f"{flag} is empty")
        if not argument:
            raise UserError(f"{before} is empty" if before.startswith("--") else "an argument is empty")


@functools.cache  # it changes the class: once is enough
def _flow_help(options: type[Any]) -> None:
    """Gives each flag its field's documentation as one paragraph: tyro keeps the line breaks of indented ones.

    Flags that are off, and fields whose default depends on the data, need no "(default: False)" or "(default: None)".
    """
    texts = {
        each.arg_name: each.description
        for part in reversed(options.__mro__[:-1])  # a field may be documented by the class that it is inherited from
        for each in docstring_parser.parse_from_object(part).params
    }
    hints = get_type_hints(options, include_extras=True)
    for field in fields(options):
        if is_dataclass(hints[field.name]):
            _flow_help(hints[field.name])
        elif text := texts.get(field.name):
            hint = "" if any(field.default is each for each in (False, None, ())) else None
            text = " ".join(text.split())
            options.__annotations__[field.name] = Annotated[
                hints[field.name], tyro.conf.arg(help=text, help_behavior_hint=hint)
            ]


def _one_line(box: str) -> str:
    """The first section of tyro's framed message, unwrapped."""
    rows = [re.sub(r"^[│╭╰]\s?|\s*[│╮╯]$", "", row) for row in box.splitlines()]
    section = []
    for row in rows[1:]:
        if row.startswith("──"):
            break
        section.append(row.strip())
    message = re.sub(
        r"no type matching \{None\}\|(\w+) could be instantiated from", r"\1 expected, not", " ".join(section)
    )
    message = re.sub(r"\s*Got errors:.*", "", message).replace("'None', ", "")  # a default, not a choice
    return f"{' '.join(message.split())} (--help lists every flag)"


def run(main: Callable[[], None]) -> None:
    """Calls a script's main; a UserError becomes one line on stderr and exit code 2, a bug keeps its traceback.

    So does what the system does not permit: any look into a folder may meet one that may not be entered.

    Ctrl-C becomes a line and exit code 130; a main that saves before it leaves takes the signal itself.
    The process keeps the memory it frees, see `keep_freed_memory`.
    """
    keep_freed_memory()
    try:
        main()
    except (UserError, PermissionError) as error:
        sys.stdout.flush()
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stdout.flush()
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) has left; Python would complain once more while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)

"""What the groups of options share: kinds of fields, checks that make a one-line error, and values from files."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin

import tyro

from depth.types import UserError

Integer = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
Number = Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="")]
Text = Annotated[str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="")]
CheckpointChoice = Literal["last", "best"]


def check(condition: bool, message: str) -> None:
    """Raises UserError with the message where the condition does not hold."""
    if not condition:
        raise UserError(message)


def printable(name: object) -> str:
    """A name from a file, fit for a line."""
    return name[:40] if isinstance(name, str) and name.isprintable() else "(a name that cannot be printed)"


def shown(value: Any) -> str:
    """A value from a file in a few words; a tensor's would be lines, and Python refuses to write a number of 5,000."""
    plain = isinstance(value, str | float | bool) or (isinstance(value, int) and abs(value) < 10**20)
    return repr(value)[:80] if plain else f"a value of type {type(value).__name__}"


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of an option's type; the types are those in this room."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:  # a tensor, which a checkpoint may hold anywhere, cannot be compared
        return isinstance(value, str | int) and value in arguments
    if origin is tuple:
        variable = arguments[-1] is ...
        return (
            isinstance(value, tuple)
            and (variable or len(value) == len(arguments))
            and all(fits(v, arguments[0]) for v in value)
        )
    if arguments:  # X | None
        return any(fits(value, each) for each in arguments)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint

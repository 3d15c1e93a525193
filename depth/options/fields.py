"""What the groups of options share: kinds of fields, and the check that makes a one-line error."""

from __future__ import annotations

from typing import Annotated, Literal

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

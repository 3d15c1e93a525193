"""Parts by name: a table says where each one's constructor is, and a constructor takes what it needs."""

from __future__ import annotations

import difflib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from depth.types import UserError

# Name -> "module:constructor". A table is read without importing what it names, and a new part costs it one line.
Parts = Mapping[str, str]


def constructor_of(parts: Parts, name: str, what: str) -> Callable[..., Any]:
    """The constructor behind a name. Raises UserError for an unknown one, with the names that are like it, or all.

    `what` names the kind of part in the message: "edit".
    """
    if name not in parts:
        near = difflib.get_close_matches(name, parts, n=3)
        choices = f"did you mean {' or '.join(near)}?" if near else f"choose one of: {', '.join(parts)}"
        raise UserError(f"unknown {what} {name!r}; {choices}")
    return pkgutil.resolve_name(parts[name])


def settings_of(parts: Parts, name: str, what: str) -> set[str]:
    """The parameters of a part's constructor, without those that a `functools.partial` keeps. Raises UserError."""
    constructor = constructor_of(parts, name, what)
    return set(inspect.signature(constructor).parameters) - set(getattr(constructor, "keywords", {}))


def build_part(parts: Parts, name: str, what: str, **values: Any) -> Any:
    """Calls a part's constructor with those of the values that it has a parameter for.

    A `functools.partial` keeps what it was given. Raises UserError for an unknown name.
    """
    wanted = settings_of(parts, name, what)
    return constructor_of(parts, name, what)(**{key: value for key, value in values.items() if key in wanted})

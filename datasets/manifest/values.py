"""The values of a manifest's lines: what is read from JSON, and what is said of values that are something else."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection
from typing import Any, NoReturn

import numpy as np

_ROTATION_TOLERANCE = 1e-3


class Malformed(ValueError):
    """What is wrong with a line, without the place: the reader knows that."""


def parse_json(line: bytes) -> dict[str, Any]:
    """The object of a line. Raises Malformed."""
    try:
        values = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise Malformed("not UTF-8 text; save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {str(error)[:80]}") from None
    if not isinstance(values, dict):
        raise Malformed(f"expected a JSON object, not {shown(values)}")
    return values


def as_transform(value: Any, name: str) -> np.ndarray:
    """Four rows of four numbers, a rigid transform, float64 (4,4). Raises Malformed.

    In plain Python: NumPy takes four times as long for so few.
    """
    flat = [n for row in value for n in row] if _is_square(value) else []
    # NumPy would read true and "1" as numbers too; an integer may be too long for a float.
    if len(flat) != 16 or not all(type(n) in (int, float) and -1e9 < n < 1e9 for n in flat):
        raise Malformed(f'"{name}" is four rows of four finite numbers')
    x, y, z = value[0][:3], value[1][:3], value[2][:3]
    lengths = [_dot(row, row) - 1 for row in (x, y, z)]
    products = [_dot(x, y), _dot(x, z), _dot(y, z)]
    normal = [y[1] * z[2] - y[2] * z[1], y[2] * z[0] - y[0] * z[2], y[0] * z[1] - y[1] * z[0]]
    odd = any(not -_ROTATION_TOLERANCE < n < _ROTATION_TOLERANCE for n in (*lengths, *products))
    rigid = not odd and _dot(x, normal) > 0
    if not rigid or value[3] != [0, 0, 0, 1]:
        raise Malformed(f'"{name}" is not a rotation and a shift: [R t; 0 0 0 1]')
    return np.array(value, dtype=np.float64)


def _is_square(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(isinstance(row, list) and len(row) == 4 for row in value)


def _dot(a: list[float], b: list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def as_number(value: Any, name: str) -> float:
    """A finite number. Raises Malformed."""
    # The bound comes first: an integer may be too long for a float.
    if type(value) not in (int, float) or not abs(value) < 1e15 or not math.isfinite(value):
        raise Malformed(f'"{name}" is a number, not {shown(value)}')
    return float(value)


def as_text(value: Any, name: str) -> str:
    """Text that can be shown, not empty. Raises Malformed."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Malformed(f'"{name}" is text, not {shown(value)}')
    return value


def check_keys(values: dict[str, Any], known: Collection[str], where: str = "") -> None:
    """Raises Malformed for an entry that is not known; `where` it stands begins the message."""
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(sorted(known))}"
            raise Malformed(f'{where}unknown entry "{plain(key)}"; {hint}')


def few(names: Collection[str]) -> str:
    """The first names, for a message."""
    listed = [plain(name) for name in list(names)[:3]]
    return ", ".join(listed) + (", ..." if len(names) > 3 else "")


def shown(value: Any) -> str:
    """A value in a few characters, fit for a line."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**20:
        return "a number of more than 20 digits"
    text = json.dumps(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def plain(name: str) -> str:
    """A name from the file, fit for a line."""
    return name[:60] if name.isprintable() else "(not printable)"


def _no_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not a number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)

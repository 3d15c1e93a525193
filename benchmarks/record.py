"""Where a benchmark's numbers go: a JSON record with the machine and the settings, and a Markdown table beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depth.support.files import make_folder, write_file


def write_record(stem: Path, record: Mapping[str, Any], table: str) -> None:
    """Writes stem.json and stem.md. Raises UserError where that cannot be done."""
    make_folder(stem.parent)
    write_file(stem.with_suffix(".json"), as_json(record))
    write_file(stem.with_suffix(".md"), table.encode())


def as_json(value: Any) -> bytes:
    """JSON, with null for what it has no word for: NaN and infinity."""
    return json.dumps(_finite(value), indent=1, allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

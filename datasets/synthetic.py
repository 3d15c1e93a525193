"""The command `python -m datasets.synthetic`: writes the embedded world, or finds it, and prints its folder."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

from datasets.tools.command import Parser, as_command
from datasets.world.making import ensure_world
from datasets.world.spec import WorldSpec


@as_command()
def main() -> int:
    """The command line; returns the exit code."""
    parser = Parser(prog="python -m datasets.synthetic", description="Writes the embedded world.")
    parser.add_argument("--root", type=Path, help="cache folder (default: $DEJAVU_CACHE, else ~/.cache/dejavu-depth)")
    for field in fields(WorldSpec):
        if field.name == "labels":
            parser.add_argument("--labels", action="store_true", help="also write class ids, normals, flat surfaces")
        else:
            parser.add_argument(f"--{field.name}", type=int, default=field.default, help=f"default {field.default}")
    options = vars(parser.parse_args())
    root = options.pop("root")
    print(ensure_world(root, WorldSpec(**options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

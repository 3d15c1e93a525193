"""Dense predictions that are learnt from labels, a file each; TASKS names them.

A task says how many channels its head has, what its losses are, what the regeneration module sees of it, how it is
scored, what constant prediction it is held against, and what it looks like.

May import: depth/types.py, depth/support, depth/geometry.py, depth/metrics.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from depth.support.parts import Parts, build_part, constructor_of
from depth.tasks.base import Task

TASKS: Parts = {
    "depth": "depth.tasks.depth:Depth",
    "semantics": "depth.tasks.semantics:Semantics",
    "normals": "depth.tasks.normals:Normals",
    "panoptic": "depth.tasks.panoptic:Panoptic",
}


def labels_of(names: Iterable[str]) -> tuple[str, ...]:
    """Fields of LabelMaps that these tasks learn from, each once."""
    return tuple(dict.fromkeys(kind for name in names for kind in constructor_of(TASKS, name, "task").labels))


def build_tasks(names: Iterable[str], **settings: Any) -> dict[str, Task]:
    """Tasks by name, in the order of TASKS, with those that they need; each is told what concerns it of the settings.

    Args:
        names: some of TASKS.
        settings: classes (depth.types.Classes, of the data set), min_depth, max_depth (metres), depth_loss, hardest,
            dejavu_classes (see the tasks' own documentation).

    Raises:
        UserError: an unknown name.
    """
    built = {name: build_part(TASKS, name, "task", **settings) for name in names}
    for task in list(built.values()):
        built |= {name: build_part(TASKS, name, "task", **settings) for name in task.needs if name not in built}
    return {name: built[name] for name in TASKS if name in built}

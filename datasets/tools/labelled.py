"""What datasets.check says of a labelled set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from datasets.core.images import image_size
from datasets.core.labelled import LabelledFolder
from datasets.labelled import open_labelled
from datasets.labelled.dataset import load_labelled
from depth.types import UserError

_LOOKED_AT = 20  # images of a part that are read with their labels
_LISTED = 6


def labelled_report(path: Path, dataset: str) -> tuple[list[str], bool]:
    """The lines for the screen, of which the last is the verdict, and whether a training can start.

    Raises UserError where the folder cannot be read.
    """
    source = open_labelled(path, dataset)
    counts, missing = source.report()
    problems, sizes, labelled = _look(source)
    classes = source.classes
    rows = [("data", f"{path}: {dataset}, labelled"), ("frames", ", ".join(counts))]
    rows.append(("size", ", ".join(size for size, _ in sizes.most_common(4)) or "not known"))
    rows.append(("labels", ", ".join(source.kinds)))
    if classes is not None:
        things = sum(classes.things)
        rows.append(
            ("classes", f"{len(classes.names)}, of which {things} are things" if things else f"{len(classes.names)}")
        )
    for name, lines in (("missing", missing), ("problem", problems)):
        more = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
        rows += [(name, line) for line in [*lines[:_LISTED], *more]]
    ready = labelled and not missing and not problems
    incomplete = "incomplete: --skip_missing trains on what is here"
    rows.append(("verdict", "ready" if ready else incomplete if labelled and not problems else "not ready"))
    return [f"{name:9}{text}" for name, text in rows], ready


def _look(source: LabelledFolder) -> tuple[list[str], Counter[str], bool]:
    """What is wrong with some of the images and their labels, the images' sizes, and whether one can be trained on."""
    problems, sizes, labelled = [], Counter(), False
    for part in source.wanted:
        names = source.images(part)
        for name in names[:: max(1, len(names) // _LOOKED_AT)]:
            kinds = [kind for kind in source.kinds if source.label_path(name, kind).is_file()]
            try:
                sizes["x".join(map(str, image_size(source.image_path(name))))] += 1
                load_labelled(source, name, kinds)
            except UserError as error:
                problems.append(str(error))
                continue
            labelled |= part == "train" and bool(kinds)
    return problems, sizes, labelled

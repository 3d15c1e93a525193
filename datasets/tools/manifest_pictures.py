"""A manifest's sequences as clips of pictures, for predict.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets.core.splits import FrameRef
from datasets.footage.media import Frame, Pictures
from datasets.manifest.source import Manifest

_FPS = 10.0


def manifest_pictures(path: Path) -> list[Pictures]:
    """A clip a sequence, in its order, each frame with its camera. Raises UserError for anything wrong in the file."""
    source = Manifest(path)
    return [
        Pictures(_plain(name), str(path), "manifest", partial(_frames, source, name), len(sequence.numbers), _FPS)
        for name, sequence in source.index.sequences.items()
    ]


def _plain(name: str) -> str:
    """A sequence's name as a folder's: manifests come from others, and it may not lead out of the output."""
    return "/".join(part for part in re.split(r"[/\\:]+", name) if part.strip(". ")) or "sequence"


def _frames(source: Manifest, name: str) -> Iterator[Frame]:
    sequence = source.index.sequences[name]
    camera = source.index.header.cameras[sequence.camera]
    for number in sequence.numbers.tolist():
        yield Frame(f"{number:06d}", source.image_path(FrameRef(name, number, "l")), camera=camera)

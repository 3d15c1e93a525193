"""What datasets.check says of a manifest."""

from __future__ import annotations

import numpy as np

from datasets.core.images import image_size, read_image
from datasets.core.splits import FrameRef
from datasets.manifest.index import FACTS
from datasets.manifest.labels import ManifestLabels
from datasets.manifest.source import Manifest
from datasets.tools.facts import Facts, Pair, note_camera
from depth.types import UserError

_LOOKED_AT = 200  # frames whose files are read


def manifest_facts(source: Manifest, use_stereo: bool = False) -> Facts:
    """The facts about a manifest; some of its frames are read with all that their lines name."""
    sequences = source.index.sequences
    facts = Facts("manifest", {name: len(sequence.numbers) for name, sequence in sequences.items()})
    offsets = (-1, 1, 0) if use_stereo else (-1, 1)
    facts.samples = len(source.frames("train", offsets))
    for part in ("train", "val", "test"):
        facts.counts.append(f"{part} {len(source.frames(part, () if part == 'test' else offsets)):,}")
    said = {name: sum(int(s.known(name).sum()) for s in sequences.values()) for name in FACTS}
    facts.counts += [f"{count:,} with {name.replace('other', 'other camera')}" for name, count in said.items() if count]
    labels = ManifestLabels(source)
    if not facts.samples:
        facts.samples = len(labels.images("train"))
        facts.evaluated = said["depth"]
    if not facts.samples + facts.evaluated:
        facts.problems.append("no frame for training has a frame before and after it, and none has depth or labels")
    refs = source.frames("all")
    looked_at = [refs[i] for i in dict.fromkeys(np.linspace(0, len(refs) - 1, _LOOKED_AT).astype(int).tolist())]
    for ref in looked_at:
        _look(facts, source, labels, ref)
    facts.stored_bytes = sum(source.image_path(r).stat().st_size for r in looked_at) * len(refs) // len(looked_at)
    for name, sequence in sequences.items():
        note_camera(facts, source, FrameRef(name, int(sequence.numbers[0]), "l"))
    facts.pairs = lambda count: _pairs(source, count)
    facts.image = lambda: read_image(source.image_path(refs[len(refs) // 2]))
    return facts


def _look(facts: Facts, source: Manifest, labels: ManifestLabels, ref: FrameRef) -> None:
    """Reads a frame's depth, mask and labels, and its image's header."""
    try:
        size = image_size(source.image_path(ref))
        facts.sizes["x".join(map(str, size))] += 1
        expected = source.intrinsics(ref)[1]
        if size != expected:
            where = f"{source.root}, line {source.line(ref)}"
            what = f"{source.image_path(ref).name} has {size[0]}x{size[1]} pixels"
            raise UserError(f"{where}: {what}, its camera {expected[0]}x{expected[1]}")
        truth = source.ground_truth(None, None)
        if truth is not None and truth.has(ref):
            truth.check(ref)
        source.counted(ref)
        for kind in set(labels.kinds) - {"depth"}:  # depth to evaluate with may have a size of its own
            if source.knows(ref, kind):
                labels.read(ref.name, kind)
    except UserError as error:
        facts.problems.append(str(error))


def _pairs(source: Manifest, count: int) -> list[Pair]:
    """So many frames with the one after them, spread over all."""
    refs = source.frames("all", (1,))
    chosen = [refs[i] for i in dict.fromkeys(np.linspace(0, len(refs) - 1, count).astype(int).tolist())] if refs else []
    read = [[read_image(source.image_path(r)).permute(1, 2, 0).numpy() for r in (a, a.neighbour(1))] for a in chosen]
    return [(first, second) for first, second in read if first.shape == second.shape]

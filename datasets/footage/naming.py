"""What files are by their names: images, videos, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
TRAINING_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})  # what a training reads again and again
VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .dv .flv .m2ts .m2v .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .vob .webm .wmv".split()
)

# A number of two parts, 102.05; of three, as in a date or a version, none is taken for a decimal fraction.
_TWO_PARTS = re.compile(r"(?<!\d)(?<!\d\.)\d+\.(\d+)(?!\d)(?!\.\d)")
_NUMBER = re.compile(r"(\d+)")


def is_video(path: Path) -> bool:
    """Whether a file is a video by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def known_suffixes() -> str:
    """All of them, for messages."""
    return " ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))


def in_order(paths: Iterable[Path], root: Path | None = None) -> list[Path]:
    """Paths in the order that a person reads them: folder by folder, frame2 before frame10, 102.05 before 102.1.

    What stands behind a point is a decimal fraction, as in a time in seconds, or a number of its own, as in 2.10 after
    2.9. The names among themselves tell, see `_decimals`. With a root, which all are in, its own name says nothing.
    """
    words = {path: _words(path if root is None else path.relative_to(root)) for path in paths}
    decimals = _decimals({word for each in words.values() for word in each})
    keys = {path: ([_key(word, decimals) for word in each], str(path)) for path, each in words.items()}
    return sorted(keys, key=keys.__getitem__)


def _words(path: Path) -> list[str]:
    """Folders and name, the suffix of images and videos apart: .05 is none, and the 4 of .mp4 no number."""
    if not path.parts:  # the root itself, which comes first
        return []
    *folders, name = path.parts
    suffix = path.suffix.lower()
    known = suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES
    return [*folders, *((name[: -len(suffix)], suffix) if known else (name, ""))]


def _decimals(words: Iterable[str]) -> bool:
    """Whether what stands behind a point is a decimal fraction.

    Nothing depends on it where all have the same length. Else a leading zero is that of a fraction, since who fills
    numbers up with zeros does so to one length; and a trailing one is that of a count (9, 10), since who leaves zeros
    out leaves those out.
    """
    fractions = {match[1] for word in words for match in _TWO_PARTS.finditer(word)}
    if len({len(fraction) for fraction in fractions}) < 2:
        return True
    longer = [fraction for fraction in fractions if len(fraction) > 1]
    return any(f.startswith("0") for f in longer) or not any(f.endswith("0") for f in longer)


def _key(word: str, decimals: bool) -> list[tuple[int, Decimal | str]]:
    """Numbers before letters, and letters in any case."""
    parts: list[str] = []
    at = 0
    for match in _TWO_PARTS.finditer(word) if decimals else ():
        parts += [*_NUMBER.split(word[at : match.start()]), match[0]]
        at = match.end()
    parts += _NUMBER.split(word[at:])
    return [(0, Decimal(part)) if part[0].isdecimal() else (1, part.lower()) for part in parts if part]

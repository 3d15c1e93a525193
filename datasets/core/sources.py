"""What a collection of frames must offer, and which of the wanted frames are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from datasets.core.lens import Lens
from datasets.core.splits import EvaluatedPart, FrameRef
from datasets.core.truth import GroundTruth
from depth.types import UserError

_DRIVES_LISTED = 10


class FrameSource(Protocol):
    """A collection of frames with calibration. Every method raises UserError for data that is absent or malformed.

    A reader inherits from it; the methods with a body are what a collection need not have.
    """

    root: Path

    @classmethod
    def recognises(cls, root: Path, refs: Sequence[FrameRef]) -> bool:
        """Whether a folder is of this kind, given the frames that are wanted of it; see datasets.sets.SOURCES."""
        ...

    def has(self, ref: FrameRef) -> bool:
        """Whether the frame's image is there, by the folder's listing."""
        ...

    def image_path(self, ref: FrameRef) -> Path:
        """The frame's image file."""
        ...

    def intrinsics(self, ref: FrameRef) -> tuple[np.ndarray, tuple[int, int]]:
        """K, float64 (3,3), in pixels of the original image, and that image's (width, height)."""
        ...

    def stereo_from(self, ref: FrameRef) -> np.ndarray:
        """other_from_this: takes points of this camera to the other one, float64 (4,4), metres."""
        ...

    def example_path(self, ref: FrameRef) -> Path:
        """Where the frame's image would be, for messages."""
        ...

    def archive(self, folder: str) -> str:
        """What is to be downloaded for the frames of a folder, for messages."""
        ...

    def span(self, ref: FrameRef) -> tuple[int, int] | None:
        """The first and the last frame that are there of a folder's camera; None where that is not known."""
        return None

    def ground_truth(self, kind: str | None, cache: Path | None) -> GroundTruth | None:
        """The depth of its frames, None where it has none.

        Args:
            kind: which, where there are several (a Protocol's `ground_truth`); None is the collection's own; "camera"
                that which is to be learnt from, along the camera's axis.
            cache: folder for what is made from other data, as from scans; None makes it each time.
        """
        return None

    def lens(self, ref: FrameRef) -> Lens | None:
        """What bends the frame's picture, which is straightened when it is read: `intrinsics` belong to that."""
        return None

    def world_from_camera(self, ref: FrameRef) -> np.ndarray | None:
        """Where the camera was, float64 (4,4), metres, in axes of the frame's folder; None where that is not known."""
        return None

    def travelled(self, ref: FrameRef, offset: int) -> float | None:
        """Metres from a frame's camera to where it was `offset` frames later; None where that is not known."""
        here, there = self.world_from_camera(ref), self.world_from_camera(ref.neighbour(offset))
        return None if here is None or there is None else float(np.linalg.norm(there[:3, 3] - here[:3, 3]))

    def counted(self, ref: FrameRef) -> np.ndarray | None:
        """bool (H,W) of the image, True: the pixel counts, as none of the own bonnet does; None where all do."""
        return None


class OwnSource(FrameSource, Protocol):
    """A source that divides its frames itself, without a split's file."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of most of the images, pixels."""
        ...

    def frames(self, part: EvaluatedPart, offsets: tuple[int, ...] = ()) -> list[FrameRef]:
        """The frames of a part that have a neighbour at each offset, in order."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Lines for the top of the output."""
        ...


def select_available(
    source: FrameSource,
    refs: Sequence[FrameRef],
    offsets: Iterable[int] = (),
    skip_missing: bool | None = False,
    also: Callable[[FrameRef], bool] | None = None,
) -> tuple[list[FrameRef], str]:
    """The frames that can be used, and one line that says how many of how many that is.

    Args:
        source: where the frames are looked for.
        refs: the wanted frames.
        offsets: a frame's sources must be there too: offsets in time, 0 for the other camera.
        skip_missing: go on with what is there instead of raising. None: do not, and the command has no flag for it.
        also: what else a frame needs, e.g. ground truth.

    Raises:
        UserError: frames are missing (a summary, then a line per drive with what to download) and skip_missing is
            off; or no frame at all is there; or the calibration of a drive that is there cannot be read.
    """
    wanted_offsets = list(dict.fromkeys(offsets))
    usable = [ref for ref in refs if is_complete(source, ref, wanted_offsets, also)]
    if not usable:
        raise UserError(nothing_there(source, refs, wanted_offsets, also))
    for folder_ref in {ref.folder: ref for ref in usable}.values():
        source.intrinsics(folder_ref)
    drives = len({ref.folder for ref in usable})
    report = f"{len(usable):,} of {len(refs):,} frames in {drives} of {len({r.folder for r in refs})} drives"
    if len(usable) < len(refs) and not skip_missing:
        raise UserError(_missing_list(source, refs, usable, wanted_offsets, has_flag=skip_missing is not None))
    return usable, f"{report} are under {source.root}"


def is_complete(
    source: FrameSource, ref: FrameRef, offsets: Iterable[int] = (), also: Callable[[FrameRef], bool] | None = None
) -> bool:
    """Whether a frame is there with its sources and with what else it needs; see `select_available`."""
    there = source.has(ref) and all(source.has(ref.neighbour(offset)) for offset in offsets)
    return there and (also is None or also(ref))


def nothing_there(
    source: FrameSource, refs: Sequence[FrameRef], offsets: Iterable[int], also: Callable[[FrameRef], bool] | None
) -> str:
    """Why none of the frames can be used, in one line; see `select_available`."""
    if not refs:
        return f"no frame was asked for under {source.root}: the split is empty"
    without = [ref for ref in refs if source.has(ref)]
    if not without:
        return (
            f"{source.root} has none of the {len(refs):,} frames of the split; "
            f"expected for instance {source.example_path(refs[0])} (.png or .jpg); {source.archive(refs[0].folder)}"
        )
    neighbours = [ref for ref in without if is_complete(source, ref, offsets)]
    if not neighbours:
        needs = " and ".join("the other camera" if o == 0 else f"the frame at offset {o:+d}" for o in offsets)
        return f"{len(without):,} frames of the split are under {source.root}, but none has {needs} beside it"
    return f"{len(neighbours):,} frames of the split are under {source.root}, but none of them has ground truth"


def at_the_ends(source: FrameSource, refs: Sequence[FrameRef], offsets: Iterable[int]) -> list[FrameRef]:
    """The wanted frames that lack nothing but frames before the first or after the last of their drive.

    What the split names, or what is there, is inside of it.
    """
    inside: dict[tuple[str, str], list[int]] = {}
    for ref in refs:
        if (ref.folder, ref.side) not in inside:  # a folder is looked at once
            inside[ref.folder, ref.side] = list(source.span(ref) or ())
        inside[ref.folder, ref.side].append(ref.frame)
    bounds = {key: (min(frames), max(frames)) for key, frames in inside.items()}
    found = []
    for ref in refs:
        lacking = [offset for offset in offsets if not source.has(ref.neighbour(offset))]
        first, last = bounds[ref.folder, ref.side]
        if lacking and source.has(ref) and all(o and not first <= ref.frame + o <= last for o in lacking):
            found.append(ref)
    return found


def missing_lines(
    source: FrameSource, refs: Sequence[FrameRef], usable: Iterable[FrameRef], offsets: Sequence[int]
) -> list[str]:
    """What keeps frames from being used, a line a drive and cause; see `select_available` for the arguments."""
    wanted, there, ends = Counter(ref.folder for ref in refs), set(usable), at_the_ends(source, refs, offsets)
    gone = Counter(ref.folder for ref in refs if ref not in there)
    at_ends = Counter(ref.folder for ref in ends if ref not in there)
    lines = []
    for folder, count in gone.items():
        if missing := count - at_ends[folder]:
            lines.append(f"{folder}: {missing:,} of {wanted[folder]:,} missing; {source.archive(folder)}")
        if at_ends[folder]:
            frames = ", ".join(str(frame) for frame in sorted({ref.frame for ref in ends if ref.folder == folder}))
            lines.append(
                f"{folder}: {at_ends[folder]:,} of {wanted[folder]:,} at an end ({frames}): there is no frame before "
                "the first and none after the last; take them out of the split"
            )
    return lines


def _missing_list(
    source: FrameSource, refs: Sequence[FrameRef], usable: Sequence[FrameRef], offsets: Sequence[int], has_flag: bool
) -> str:
    lines = missing_lines(source, refs, usable, offsets)
    cure = "take them out of the split" if all("at an end" in line for line in lines) else "download them"
    found = [
        f"{len(refs) - len(usable):,} of {len(refs):,} frames (or what goes with them) are missing under "
        f"{source.root}; {cure}{', or go on without with --skip_missing' if has_flag else ''}:"
    ]
    found += [f"  {line}" for line in lines[:_DRIVES_LISTED]]
    if len(lines) > _DRIVES_LISTED:
        found.append(f"  and {len(lines) - _DRIVES_LISTED} more drives")
    return "\n".join(found)

"""One's own footage as a source of frames: a video, a folder of images, or a folder of clips.

A FrameRef's folder is "<clip>#<segment>", its frame the place in the segment: so neighbours in number are neighbours
in what was picked, and nothing reaches across a cut, a gap or a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.core.lens import Lens
from datasets.core.sources import OwnSource
from datasets.core.splits import FrameRef, Part, validation_border
from datasets.footage.camera import CameraChoice, PinholeCamera
from datasets.footage.clips import Clip, read_clip
from datasets.footage.decoding import find_clips
from datasets.footage.media import cut_short
from depth.types import UserError

PIXELS = 640 * 192  # of the network's input, by default
_SHORTEST = 3  # frames: a target and its neighbours


class Footage(OwnSource):
    """Clips that have been read, with their camera. A FrameSource; see datasets.core.sources.

    Args:
        root: the video or folder, for messages.
        clips: at least one.
        choice: what is known of the camera.
        left_out: lines about files that were left out.

    Raises UserError where nothing is known of the camera, it does not fit a clip, or no clip has three frames in a
    row.
    """

    def __init__(self, root: Path, clips: list[Clip], choice: CameraChoice, left_out: Sequence[str] = ()) -> None:
        self.root, self.clips, self.choice, self.left_out = root, clips, choice, left_out
        self._cameras: dict[str, PinholeCamera] = {}
        self._images: dict[str, list[Path]] = {}
        self._parts: dict[str, Part] = {}
        self._lenses: dict[str, Lens | None] = {}
        for index, clip in enumerate(clips):
            camera = choice.camera(clip.width, clip.height, clip.name, clip.pixel_aspect)
            lens = choice.lens(clip.stored_width, clip.stored_height, clip.pixel_aspect)
            for part, names in _divide(clip, index):
                folder = f"{clip.name}#{sum(f.rpartition('#')[0] == clip.name for f in self._images) + 1}"
                self._images[folder] = [Path(clip.folder) / name for name in names]
                self._parts[folder], self._lenses[folder] = part, lens
                self._cameras[folder] = camera.resized(clip.stored_width, clip.stored_height)
        if not self._images:
            raise UserError(f"{root}: {'; '.join(self._useless())}")

    def _useless(self) -> list[str]:
        """A phrase for each clip that gives nothing."""
        used = {folder.rpartition("#")[0] for folder in self._images}
        return [
            f"{clip.name} has {clip.frames} frames: {_SHORTEST} in a row are the least to learn from"
            if clip.frames < _SHORTEST
            else f"{clip.name}: no {_SHORTEST} frames in a row show parallax (a standing or turning camera, or frames "
            "too far apart); --keep_still takes them all"
            for clip in self.clips
            if clip.name not in used
        ]

    @property
    def _longest(self) -> Clip:
        return max(self.clips, key=lambda clip: clip.kept)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the original images of the longest clip as they are shown, with square pixels."""
        return self._longest.shown_size

    def frames(self, part: Part, offsets: tuple[int, ...] = (-1, 1)) -> list[FrameRef]:
        """The frames of a part that have a neighbour at each offset, in order. The test part is that of validation."""
        part = "val" if part == "test" else part
        refs = (FrameRef(f, i, "l") for f, images in self._images.items() for i in range(len(images)))
        wanted = (ref for ref in refs if self._parts[ref.folder] == part)
        return [ref for ref in wanted if all(self.has(ref.neighbour(offset)) for offset in offsets)]

    def has(self, ref: FrameRef) -> bool:
        """Whether the segment has such a frame. There is one camera, which is called the left one."""
        return ref.side == "l" and 0 <= ref.frame < len(self._images.get(ref.folder, ()))

    def image_path(self, ref: FrameRef) -> Path:
        """The frame's image file. Raises UserError where the segment has no such frame."""
        if not self.has(ref):
            raise UserError(f"no frame {ref.name} in {self.root}")
        return self._images[ref.folder][ref.frame]

    def intrinsics(self, ref: FrameRef) -> tuple[np.ndarray, tuple[int, int]]:
        """K, float64 (3,3), in pixels of the image file, and its (width, height)."""
        camera = self._cameras[ref.folder]
        return camera.matrix, (camera.width, camera.height)

    def lens(self, ref: FrameRef) -> Lens | None:
        """What bends the image file's picture, where the camera's file says so."""
        return self._lenses[ref.folder]

    def stereo_from(self, ref: FrameRef) -> np.ndarray:
        """Raises UserError: footage has one camera."""
        raise UserError(f"{self.root} has one camera: --use_stereo needs KITTI's layout with both")

    def example_path(self, ref: FrameRef) -> Path:
        """Where the frames are, for messages."""
        return self.root

    def archive(self, folder: str) -> str:
        """Nothing can be downloaded for one's own footage."""
        return f"expected in {self.root}"

    def notes(self) -> tuple[str, ...]:
        """Lines for the top of the output: what was read, what was dropped, the camera."""
        frames, kept = sum(c.frames for c in self.clips), sum(c.kept for c in self.clips)
        used = sum(map(len, self._images.values()))
        still = sum(c.still * c.frames for c in self.clips)
        width, height = self._longest.width, self._longest.height
        rates = sorted({round(c.fps, 2) for c in self.clips if c.fps})
        lines = [
            f"footage: {len(self.clips)} clip{'s' * (len(self.clips) > 1)}, {frames:,} frames, {width}x{height}"
            + ("" if self.size == (width, height) else f" shown as {self.size[0]}x{self.size[1]}")
            + (f", {'/'.join(f'{rate:g}' for rate in rates)} fps" if rates else ""),
            f"frame picker: {used:,} frames kept ({used / frames:.0%}); dropped: {still / frames:.0%} standing or "
            f"turning on the spot, {(frames - kept - still) / frames:.0%} too like their neighbours, "
            f"{(kept - used) / frames:.0%} alone; {sum(c.cuts for c in self.clips)} cuts",
            f"camera: {self._camera_note()}",
        ]
        lines += self.left_out
        lines += [f"left out: {phrase}" for phrase in self._useless()]
        return (*lines, *(line for c in self.clips for line in cut_short(c.name, c.frames, c.claimed)))

    def _camera_note(self) -> str:
        longest = self._longest
        camera = self.choice.camera(longest.width, longest.height, longest.name, longest.pixel_aspect)
        if self.choice.learned:
            return f"to be learned, starting at a horizontal field of view of {camera.fov:.0f} degrees"
        origin = self.choice.file or "--fov"
        return f"horizontal field of view {camera.fov:.1f} degrees ({origin})"


def open_footage(
    path: Path, cache_dir: Path, choice: CameraChoice, keep_still: bool = False, progress: bool = True
) -> Footage:
    """Finds, reads and caches the clips at a path.

    Raises UserError for what `find_clips`, `read_clip` and `Footage` complain of.
    """
    files, left_out = find_clips(path)
    choice.check()  # before hours of reading
    return Footage(path, [read_clip(file, cache_dir, keep_still, progress) for file in files], choice, left_out)


def training_size(size: tuple[int, int], height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """(height, width) of the network's input: multiples of 32 that suit the footage's aspect, near PIXELS pixels.

    An error of 1 % in the aspect counts as one of 3 % in the number of pixels, which does not count where a side is
    given.

    Args:
        size: (width, height) of the footage.
        height, width: None leaves the side open.
    """
    sides = range(64, 1 + 32 * math.ceil(PIXELS / 64 / 32), 32)
    given = height is not None or width is not None

    def misfit(candidate: tuple[int, int]) -> float:
        rows, columns = candidate
        aspect = abs(math.log(columns * size[1] / (rows * size[0])))
        return 3 * aspect + (0 if given else abs(math.log(rows * columns / PIXELS)))

    candidates = ((h, w) for h in ([height] if height else sides) for w in ([width] if width else sides))
    return min(candidates, key=misfit)


def _divide(clip: Clip, index: int) -> list[tuple[Part, tuple[str, ...]]]:
    """The segments of the clip with this index and their part; one that straddles the border becomes two."""
    border = validation_border(clip.kept, index)
    pieces: list[tuple[Part, tuple[str, ...]]] = []
    first = 0
    for names in clip.segments:
        inside = min(max(border - first, 0), len(names))
        pieces += [("train", names[:inside]), ("val", names[inside:])]
        first += len(names)
    return [(part, names) for part, names in pieces if len(names) >= _SHORTEST]

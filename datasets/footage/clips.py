"""Clips of one's own: decoded once, and kept as a list of the frames that can be learned from.

A video's frames are written to the cache as JPEG, those that were picked only; a folder of PNG or JPEG images is read
in place, unless its images are larger than anything a training needs. Either way a clip.json in the cache says which
frames follow each other. It is found again by the source's name, size and time of change.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from itertools import tee
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from datasets.core.images import resize_image
from datasets.core.intrinsics import shown_size
from datasets.footage.decoding import ClipFile, ImageFolder, Video
from datasets.footage.motion import Place, pick, share_still, small_grey
from depth.support.files import whole_folder
from depth.types import UserError

# Long side of stored frames, pixels: twice the default input, and what 1024x320 still gains from.
STORED_SIDE = 1280
_JPEG_QUALITY = 95  # chroma at half size (4:2:0), which is what a video has
_VERSION = 3  # raise it whenever the same source would give another clip.json


@dataclass(frozen=True)
class Clip:
    """A clip that has been read. Frames within a segment follow each other; between segments is a cut or a gap."""

    name: str
    folder: str  # of the images; in clip.json relative to it, so that the cache can be moved
    width: int  # of the original image, pixels
    height: int
    stored_width: int  # of the images in `folder`
    stored_height: int
    pixel_aspect: float  # width of a pixel by its height, in the original and in the stored images
    fps: float | None
    frames: int  # in the source
    claimed: int  # as the video's header says
    still: float  # share of the frames that was dropped as standing or turning on the spot
    cuts: int
    segments: tuple[tuple[str, ...], ...]  # image names

    @property
    def kept(self) -> int:
        """Frames in all segments."""
        return sum(map(len, self.segments))

    @property
    def shown_size(self) -> tuple[int, int]:
        """(width, height) of the original image with square pixels."""
        return shown_size(self.width, self.height, self.pixel_aspect)


def read_clip(clip: ClipFile, cache_dir: Path, keep_still: bool = False, progress: bool = True) -> Clip:
    """The clip's frames and segments, from the cache or by reading the source once.

    Args:
        clip: where it is.
        cache_dir: holds footage/<name>-<key>/.
        keep_still: keeps every frame; see `datasets.footage.motion.pick`.
        progress: shows a bar.

    Raises:
        UserError: the video does not open, images are damaged or of several sizes, or the cache cannot be written.
    """
    final = cache_dir / "footage" / f"{_plain(clip.name)}-{_key(clip, keep_still)}"
    known = _load(final)
    if known is not None:
        return known
    try:
        with whole_folder(final, "clip.json") as folder:
            found = _read(clip, folder, keep_still, progress)
            (folder / "clip.json").write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {final}: {error.strerror or error}") from error
    return _placed(found, final)


def _read(clip: ClipFile, folder: Path, keep_still: bool, progress: bool) -> Clip:
    """Reads the source from end to end; writes the picked frames into `folder` where they are to be stored."""
    reader = ImageFolder(clip) if clip.images else Video(clip.path)
    size = _stored_size(reader.width, reader.height)
    in_place = bool(clip.images) and size == (reader.width, reader.height)
    segments: list[list[str]] = []
    places: list[Place] = []
    quiet = None if progress else True
    images, ahead = tee(tqdm(reader, desc=f"reading {clip.name}", total=reader.claimed, unit="frame", disable=quiet))
    answers = pick(map(small_grey, ahead), reader.fps, keep_still)
    for number, (image, place) in enumerate(zip(images, answers, strict=True)):
        places.append(place)
        if place is Place.DROPPED:
            continue
        if place is not Place.NEXT or not segments:
            segments.append([])
        segments[-1].append(clip.images[number] if in_place else f"{number:010d}.jpg")
        if not in_place:
            (folder / segments[-1][-1]).write_bytes(_encode(image, size))
    return Clip(
        name=clip.name,
        folder=str(clip.path.resolve()) if in_place else "",
        width=reader.width,
        height=reader.height,
        stored_width=size[0],
        stored_height=size[1],
        pixel_aspect=reader.pixel_aspect,
        fps=reader.fps,
        frames=len(places),
        claimed=reader.claimed,
        still=0.0 if keep_still else share_still(places, reader.fps),
        cuts=places.count(Place.FIRST) - 1,
        segments=tuple(map(tuple, segments)),
    )


def _stored_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) with the long side at most STORED_SIDE."""
    scale = min(1.0, STORED_SIDE / max(width, height))
    return round(width * scale), round(height * scale)


def encode_stored(image: np.ndarray, in_place: bool = False) -> bytes:
    """A frame, uint8 (H,W,3) RGB, as it will be stored; nothing where it is small enough to be read `in_place`."""
    size = _stored_size(image.shape[1], image.shape[0])
    return b"" if in_place and size == (image.shape[1], image.shape[0]) else _encode(image, size)


def _encode(image: np.ndarray, size: tuple[int, int]) -> bytes:
    if (image.shape[1], image.shape[0]) != size:
        tensor = resize_image(torch.from_numpy(image).permute(2, 0, 1), size[1], size[0])
        image = tensor.permute(1, 2, 0).contiguous().numpy()
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def _load(folder: Path) -> Clip | None:
    """A clip.json of the cache, None where there is none or it is damaged: the clip is then read anew."""
    try:
        values = json.loads((folder / "clip.json").read_text(encoding="utf-8"))
        clip = Clip(**values | {"segments": tuple(tuple(segment) for segment in values["segments"])})
        return _placed(clip, folder)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _placed(clip: Clip, folder: Path) -> Clip:
    """The clip of a cache folder's clip.json, with the absolute folder of its images."""
    # Records of older versions name the cache where it was then.
    inside = "" if Path(clip.folder).name == folder.name else clip.folder
    return replace(clip, folder=str(folder.absolute() / inside))


def _key(clip: ClipFile, keep_still: bool) -> str:
    """Everything the clip depends on; files stand for themselves by name, size and time of change."""
    files = [clip.path / name for name in clip.images] or [clip.path]
    try:
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError as error:
        raise UserError(f"cannot read {clip.path}: {error.strerror or error}") from None
    home = str(clip.path.resolve()) if clip.images else ""  # images are read where they lie
    return hashlib.sha256(repr((_VERSION, home, keep_still, stats)).encode()).hexdigest()[:12]


def _plain(name: str) -> str:
    """A clip's name as part of a folder's name: letters of any script, digits, and little else."""
    return re.sub(r"[^\w.-]+", "_", name)[:60]

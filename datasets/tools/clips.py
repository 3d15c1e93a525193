"""What can be found out about footage of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from datasets.core.images import image_size, read_image
from datasets.core.intrinsics import shown_size
from datasets.footage.camera import CameraChoice
from datasets.footage.clips import encode_stored
from datasets.footage.decoding import ClipFile, Video, count_frames, find_clips, open_video
from datasets.footage.motion import frames_apart
from datasets.tools.facts import Facts, KnownCamera, Pair, look_at_files, read_pair, spread
from depth.types import UserError

_SHORTEST = 3  # frames: a target and its neighbours


def own_footage(path: Path, choice: CameraChoice) -> Facts:
    """The facts about the clips at a path. Raises UserError where there is none."""
    clips, left_out = find_clips(path)
    facts = Facts("footage", {}, notes=left_out)
    pairs: list[Callable[[int], list[Pair]]] = []
    for clip in clips:
        try:
            pairs.append(_look_at_clip(facts, clip, choice))
        except UserError as error:
            facts.problems.append(str(error))
    facts.samples = sum(max(0, count - 2) for count in facts.clips.values())
    short = [
        f"{name} has {count} frames: {_SHORTEST} in a row are the least to learn from"
        for name, count in facts.clips.items()
        if count < _SHORTEST
    ]
    if facts.samples:  # a training does without
        facts.notes += [f"left out: {phrase}" for phrase in short]
    else:
        facts.problems += short
    facts.pairs = lambda count: [pair for each in pairs for pair in each(-(-count // len(pairs)))]
    return facts


def _look_at_clip(facts: Facts, clip: ClipFile, choice: CameraChoice) -> Callable[[int], list[Pair]]:
    """Adds a clip to the facts; returns what reads pairs of it. Raises UserError where it cannot be used."""
    paths = [clip.path / name for name in clip.images]
    if paths:
        count, fps, aspect = len(paths), None, 1.0
        width, height = image_size(paths[0])
        sizes = look_at_files(facts, paths)
        if len(sizes) > 1:
            raise UserError(f"{clip.path} holds images of several sizes ({', '.join(sizes)}): a clip's images have one")
        first = read_image(paths[0]).permute(1, 2, 0).numpy()
        reader = lambda n: [read_pair(run[i], run[i + 1]) for run, i in spread([paths], n)]  # noqa: E731
    else:
        video = Video(clip.path)
        count, fps, width, height = video.claimed or count_frames(clip.path), video.fps, video.width, video.height
        aspect = video.pixel_aspect
        first = next(iter(video))
        facts.sizes[f"{width}x{height}"] += count
        facts.stored_bytes += clip.path.stat().st_size
        read = _video_pairs if video.claimed else _pairs_in_order
        reader = lambda n: read(clip.path, count, frames_apart(fps), n)  # noqa: E731
    facts.clips[clip.name] = count
    facts.shown[f"{width}x{height}"] = shown_size(width, height, aspect)
    if fps and round(fps, 2) not in facts.fps:
        facts.fps.append(round(fps, 2))
    content = encode_stored(first, in_place=bool(paths))
    facts.cache_bytes += count * len(content)
    facts.image = (lambda: _decode(content)) if content else (lambda: read_image(paths[0]))
    if choice.file or choice.fov is not None:
        camera = choice.camera(width, height, clip.name, aspect)
        facts.cameras[clip.name] = KnownCamera(camera.matrix, width, height, aspect)
    return reader


def _decode(jpeg: bytes) -> Tensor:
    return torch.from_numpy(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)).permute(2, 0, 1)


def _video_pairs(path: Path, frames: int, apart: int, count: int) -> list[Pair]:
    capture, found = open_video(path), []
    for start in _starts(frames, apart, count):
        capture.set(cv2.CAP_PROP_POS_FRAMES, start)
        images = [capture.read() for _ in range(apart + 1)]
        if all(good for good, _ in images):
            found.append(tuple(cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for _, image in (images[0], images[-1])))
    return found


def _pairs_in_order(path: Path, frames: int, apart: int, count: int) -> list[Pair]:
    """Of a video without an index, which cannot be entered in its middle."""
    starts = _starts(frames, apart, count)
    wanted = {start + step for start in starts for step in (0, apart)}
    images = {number: image for number, image in enumerate(Video(path)) if number in wanted}
    return [(images[start], images[start + apart]) for start in starts if {start, start + apart} <= images.keys()]


def _starts(frames: int, apart: int, count: int) -> list[int]:
    return [index * max(0, frames - apart - 1) // max(1, count) for index in range(count)]

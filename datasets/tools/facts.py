"""What can be found out about a folder of frames without reading all of it; datasets.check prints it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from datasets.core.images import image_size, read_image
from datasets.core.sources import FrameSource, is_complete, nothing_there
from datasets.core.splits import FrameRef, Part, has_part, load_split, split_name
from datasets.footage.camera import CameraChoice
from datasets.footage.clips import encode_stored
from datasets.footage.decoding import ClipFile, Video, find_clips, open_video
from datasets.footage.motion import frames_apart
from datasets.kitti.layout import KittiOdometry, KittiRaw
from depth.types import UserError

Pair = tuple[np.ndarray, np.ndarray]  # uint8 (H,W,3) RGB, in the order of time

KITTI_FPS = 10.0
_PARTS: tuple[Part, ...] = ("train", "val", "test")
_RAW_DATE = re.compile(r"[0-9]{4}_[0-9]{2}_[0-9]{2}")
_SAMPLED_FILES = 200  # whose size is looked at


@dataclass
class Facts:
    """Plain values for the report, and functions that look further."""

    kind: str
    clips: dict[str, int]  # clip, drive or sequence -> frames
    sizes: Counter[str] = field(default_factory=Counter)  # "1242x375" -> frames
    fps: list[float] = field(default_factory=list)  # different ones
    stored_bytes: int = 0  # of the frames
    cache_bytes: int = 0  # that the frames will take in the cache, about
    cameras: dict[str, tuple[np.ndarray, int, int]] = field(default_factory=dict)  # name -> K, width, height
    samples: int = 0  # targets for training, before the frame picker
    evaluated: int = 0  # images with ground truth, of a split that has no train part
    counts: list[str] = field(default_factory=list)  # frames of each part of the split
    missing: list[str] = field(default_factory=list)  # a line per drive: what is to be downloaded
    problems: list[str] = field(default_factory=list)  # what keeps a training or an evaluation from starting
    pairs: Callable[[int], list[Pair]] = lambda count: []  # so many pairs, spread over all clips
    image: Callable[[], Tensor] | None = None  # reads a frame, uint8 (3,H,W), as the loader does, to take the time
    missing_frames: int = 0  # both cameras' images of a moment count once


def gather(path: Path, split: str, choice: CameraChoice, use_stereo: bool = False) -> Facts:
    """The facts about whatever lies at the path. Raises UserError where it is nothing that can be read."""
    if path.is_dir() and (path / "world.json").is_file():
        return _recordings(path, "embedded world", path / "splits", use_stereo)
    if path.is_dir() and (path / "sequences").is_dir():
        return _recordings(path, "KITTI odometry", split if split.startswith("odom") else "odom", use_stereo)
    if path.is_dir() and any(_RAW_DATE.fullmatch(p.name) for p in path.iterdir() if p.is_dir()):
        return _recordings(path, "KITTI raw", split, use_stereo)
    if use_stereo:
        raise UserError(f"--use_stereo: {path} is not in one of KITTI's layouts, which have two cameras")
    return _footage(path, choice)


def _recordings(root: Path, kind: str, split: str | Path, use_stereo: bool) -> Facts:
    """KITTI's layouts: counted by the split, and by what is on the disk."""
    raw = kind != "KITTI odometry"
    source: FrameSource = KittiRaw(root) if raw else KittiOdometry(root)
    folders = sorted(root.glob("*/*/image_02/data") if raw else root.glob("sequences/*/image_2"))
    images = {_drive(root, f, raw): sorted(p for p in f.iterdir() if _is_image(p)) for f in folders}
    facts = Facts(kind, {name: len(files) for name, files in images.items()}, fps=[KITTI_FPS])
    files = [file for each in images.values() for file in each]
    _look_at_files(facts, files)
    _count_split(facts, source, split, use_stereo)
    for name, each in images.items():
        if each:
            note_camera(facts, source, FrameRef(name, int(each[0].stem), "l"))
    runs = [each for each in images.values() if len(each) > 1]
    facts.pairs = lambda count: [_read_pair(run[i], run[i + 1]) for run, i in _spread(runs, count)]
    if files:
        facts.image = lambda: read_image(files[len(files) // 2])
    return facts


def _drive(root: Path, folder: Path, raw: bool) -> str:
    return folder.parent.parent.relative_to(root).as_posix() if raw else folder.parent.name


def _is_image(path: Path) -> bool:
    return path.suffix in (".png", ".jpg", ".jpeg") and path.stem.isdecimal()


def _look_at_files(facts: Facts, files: Sequence[Path]) -> Counter[str]:
    """Adds sizes, in pixels and bytes, of a sample of the files; returns the former."""
    sizes: Counter[str] = Counter()
    looked_at = [files[i * len(files) // _SAMPLED_FILES] for i in range(_SAMPLED_FILES)] if files else []
    for file in dict.fromkeys(looked_at):
        try:
            sizes["x".join(map(str, image_size(file)))] += 1
        except UserError as error:
            facts.problems.append(str(error))
    chosen = list(dict.fromkeys(looked_at))
    facts.stored_bytes += sum(file.stat().st_size for file in chosen) * len(files) // max(1, len(chosen))
    facts.sizes.update(sizes)
    return sizes


def _count_split(facts: Facts, source: FrameSource, split: str | Path, use_stereo: bool) -> None:
    """Counts each part's usable frames; a split without a train part is judged by its test part."""
    parts = [part for part in _PARTS if has_part(split, part)]
    judged = next((part for part in parts if part != "val"), None)
    if judged is None:
        facts.problems.append(f"split {split} has neither a train nor a test part")
    wanted: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for part in parts:
        refs = load_split(split, part)
        needed = () if part == "test" else (-1, 1, 0) if use_stereo else (-1, 1)
        usable = [ref for ref in refs if is_complete(source, ref, needed)]
        facts.counts.append(f"{part} {len(usable):,} of {len(refs):,}")
        facts.samples += len(usable) if part == "train" else 0
        facts.missing_frames += len({(r.folder, r.frame) for r in refs} - {(r.folder, r.frame) for r in usable})
        wanted.update(ref.folder for ref in refs)
        there.update(ref.folder for ref in usable)
        if part == judged and not usable:
            facts.problems.append(nothing_there(source, refs, needed, None))
    for folder, count in wanted.items():
        if there[folder] < count:
            lacking = count - there[folder]
            facts.missing.append(f"{folder}: {lacking:,} of {count:,} missing; {source.archive(folder)}")
    if judged == "test":
        _count_evaluation(facts, source, split)


def _count_evaluation(facts: Facts, source: FrameSource, split: str | Path) -> None:
    """Counts the test images that have ground truth, and looks for faults in it."""
    refs = [ref for ref in load_split(split, "test") if source.has(ref)]
    facts.evaluated = len(refs)
    improved = split_name(split) == "eigen_benchmark"
    truth = source.ground_truth("improved" if improved else "velodyne", None)
    if truth is None:
        return  # odometry is evaluated against poses
    known = [ref for ref in refs if truth.has(ref)]
    facts.evaluated = len(known)
    facts.counts.append(f"{len(known):,} with ground truth")
    if refs and not known:
        facts.problems.append(nothing_there(source, refs, (), truth.has))
    for folder, count in (Counter(r.folder for r in refs) - Counter(r.folder for r in known)).items():
        archive = "download data_depth_annotated.zip (KITTI)" if improved else source.archive(folder)
        facts.missing.append(f"{folder}: {count:,} without ground truth; {archive}")
    for ref in known:
        try:
            truth.check(ref)
        except UserError as error:
            facts.problems.append(str(error))


def note_camera(facts: Facts, source: FrameSource, ref: FrameRef) -> None:
    """Adds a frame's camera where it is another one than those before; what is wrong with it is a problem."""
    try:
        matrix, (width, height) = source.intrinsics(ref)
    except UserError as error:
        if str(error) not in facts.problems:
            facts.problems.append(str(error))
        return
    known = [np.array_equal(matrix, other) for other, *_ in facts.cameras.values()]
    if not any(known):
        facts.cameras[ref.folder] = (matrix, width, height)


def _footage(path: Path, choice: CameraChoice) -> Facts:
    clips = find_clips(path)
    facts = Facts("footage", {})
    pairs: list[Callable[[int], list[Pair]]] = []
    for clip in clips:
        try:
            pairs.append(_look_at_clip(facts, clip, choice))
        except UserError as error:
            facts.problems.append(str(error))
    facts.samples = sum(max(0, count - 2) for count in facts.clips.values())
    facts.pairs = lambda count: [pair for each in pairs for pair in each(-(-count // len(pairs)))]
    return facts


def _look_at_clip(facts: Facts, clip: ClipFile, choice: CameraChoice) -> Callable[[int], list[Pair]]:
    """Adds a clip to the facts; returns what reads pairs of it. Raises UserError where it cannot be used."""
    paths = [clip.path / name for name in clip.images]
    if paths:
        count, fps = len(paths), None
        width, height = image_size(paths[0])
        sizes = _look_at_files(facts, paths)
        if len(sizes) > 1:
            raise UserError(f"{clip.path} holds images of several sizes ({', '.join(sizes)}): a clip's images have one")
        first = read_image(paths[0]).permute(1, 2, 0).numpy()
        reader = lambda n: [_read_pair(run[i], run[i + 1]) for run, i in _spread([paths], n)]  # noqa: E731
    else:
        video = Video(clip.path)
        count, fps, width, height = video.claimed, video.fps, video.width, video.height
        first = next(iter(video))
        facts.sizes[f"{width}x{height}"] += count
        facts.stored_bytes += clip.path.stat().st_size
        reader = lambda n: _video_pairs(clip.path, count, frames_apart(fps), n)  # noqa: E731
    facts.clips[clip.name] = count
    if count < 3:
        raise UserError(f"{clip.path} has {count} frames: 3 in a row are the least to learn from")
    if fps and round(fps, 2) not in facts.fps:
        facts.fps.append(round(fps, 2))
    content = encode_stored(first, in_place=bool(paths))
    facts.cache_bytes += count * len(content)
    facts.image = (lambda: _decode(content)) if content else (lambda: read_image(paths[0]))
    if choice.file or choice.fov is not None:
        facts.cameras[clip.name] = (choice.camera(width, height, clip.name).matrix, width, height)
    return reader


def _decode(jpeg: bytes) -> Tensor:
    return torch.from_numpy(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)).permute(2, 0, 1)


def _video_pairs(path: Path, frames: int, apart: int, count: int) -> list[Pair]:
    capture, found = open_video(path), []
    for index in range(count):
        capture.set(cv2.CAP_PROP_POS_FRAMES, index * max(0, frames - apart - 1) // max(1, count))
        images = [capture.read() for _ in range(apart + 1)]
        if all(good for good, _ in images):
            found.append(tuple(cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for _, image in (images[0], images[-1])))
    return found


def _spread(runs: Sequence[Sequence[Path]], count: int) -> list[tuple[Sequence[Path], int]]:
    """`count` places (run, index) at even distances over all runs; each index has a successor in its run."""
    places = [(run, i) for run in runs for i in range(len(run) - 1)]
    chosen = range(len(places)) if count >= len(places) else [i * len(places) // count for i in range(count)]
    return [places[i] for i in chosen]


def _read_pair(first: Path, second: Path) -> Pair:
    images = [read_image(path).permute(1, 2, 0).numpy() for path in (first, second)]
    return images[0], images[1]

"""What can be found out about KITTI's recordings and the embedded world's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from datasets.core.images import read_image
from datasets.core.sources import FrameSource, at_the_ends, is_complete, missing_lines, nothing_there
from datasets.core.splits import FrameRef, Part, has_part, load_split, split_name
from datasets.kitti.layout import KittiOdometry, KittiRaw
from datasets.tools.facts import Facts, look_at_files, note_camera, read_pair, spread
from depth.types import UserError

KITTI_FPS = 10.0
_PARTS: tuple[Part, ...] = ("train", "val", "test")


def recordings(root: Path, kind: str, split: str | Path, use_stereo: bool) -> Facts:
    """KITTI's layouts: counted by the split, and by what is on the disk."""
    raw = kind != "KITTI odometry"
    source: FrameSource = KittiRaw(root) if raw else KittiOdometry(root)
    folders = sorted(source.root.glob("*/*/image_02/data" if raw else "sequences/*/image_2"))
    images = {_drive(source.root, f, raw): sorted(p for p in f.iterdir() if is_frame(p)) for f in folders}
    facts = Facts(kind, {name: len(files) for name, files in images.items()}, fps=[KITTI_FPS], split=str(split))
    files = [file for each in images.values() for file in each]
    look_at_files(facts, files)
    _count_split(facts, source, split, use_stereo)
    for name, each in images.items():
        if each:
            note_camera(facts, source, FrameRef(name, int(each[0].stem), "l"))
    runs = [each for each in images.values() if len(each) > 1]
    facts.pairs = lambda count: [read_pair(run[i], run[i + 1]) for run, i in spread(runs, count)]
    if files:
        facts.image = lambda: read_image(files[len(files) // 2])
    return facts


def _drive(root: Path, folder: Path, raw: bool) -> str:
    return folder.parent.parent.relative_to(root).as_posix() if raw else folder.parent.name


def is_frame(path: Path) -> bool:
    """Whether a file is an image that is called by a number, as KITTI's are."""
    return path.suffix.lower() in (".png", ".jpg", ".jpeg") and path.stem.isdecimal()


def _count_split(facts: Facts, source: FrameSource, split: str | Path, use_stereo: bool) -> None:
    """Counts each part's usable frames; a split without a train part is judged by its test part."""
    parts = [part for part in _PARTS if has_part(split, part)]
    judged = next((part for part in parts if part != "val"), None)
    if judged is None:
        facts.problems.append(f"split {split} has neither a train nor a test part")
    for part in parts:
        refs = load_split(split, part)
        needed = () if part == "test" else (-1, 1, 0) if use_stereo else (-1, 1)
        usable = [ref for ref in refs if is_complete(source, ref, needed)]
        facts.counts.append(f"{part} {len(usable):,} of {len(refs):,}")
        facts.samples += len(usable) if part == "train" else 0
        lacking = set(refs) - set(usable) - set(at_the_ends(source, refs, needed))
        facts.missing_frames += len({(r.folder, r.frame) for r in lacking} - {(r.folder, r.frame) for r in usable})
        facts.missing += [f"{part}: {line}" for line in missing_lines(source, refs, usable, needed)]
        if part == judged and not usable:
            facts.problems.append(nothing_there(source, refs, needed, None))
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

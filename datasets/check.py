"""The doctor: looks at a dataset and says whether a training or an evaluation can start on it, on one screen.

    python -m datasets.check kitti_data --split eigen_zhou
    python -m datasets.check kitti_data --split eigen
    python -m datasets.check clip.mp4 --fov 65
    python -m datasets.check frames.jsonl

takes KITTI's raw and odometry layouts, an embedded world, a video, a folder of images, a folder of clips, a manifest,
or one of the labelled sets of datasets.labelled. A split that has a test part alone is judged by that: by its images
and their ground truth. Exit code 0: the training, or the evaluation, can start; 2: it cannot, and why is said.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.core.images import resize_image
from datasets.core.intrinsics import MAX_FOV, MIN_FOV, field_of_view
from datasets.core.sampler import default_workers
from datasets.footage.camera import CameraChoice, doubts
from datasets.footage.motion import MAX_FLOW, Motion, measure_motion, moves, small_grey
from datasets.footage.video import training_size
from datasets.labelled import recognise
from datasets.manifest.source import Manifest
from datasets.tools.command import Parser, as_command
from datasets.tools.facts import Facts
from datasets.tools.gather import gather
from datasets.tools.labelled import labelled_report
from datasets.tools.manifest import manifest_facts
from depth.types import UserError

_PAIRS = 40  # looked at for motion
_LISTED = 6  # drives or problems in full; the rest is counted
_FRAMES_PER_SAMPLE = 3
_TIMED_FRAMES = 8
_BATCH = 12  # train.py's --batch_size for footage
_EXAMPLE_RATES = (10.0, 100.0)  # samples a second, where --rate is not given
# KITTI's raw recordings: about 175 GB, in some 42,000 moments of four images and a scan each.
_BYTES_PER_RAW_FRAME = 4_000_000


def report(facts: Facts, path: Path, epochs: int, rate: float | None, camera_given: bool) -> list[str]:
    """The lines for the screen. The last one is the verdict."""
    rows = [("data", f"{path}: {facts.kind}"), ("frames", _clips(facts)), ("size", _sizes(facts))]
    rows.append(("rate", ", ".join(f"{fps:g} fps" for fps in facts.fps) or "not known"))
    motions = [measure_motion(small_grey(a), small_grey(b)) for a, b in _safe_pairs(facts)]
    rows += _motion(motions, facts.kind == "footage")
    rows += _camera(facts, camera_given)
    if facts.counts:
        named = f"{facts.split}: " if facts.split else ""
        rows.append(("split", f"{named}{', '.join(facts.counts)}"))
        rows += [("missing", line) for line in _shortened(facts.missing, "drives")]
    rows.append(("disk", _disk(facts)))
    still = sum(not moves(motion) for motion in motions) / max(1, len(motions)) if facts.kind == "footage" else 0.0
    if still == 1:
        facts.problems.append("no parallax in any pair of frames: a camera that stands or turns shows no depth")
    rows.append(("time", _duration(facts, round(facts.samples * (1 - still)), epochs, rate)))
    if facts.kind == "footage" and 0 < facts.samples < _BATCH:
        rows.append(
            ("note", f"{facts.samples} samples do not fill a batch of {_BATCH}: --batch_size 1, or more footage")
        )
    rows += [("note", line) for line in _shortened(facts.notes, "notes")]
    rows += [("problem", problem) for problem in _shortened([*dict.fromkeys(facts.problems)], "problems")]
    return [f"{name:9}{text}" for name, text in rows] + [f"{'verdict':9}{_verdict(facts, camera_given)}"]


def is_ready(facts: Facts) -> bool:
    """Whether a training, or the evaluation of a split without a train part, can start as things are."""
    return not facts.problems and not facts.missing and facts.samples + facts.evaluated > 0


def _safe_pairs(facts: Facts) -> list[tuple[np.ndarray, np.ndarray]]:
    try:
        return facts.pairs(_PAIRS)
    except UserError as error:
        facts.problems.append(str(error))
        return []


def _clips(facts: Facts) -> str:
    names = [f"{name} {count:,}" for name, count in facts.clips.items()]
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{sum(facts.clips.values()):,} in {len(names)}: {listed}" if names else "none"


def _sizes(facts: Facts) -> str:
    if not facts.sizes:
        return "not known"
    sizes = [size for size, _ in facts.sizes.most_common()]
    shown = facts.shown.get(sizes[0], _numbers(sizes[0]))
    rows, columns = training_size(shown)
    several = f" (also {', '.join(sizes[1:4])})" if sizes[1:] else ""
    oblong = "" if shown == _numbers(sizes[0]) else f" shown as {shown[0]}x{shown[1]}"
    return f"{sizes[0]}{oblong}{several}; fitting --width {columns} --height {rows}"


def _numbers(size: str) -> tuple[int, int]:
    """The width and height of "1242x375"."""
    width, height = map(int, size.split("x"))
    return width, height


def _motion(motions: Sequence[Motion], footage: bool) -> list[tuple[str, str]]:
    if not motions:
        return [("motion", "no two frames in a row to measure")]
    flow, parallax = np.median([(m.flow, m.parallax) for m in motions], axis=0)
    still = sum(not moves(motion) for motion in motions) / len(motions)
    what = "a training drops such frames unless --keep_still" if footage else "the auto-mask ignores them"
    rows = [
        ("motion", f"median flow {flow:.1%} of the width over 0.1 s or a frame, parallax {parallax:.1%}"),
        ("standing", f"{still:.0%} of {len(motions)} pairs of frames have too little parallax; {what}"),
    ]
    if flow > MAX_FLOW / 2:
        rows.append(("note", "neighbours are far apart: a higher frame rate would help"))
    return rows


def _camera(facts: Facts, given: bool) -> list[tuple[str, str]]:
    rows = []
    for name, camera in list(facts.cameras.items())[:3]:
        matrix, width, height = camera.matrix, camera.width, camera.height
        text = f"fx {matrix[0, 0]:.1f} fy {matrix[1, 1]:.1f} cx {matrix[0, 2]:.1f} cy {matrix[1, 2]:.1f}"
        odd = doubts(matrix, width, height, camera.pixel_aspect)
        wide = field_of_view(matrix[0, 0], width)
        rows.append(("camera", f"{text} for {width}x{height}, {wide:.0f} degrees wide ({name})"))
        rows += [("note", f"{name}: {doubt}") for doubt in odd]
    if facts.kind == "footage" and not given:
        rows.append(("camera", "not given: --intrinsics FILE.json, --fov DEGREES, or --learn_intrinsics in training"))
    return rows


def _disk(facts: Facts) -> str:
    what = {"footage": "footage", "manifest": "frames"}.get(facts.kind, "left frames")
    text = f"{_size(facts.stored_bytes)} of {what}"
    if facts.cache_bytes:
        text += f"; its frames take at most {_size(facts.cache_bytes)} in the cache"
    if facts.missing_frames and facts.kind == "KITTI raw":
        whole = _size(facts.missing_frames * _BYTES_PER_RAW_FRAME)
        text += f"; the archives with the missing frames have {whole} or more, their colour images less than half"
    return text


def _duration(facts: Facts, samples: int, epochs: int, rate: float | None) -> str:
    if not samples:
        return "nothing to train on"
    rates = [rate] if rate else _EXAMPLE_RATES
    texts = [f"{_time(samples * epochs / r)} at {r:g} samples/s" for r in rates]
    if facts.image is not None and facts.sizes:
        loading = _loading_rate(facts)
        texts.append(f"loading alone {_time(samples * epochs / loading)} ({loading:.0f} samples/s)")
    return f"{epochs} epochs of {samples:,} samples: " + ", ".join(texts)


def _loading_rate(facts: Facts) -> float:
    """Samples a second that the loader processes of this machine decode and resize."""
    rows, columns = training_size(_numbers(facts.sizes.most_common(1)[0][0]))
    started = time.perf_counter()
    for _ in range(_TIMED_FRAMES):
        resize_image(facts.image(), rows, columns)
    per_frame = (time.perf_counter() - started) / _TIMED_FRAMES
    return default_workers() / (per_frame * _FRAMES_PER_SAMPLE)


def _verdict(facts: Facts, camera_given: bool) -> str:
    if is_ready(facts):
        return "ready" if facts.kind != "footage" or camera_given else "ready once the camera is given or learned"
    if facts.missing and facts.samples + facts.evaluated and not facts.problems:
        use = "trains on" if facts.samples else "evaluates"
        where = "; python -m datasets.download lists the rest"
        rest = where if any("download" in line for line in facts.missing) else ""
        return f"incomplete: --skip_missing {use} what is here{rest}"
    return "not ready"


def _shortened(lines: Sequence[str], what: str) -> list[str]:
    more = len(lines) - _LISTED
    return [*lines[:_LISTED], *([f"and {more} more {what}"] if more > 0 else [])]


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _time(seconds: float) -> str:
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.0f} h"


@as_command()
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Parser(prog="python -m datasets.check", description=__doc__.split("\n", 1)[0])
    parser.add_argument("path", type=Path, help="folder of a dataset, a video, or a manifest")
    parser.add_argument(
        "--split", help="KITTI: name, folder or file of the split to look for (default eigen_zhou; odom for odometry)"
    )
    parser.add_argument("--use_stereo", action="store_true", help="KITTI: training needs the other camera's images too")
    parser.add_argument("--intrinsics", type=Path, help="footage: JSON file of the camera, see docs/OWN_FOOTAGE.md")
    parser.add_argument("--fov", type=float, help="footage: horizontal field of view, degrees")
    parser.add_argument("--epochs", type=int, default=20, help="for the estimate of time (default 20)")
    parser.add_argument("--rate", type=float, help="samples a second of your machine, as the progress bar shows it")
    options = parser.parse_args(arguments)
    choice = CameraChoice(options.intrinsics, options.fov)
    given = options.intrinsics is not None or options.fov is not None
    if options.fov is not None and not MIN_FOV <= options.fov <= MAX_FOV:
        raise UserError(f"--fov {options.fov:g} is not between {MIN_FOV:g} and {MAX_FOV:g} degrees")
    if options.rate is not None and options.rate <= 0:
        raise UserError(f"--rate {options.rate:g} is not above 0")
    labelled = recognise(options.path)
    if labelled not in (None, "synthetic"):
        lines, ready = labelled_report(options.path, labelled)
        print(*lines, sep="\n")
        return 0 if ready else 2
    if options.path.suffix == ".jsonl":
        facts = manifest_facts(Manifest(options.path), options.use_stereo)
    else:
        facts = gather(options.path, options.split, choice, options.use_stereo)
    print(*report(facts, options.path, options.epochs, options.rate, given), sep="\n")
    return 0 if is_ready(facts) else 2


if __name__ == "__main__":
    sys.exit(main())

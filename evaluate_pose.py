"""Evaluates the pose network on sequences: ATE over 5-frame snippets, ATE and RPE over the whole, trajectories, a plot.

    python evaluate_pose.py --eval_split odom_9 --data_path kitti_odometry
    python evaluate_pose.py --load_weights_folder runs/NAME
    python evaluate_pose.py --load_weights_folder runs/NAME --dataset frames --data_path frames.jsonl

Without KITTI data it evaluates on the test drives of the embedded synthetic world and says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from datasets.core.sampler import Loading, make_loader
from datasets.core.sequences import PoseSequence, SequenceImages, sequences_of
from datasets.core.sources import FrameSource, select_available
from datasets.core.splits import find_split
from datasets.kitti.poses import format_poses, load_sequences
from datasets.locate import DataPlace, default_cache_dir, find_data, find_manifest
from datasets.sets import name_of_split, open_source, split_frames
from depth.evaluation.poses import ALIGNMENTS, TrajectoryErrors, alignment, chain, evaluate_trajectory
from depth.evaluation.report import table, title
from depth.evaluation.trajectory_plot import Track, trajectory_sheet
from depth.geometry import invert_transform, transform_from_axis_angle
from depth.options.evaluate import PoseOptions
from depth.runs.checkpoint import newest_run
from depth.runs.run_folder import versions
from depth.support.cli import parse, run
from depth.support.distributed import choose_device
from depth.support.files import make_folder, write_file
from depth.trained import TrainedModel, load_trained
from depth.types import UserError

_HEADINGS = (
    "frames", "ATE-5", "std", "RMSE-5", "ATE", "ATE scale", "ATE 7dof", "RPE", "RPE scale", "RPE 7dof", "RPE deg",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One sequence: where the camera was, where the model puts it, and by how much that is wrong."""

    sequence: PoseSequence
    predicted: np.ndarray  # float64 (N,4,4), first_from_frame, metres where the model's depths have them
    errors: TrajectoryErrors | None  # None where the truth is not known
    straight: TrajectoryErrors | None  # of a camera that goes straight ahead at one speed: the baseline


def main() -> None:
    evaluate(parse(PoseOptions, __doc__))


def evaluate(options: PoseOptions) -> list[Result]:
    """Everything from options to files."""
    place, split = _data(options)
    print(place.note)
    home = Path(options.load_weights_folder) if options.load_weights_folder else newest_run(Path(options.log_dir))
    model = load_trained(home, options.checkpoint_choice)
    if model.pose_net is None:
        raise UserError(
            f"{model.path} has no pose network: it was trained with the other camera alone, or with known poses"
        )
    print(f"model: {model.path}, {model.checkpoint}")
    source, sequences = _sequences(options, place)
    device = choose_device(options.device)
    pose_net = model.pose_net.to(device)
    results = []
    for sequence in sequences:
        images = SequenceImages(source, sequence.refs, model.height, model.width)
        loader = make_loader(images, Loading(options.batch_size, options.num_workers), torch.stack)
        batches = tqdm(loader, desc=sequence.name, unit="batch", leave=False, disable=None)
        motions = predict_motions(pose_net, batches, device)
        motions[:, :3, 3] *= model.unit_factor if model.metres_from else 1.0
        results.append(_result(sequence, chain(motions)))
    suffix = "_best" if options.checkpoint_choice == "best" else ""
    folder = Path(options.eval_out_dir or (home if home.is_dir() else home.parent) / f"poses_{split}{suffix}")
    _write(results, folder, place, split, model)
    return results


def _data(options: PoseOptions) -> tuple[DataPlace, str]:
    """Where the frames are, and what the split is called."""
    if options.dataset == "frames":
        place = find_manifest(options.data_path)
        return place, f"{place.root.stem}_{options.eval_split or 'test'}"
    cache_dir = Path(options.cache_dir) if options.cache_dir else default_cache_dir()
    split = options.eval_split or "odom_9"
    find_split(split)  # a misspelt one is told before a world is written
    place = find_data(options.data_path, "synthetic" if split == "synthetic" else "kitti", cache_dir)
    return place, name_of_split(place, split)


def _sequences(options: PoseOptions, place: DataPlace) -> tuple[FrameSource, list[PoseSequence]]:
    """What reads the frames, and the frames with their truth."""
    if place.own is not None:
        refs = place.own.frames(options.eval_split or "test")
        print(*place.own.notes(), sep="\n")
        return place.own, sequences_of(place.own, refs)
    refs = split_frames(place, options.eval_split or "odom_9", "test")
    source = open_source(place, refs)
    print(select_available(source, refs, skip_missing=None)[1])
    return source, load_sequences(source.root, refs)


def predict_motions(pose_net: nn.Module, batches: Iterable[Tensor], device: torch.device) -> np.ndarray:
    """Motions earlier_from_later, float64 (N-1,4,4), of N frames that come as batches of uint8 (B,3,H,W)."""
    motions, last = [], None
    with torch.no_grad():
        for batch in batches:
            frames = batch.to(device).float() / 255
            frames = frames if last is None else torch.cat([last, frames])
            last = frames[-1:]
            if len(frames) > 1:
                motion = pose_net(torch.cat([frames[:-1], frames[1:]], 1)).cpu().double()
                motions.append(invert_transform(transform_from_axis_angle(motion[:, :3], motion[:, 3:])))
    return torch.cat(motions).numpy()


def _result(sequence: PoseSequence, predicted: np.ndarray) -> Result:
    straight = np.tile(np.eye(4), (len(predicted), 1, 1))
    straight[:, 2, 3] = np.arange(len(predicted))
    truth = sequence.truth
    if truth is None:
        return Result(sequence, predicted, None, None)
    return Result(sequence, predicted, evaluate_trajectory(truth, predicted), evaluate_trajectory(truth, straight))


def _write(results: list[Result], folder: Path, place: DataPlace, split: str, model: TrainedModel) -> None:
    """Files, then the table, then where the files are."""
    make_folder(folder)
    heading = title(place.kind)
    scored = [result for result in results if result.errors is not None]
    lines = [heading, f"Model: {model.path}, {model.checkpoint}", f"split {split}, metres and degrees"]
    if scored and model.metres_from is None:
        lines.append("the model's translations have no unit: ATE and RPE say something only where they are scaled")
    lines += ["", _table(scored)] if scored else []
    lines += [f"{r.sequence.name}: no true poses; its trajectory alone" for r in results if r.errors is None]
    text = "\n".join(lines)
    record = {
        "dataset": place.kind,
        "title": heading,
        "split": split,
        "model": str(model.path),
        "checkpoint": asdict(model.checkpoint),
        "sequences": {r.sequence.name: {"model": asdict(r.errors), "straight": asdict(r.straight)} for r in scored},
        "without_truth": [result.sequence.name for result in results if result.errors is None],
        "trained": model.record,
        "versions": versions(),
    }
    for result in results:
        write_file(folder / f"{result.sequence.name}.txt", format_poses(result.predicted).encode())
    write_file(folder / "metrics.json", (json.dumps(record, indent=2) + "\n").encode())
    write_file(folder / "metrics.md", (text + "\n").encode())
    sheet = trajectory_sheet([_track(result, place.kind) for result in results])
    write_file(folder / "plot.png", cv2.imencode(".png", sheet)[1].tobytes())
    print(
        "",
        text,
        "",
        f"written: {folder}/ (trajectories in KITTI's format, metrics.json, metrics.md, plot.png)",
        sep="\n",
    )


def _track(result: Result, dataset: str) -> Track:
    found = result.predicted[:, :3, 3]
    if result.errors is None:
        return Track(f"{result.sequence.name} ({dataset}), the model's unit", None, {"predicted, no true poses": found})
    truth = result.sequence.truth[:, :3, 3]
    lines = {}
    for how in ALIGNMENTS[1:]:
        lines[f"predicted, aligned: {how}, ATE {result.errors.ate[how]:.3f} m"] = alignment(truth, found, how)(found)
    return Track(f"{result.sequence.name} ({dataset}), metres", truth, lines)


def _table(results: list[Result]) -> str:
    """A row per sequence, their means where there are several, and the baseline."""
    rows = {result.sequence.name: _cells(result.errors) for result in results}
    if len(results) > 1:
        rows[f"mean of {len(results)}"] = np.mean(list(rows.values()), axis=0)
    rows["straight ahead"] = np.mean([_cells(result.straight) for result in results], axis=0)
    lines = [("sequence", *_HEADINGS)]
    lines += [(name, f"{cells[0]:.0f}", *(f"{cell:.4f}" for cell in cells[1:])) for name, cells in rows.items()]
    return table(lines)


def _cells(errors: TrajectoryErrors) -> list[float]:
    values = [errors.frames, errors.ate5, errors.ate5_std, errors.ate5_rmse]
    values += [table[how] for table in (errors.ate, errors.rpe) for how in ALIGNMENTS]
    return [*values, errors.rpe_degrees]


if __name__ == "__main__":
    run(main)

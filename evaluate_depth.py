"""Evaluates depth on a split: one table, metrics.json, a CSV with a row per image, and a sheet of pictures.

    python evaluate_depth.py --eval_split eigen
    python evaluate_depth.py --load_weights_folder runs/NAME --data_path kitti_data --eval_split eigen_benchmark
    torchrun --nproc_per_node 2 evaluate_depth.py --load_weights_folder runs/NAME

Without KITTI data it evaluates on the test drives of the embedded synthetic world and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from tqdm import tqdm

from datasets.locate import DataPlace, default_cache_dir, find_data
from datasets.sets import evaluation_loader, split_frames
from datasets.splits import Part, split_name
from depth.build import TrainedModel, load_trained
from depth.checkpoint import newest_run
from depth.cli import parse, run
from depth.config import EvaluationOptions
from depth.distributed import Process, choose_device, gather_to_main, process_group
from depth.evaluation import EvaluationResult, Predictor, Scaling, evaluate_split, merge_results
from depth.files import write_file
from depth.frame_sheet import choose_frames, frame_sheet
from depth.predictors import ConstantPrior, NetworkPredictor, PredictionWriter, StoredPredictions
from depth.protocols import PROTOCOLS, Protocol, prepare_batch, prepare_sample
from depth.report import Report, make_folder, protocol_line, summary, title, write_report
from depth.run_folder import versions
from depth.types import EvalSample, UserError

_STORED_SIZE = (192, 640)  # rows, columns of the input pictures beside disparities that come from a file


@dataclass(frozen=True)
class Source:
    """What is evaluated: a model, or disparities from a file."""

    path: Path
    home: Path  # folder in which results are written by default
    size: tuple[int, int]  # rows, columns of the images
    scaling: Scaling
    predictor: Callable[[int], Predictor]  # number of images in the split -> predictor
    record: dict[str, Any]  # plain values for metrics.json
    trained_on: str | None  # dataset, where it is known
    suffix: str  # of the folder for results: what differs from the usual settings


@dataclass(frozen=True)
class Images:
    """One part of a split."""

    batches: Callable[[], Iterator[list[EvalSample]]]
    sample: Callable[[int], EvalSample]
    count: int
    note: str


def main() -> None:
    options = parse(EvaluationOptions, __doc__)
    with process_group(options.device) as process:
        evaluate(options, process)


def evaluate(options: EvaluationOptions, process: Process | None = None) -> Report | None:
    """Everything from options to files; None with --no_eval, and in processes that hand their share to the main one."""
    process = process or Process(0, 1, choose_device(options.device))
    if process.world_size > 1 and (options.save_pred_disps or options.ext_disp_to_eval):
        raise UserError("--save_pred_disps and --ext_disp_to_eval take one process: leave out torchrun")
    say = print if process.is_main else _silent
    cache_dir = Path(options.cache_dir) if options.cache_dir else default_cache_dir()
    named = split_name(options.eval_split)  # an unknown split is an error on the embedded world too
    place = find_data(options.data_path, "synthetic" if options.eval_split == "synthetic" else "kitti", cache_dir)
    say(place.note)
    synthetic = place.kind == "synthetic"
    split = "synthetic" if synthetic else named
    # A split of the user's own is evaluated as eigen is, against the scans.
    protocol = PROTOCOLS[split if synthetic or split == "eigen_benchmark" else "eigen"]
    source = _stored(options) if options.ext_disp_to_eval else _model(options, process.device)
    say(f"model: {source.path}")
    images = _images(options, place, protocol, cache_dir, source.size, "test")
    say(images.note)
    predictor = source.predictor(images.count)
    if options.save_pred_disps:
        flipped = "_post_processed" if options.post_process else ""
        path = Path(options.eval_out_dir or source.home) / f"disps_{split}_split{flipped}.npy"
        make_folder(path.parent)
        with PredictionWriter(predictor, path, images.count) as writer:
            result = _run(writer, images, protocol, source.scaling, options.no_eval)
        print(f"disparities: {path}")
    else:
        alone = process.world_size == 1
        share = images if alone else _images(options, place, protocol, cache_dir, source.size, "test", process)
        result = _run(predictor, share, protocol, source.scaling, options.no_eval)
    results = gather_to_main(result)
    if result is None or not process.is_main:
        return None
    result = merge_results(results)
    baselines = {}
    if synthetic:
        training = _images(options, place, protocol, cache_dir, source.size, "train")
        baselines["constant prior"] = _constant_prior(training, images, protocol, source)
    in_split = len(split_frames(place, options.eval_split, "test"))
    report = Report(
        result, place.kind, split, str(source.path), in_split, options.post_process, source.trained_on, baselines,
        source.record | {"versions": versions()},
    )  # fmt: skip
    folder = Path(options.eval_out_dir or source.home / f"evaluation_{split}{source.suffix}")
    _write(report, folder, predictor, images)
    return report


def _silent(_line: str) -> None:
    """What the processes print that are not the main one."""


def _run(
    predictor: Predictor, images: Images, protocol: Protocol, scaling: Scaling, no_eval: bool
) -> EvaluationResult | None:
    if not no_eval:
        return evaluate_split(predictor, images.batches(), protocol, scaling)
    first = 0
    for batch in images.batches():
        predictor(batch, first)
        first += len(batch)
    return None


def _constant_prior(training: Images, images: Images, protocol: Protocol, source: Source) -> EvaluationResult:
    """What a map that is the same for every image reaches, scaled as the model's predictions are."""
    prior = ConstantPrior.fit((sample for batch in training.batches() for sample in batch), source.size)
    return evaluate_split(prior, images.batches(), protocol, source.scaling)


def _model(options: EvaluationOptions, device: torch.device) -> Source:
    place = Path(options.load_weights_folder) if options.load_weights_folder else newest_run(Path(options.log_dir))
    model = load_trained(place)
    depth_net = model.depth_net.to(device)
    predictor = NetworkPredictor(depth_net, device, model.min_depth, model.max_depth, flip=options.post_process)
    return Source(
        path=model.path,
        home=place if place.is_dir() else place.parent,
        size=(model.height, model.width),
        scaling=_scaling(options, model),
        predictor=lambda count: predictor,
        record={"post_process": options.post_process, "trained": model.record},
        trained_on=model.record.get("dataset"),
        suffix=_suffix(options, model),
    )


def _stored(options: EvaluationOptions) -> Source:
    path = Path(options.ext_disp_to_eval)
    return Source(
        path=path,
        home=path.parent,
        size=_STORED_SIZE,
        scaling=_scaling(options, None),
        predictor=lambda count: StoredPredictions(path, count),
        record={},
        trained_on=None,
        suffix=f"_{path.stem}{_suffix(options, None)}",
    )


def _scaling(options: EvaluationOptions, model: TrainedModel | None) -> Scaling:
    """Flags first; without them a model that was trained with stereo keeps its unit, any other is median-scaled.

    An original Monodepth2 model's unit is its baseline's; a file does not tell whose it is, so its factor is 1, and
    the options ask for one of the flags.
    """
    metric = options.eval_stereo or (model is not None and model.stereo and not options.eval_mono)
    factor = options.pred_depth_scale_factor
    if factor is None:
        factor = model.stereo_factor if metric and model is not None else 1.0
    return Scaling(median=not (metric or options.disable_median_scaling), factor=factor)


def _suffix(options: EvaluationOptions, model: TrainedModel | None) -> str:
    """The settings that are not the default, in a folder's name, so that no evaluation replaces another kind's."""
    scaling, usual = _scaling(options, model), _scaling(EvaluationOptions(), model)
    words = ["_post_processed"] if options.post_process else []
    if scaling.median != usual.median:
        words.append("_median" if scaling.median else "_no_median")
    if scaling.factor != _scaling(replace(options, pred_depth_scale_factor=None), model).factor:
        words.append(f"_times_{scaling.factor:g}")
    return "".join(words)


def _images(
    options: EvaluationOptions,
    place: DataPlace,
    protocol: Protocol,
    cache_dir: Path,
    size: tuple[int, int],
    part: Part,
    process: Process | None = None,
) -> Images:
    """A part of the split, or this process's share of it."""
    loader, refs, note = evaluation_loader(
        place,
        options.eval_split,
        protocol.ground_truth,
        height=size[0],
        width=size[1],
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        skip_missing=options.skip_missing,
        cache_dir=cache_dir,
        collate=partial(prepare_batch, protocol=protocol),
        part=part,
        rank=process.rank if process else 0,
        world_size=process.world_size if process else 1,
    )
    hidden = True if process and not process.is_main else None

    def batches() -> Iterator[list[EvalSample]]:
        return iter(tqdm(loader, desc=part, unit="batch", leave=False, disable=hidden))

    def sample(index: int) -> EvalSample:
        return prepare_sample(loader.dataset.dataset[index], protocol)

    return Images(batches, sample, len(refs), note)


def _write(report: Report, folder: Path, predictor: Predictor, images: Images) -> None:
    """Files, then the table, then where the files are."""
    paths = write_report(report, folder)
    frames = choose_frames(report.result, predictor, images.sample)
    sheet = frame_sheet(frames, report.result, f"{title(report.dataset)}: {protocol_line(report)}")
    write_file(folder / "frames.png", cv2.imencode(".png", sheet)[1].tobytes())
    print("", summary(report), "", f"written: {', '.join(map(str, [*paths, folder / 'frames.png']))}", sep="\n")


if __name__ == "__main__":
    run(main)

"""Evaluates depth on a split: one table, metrics.json, a CSV with a row per image, and a sheet of pictures.

    python evaluate_depth.py --eval_split eigen
    python evaluate_depth.py --load_weights_folder runs/NAME --data_path kitti_data --eval_split eigen_benchmark
    torchrun --nproc_per_node 2 evaluate_depth.py --load_weights_folder runs/NAME

Without KITTI data it evaluates on the test drives of the embedded synthetic world and says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import torch
from tqdm import tqdm

from datasets.core.images import read_image, resize_image
from datasets.core.sampler import Loading
from datasets.core.splits import Part, find_split
from datasets.core.truth_files import TruthFiles
from datasets.kitti.benchmark import benchmark_images
from datasets.locate import DataPlace, default_cache_dir, find_data, find_manifest
from datasets.sets import Samples, evaluation_loader, name_of_split
from depth.evaluation.evaluated import Source, evaluated_model, stored_predictions
from depth.evaluation.metrics import EvaluationResult, Predictor, Scaling, evaluate_split, merge_results
from depth.evaluation.predictors import ConstantPrior, PredictionWriter
from depth.evaluation.protocols import PROTOCOLS, Protocol, adapted, prepare_batch, prepare_sample
from depth.evaluation.report import Report, protocol_line, summary, title, write_report
from depth.evaluation.sheets import choose_frames, frame_sheet
from depth.evaluation.submission import write_submission
from depth.options.evaluate import EvaluationOptions
from depth.runs.run_folder import versions
from depth.support.cli import parse, run
from depth.support.distributed import Process, choose_device, gather_to_main, process_group
from depth.support.files import make_folder, write_file
from depth.types import EvalSample, UserError


@dataclass(frozen=True)
class Images:
    """One part of a split."""

    batches: Callable[[], Iterator[list[EvalSample]]]
    sample: Callable[[int], EvalSample]
    count: int
    in_split: int  # whether or not they are there or have ground truth
    note: str


def main() -> None:
    options = parse(EvaluationOptions, __doc__)
    with process_group(options.device) as process:
        evaluate(options, process)


def evaluate(options: EvaluationOptions, process: Process | None = None) -> Report | None:
    """Everything from options to files; None with --no_eval, and in processes that hand their share to the main one."""
    process = process or Process(0, 1, choose_device(options.device))
    if options.eval_split == "benchmark":
        return _submit(options, process)
    if process.world_size > 1 and (options.save_pred_disps or options.ext_disp_to_eval):
        raise UserError("--save_pred_disps and --ext_disp_to_eval take one process: leave out torchrun")
    say = print if process.is_main else _silent
    place, split, protocol = _data(options)
    say(*([place.note, *place.own.notes()] if place.own else [place.note]), sep="\n")
    source = stored_predictions(options) if options.ext_disp_to_eval else evaluated_model(options, process.device)
    say(f"model: {', '.join(filter(None, [str(source.path), source.checkpoint]))}")
    images = _images(options, place, protocol, source.size, "test")
    say(images.note)
    predictor = source.predictor(images.count)
    if options.save_pred_disps:
        result = _run_and_store(predictor, images, protocol, source, options, split)
    else:
        alone = process.world_size == 1
        share = images if alone else _images(options, place, protocol, source.size, "test", process)
        result = _run(predictor, share, protocol, source.scaling, options.no_eval)
    results = gather_to_main(result)
    if result is None or not process.is_main:
        return None
    baselines = {}
    if place.kind == "synthetic" and not options.gt_path:
        own = replace(options, eval_split="synthetic")  # a file of one's own has no training part
        training = _images(own, place, protocol, source.size, "train")
        baselines["constant prior"] = _constant_prior(training, images, protocol, source)
    report = Report(
        merge_results(results), place.kind, split, str(source.path), images.in_split, options.post_process,
        source.trained_on, baselines, source.record | {"versions": versions()}, source.checkpoint,
    )  # fmt: skip
    _write(report, Path(options.eval_out_dir or source.home / f"evaluation_{split}{source.suffix}"), predictor, images)
    return report


def _submit(options: EvaluationOptions, process: Process) -> None:
    """Writes a submission to KITTI's benchmark, which keeps its ground truth to itself."""
    source = evaluated_model(options, process.device)
    if process.world_size > 1 or source.scaling.median:
        how = "one process: leave out torchrun" if process.world_size > 1 else (
            "metres, and this model's depths are up to scale: --disable_median_scaling --pred_depth_scale_factor X"
        )  # fmt: skip
        raise UserError(f"--eval_split benchmark takes {how}")
    root = options.data_path or os.environ.get("KITTI_DATA") or "kitti_data"
    images = benchmark_images(Path(root).expanduser(), options.skip_missing)
    path = Path(options.eval_out_dir or source.home / f"submission{source.suffix}") / "submission.zip"
    make_folder(path.parent)

    def load(image: Path) -> tuple[torch.Tensor, tuple[int, int]]:
        pixels = read_image(image)
        return resize_image(pixels, *source.size), (pixels.shape[2], pixels.shape[1])

    write_submission(
        path, images, load, source.predictor(len(images)), source.scaling.factor, partial(tqdm, leave=False)
    )
    print(f"model: {source.path}\n{len(images)} images, 16-bit PNG of metres times 256, dense\nwritten: {path}")


def _cache_dir(options: EvaluationOptions) -> Path:
    return Path(options.cache_dir) if options.cache_dir else default_cache_dir()


def _data(options: EvaluationOptions) -> tuple[DataPlace, str, Protocol]:
    """Where the frames are, what the split is called, and how it is evaluated."""
    if options.dataset == "frames":
        place = find_manifest(options.data_path, options.skip_missing)
        named = f"{place.root.stem}_{options.eval_split or 'test'}"
        return place, named, _adapted(options.protocol or "frames", options)
    split = options.eval_split or "eigen"
    find_split(split)  # a misspelt one is told before a world is written
    place = find_data(options.data_path, "synthetic" if split == "synthetic" else "kitti", _cache_dir(options))
    named = name_of_split(place, split)
    if place.kind == "synthetic":
        return place, named, _adapted("synthetic", options)
    # A split of the user's own is evaluated as eigen is, against the scans.
    return place, named, _adapted("eigen_benchmark" if named == "eigen_benchmark" else "eigen", options)


def _adapted(name: str, options: EvaluationOptions) -> Protocol:
    truth = f"ground truth of {options.gt_path}" if options.gt_path else None
    return adapted(PROTOCOLS[name], options.min_depth, options.max_depth, options.crop, truth)


def _silent(*_lines: str, sep: str = "") -> None:
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


def _run_and_store(
    predictor: Predictor, images: Images, protocol: Protocol, source: Source, options: EvaluationOptions, split: str
) -> EvaluationResult | None:
    flipped = "_best" if options.checkpoint_choice == "best" else ""
    flipped += "_post_processed" if options.post_process else ""
    path = Path(options.eval_out_dir or source.home) / f"disps_{split}_split{flipped}.npy"
    make_folder(path.parent)
    with PredictionWriter(predictor, path, images.count) as writer:
        result = _run(writer, images, protocol, source.scaling, options.no_eval)
    print(f"disparities: {path}")
    return result


def _constant_prior(training: Images, images: Images, protocol: Protocol, source: Source) -> EvaluationResult:
    """What a map that is the same for every image reaches, scaled as the model's predictions are."""
    prior = ConstantPrior.fit((sample for batch in training.batches() for sample in batch), source.size)
    return evaluate_split(prior, images.batches(), protocol, source.scaling)


def _images(
    options: EvaluationOptions,
    place: DataPlace,
    protocol: Protocol,
    size: tuple[int, int],
    part: Part,
    process: Process | None = None,
) -> Images:
    """A part of the split, or this process's share of it."""
    loader, count, in_split, note = evaluation_loader(
        place,
        options.eval_split or ("test" if place.own else "eigen"),
        Samples(*size, aspect=protocol.aspect),
        Loading(
            options.batch_size,
            options.num_workers,
            rank=process.rank if process else 0,
            world_size=process.world_size if process else 1,
        ),
        kind=protocol.ground_truth,
        cache_dir=_cache_dir(options),
        files=TruthFiles(Path(options.gt_path), options.gt_scale) if options.gt_path else None,
        collate=partial(prepare_batch, protocol=protocol),
        skip_missing=options.skip_missing,
        part=options.eval_split or part if place.own else part,
    )
    hidden = True if process and not process.is_main else None

    def batches() -> Iterator[list[EvalSample]]:
        return iter(tqdm(loader, desc=part, unit="batch", leave=False, disable=hidden))

    def sample(index: int) -> EvalSample:
        return prepare_sample(loader.dataset.dataset[index], protocol)

    return Images(batches, sample, count, in_split, note)


def _write(report: Report, folder: Path, predictor: Predictor, images: Images) -> None:
    """Files, then the table, then where the files are."""
    paths = write_report(report, folder)
    frames = choose_frames(report.result, predictor, images.sample)
    sheet = frame_sheet(frames, report.result, f"{title(report.dataset)}: {protocol_line(report)}")
    write_file(folder / "frames.png", cv2.imencode(".png", sheet)[1].tobytes())
    print("", summary(report), "", f"written: {', '.join(map(str, [*paths, folder / 'frames.png']))}", sep="\n")


if __name__ == "__main__":
    run(main)

"""Evaluates semantics, normals, panoptic and depth from labels: a table a task, metrics.json, a CSV, a sheet.

    python evaluate_dense.py --eval_split val
    python evaluate_dense.py --load_weights_folder runs/NAME --data_path camvid --eval_split test
    torchrun --nproc_per_node 2 evaluate_dense.py --load_weights_folder runs/NAME

Beside the model stands the best prediction that never looks at the image, fitted on the training part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch.utils.data import DataLoader
from tqdm import tqdm

from datasets.core.labelled import LabelledFolder
from datasets.core.labels import resize_labels
from datasets.labelled_sets import evaluation_images, image_loader
from datasets.locate import DataPlace, default_cache_dir, find_data, find_manifest
from datasets.sets import Samples
from datasets.world.making import LABELLED_WORLD
from depth.dense.building import DenseModel, load_dense
from depth.evaluation.dense_report import (
    DenseReport,
    multi_task_gain,
    protocol_line,
    read_single,
    summary,
    write_report,
)
from depth.evaluation.dense_sheets import ShownImage, image_sheet
from depth.evaluation.report import title
from depth.evaluation.submissions import PredictionFolder
from depth.options.evaluate import DenseOptions
from depth.options.fields import check
from depth.runs.checkpoint import newest_run
from depth.runs.run_folder import versions
from depth.support.cli import parse, run
from depth.support.distributed import Process, choose_device, gather_to_main, process_group
from depth.support.files import make_folder, write_file
from depth.tasks.base import Score, Task
from depth.tasks.scoring import Predicted, predict_images, score_images
from depth.types import LabelledSample, UserError


@dataclass(frozen=True)
class Images:
    """A part of a labelled set."""

    source: LabelledFolder
    names: list[str]
    note: str
    loader: DataLoader  # lists of LabelledSample: this process's share


def main() -> None:
    options = parse(DenseOptions, __doc__)
    with process_group(options.device) as process:
        evaluate(options, process)


def evaluate(options: DenseOptions, process: Process | None = None) -> DenseReport | None:
    """Everything from options to files; None in processes that hand their share to the main one."""
    process = process or Process(0, 1, choose_device(options.device))
    if process.world_size > 1 and options.save_predictions:
        raise UserError("--save_predictions takes one process: leave out torchrun")
    home = Path(options.load_weights_folder) if options.load_weights_folder else newest_run(Path(options.log_dir))
    model = load_dense(home, options.checkpoint_choice)
    tasks, place = _tasks(model), _place(options, model)
    images = _images(options, model, tasks, place, options.eval_split, process)
    if process.is_main:
        print(place.note, f"model: {model.path}, {model.checkpoint}", images.note, sep="\n")
    folder = _folder(options, home)
    single = _prepared(options, folder, tasks, place, images) if process.is_main else {}
    training = _training(options, model, tasks, place, images, process)
    net, batches = model.net.to(process.device), _shown(images.loader, options.eval_split, process)
    predictions = predict_images(net, tasks, batches, process.device)
    if options.save_predictions:
        predictions = _stored(predictions, folder, images.source)
    parts = gather_to_main(score_images(tasks, predictions))
    if not process.is_main:
        return None
    scores, rows = _merged(parts)
    report = DenseReport(
        tasks,
        {name: score.results() for name, score in scores.items()},
        images.names,
        rows,
        place.kind,
        options.eval_split,
        str(model.path),
        len(images.source.images(options.eval_split)),
        model.record.get("dataset"),
        _constant(training, options, model, tasks, place, images, process) if training else {},
        details={"checkpoint": asdict(model.checkpoint), "trained": model.record, "versions": versions()},
        checkpoint=str(model.checkpoint),
    )
    if single:
        report = replace(report, gain=multi_task_gain(tasks, report.results, single), against=options.against)
    _write(report, folder, model, images, process)
    return report


def _folder(options: DenseOptions, home: Path) -> Path:
    name = f"dense_{options.eval_split}{'_best' if options.checkpoint_choice == 'best' else ''}"
    return Path(options.eval_out_dir or (home if home.is_dir() else home.parent) / name)


def _tasks(model: DenseModel) -> dict[str, Task]:
    """The tasks that were learnt from labels; depth from video has no unit, and evaluate_depth.py evaluates it."""
    config = model.config
    return {name: task for name, task in model.tasks.items() if name in config.tasks.labelled}


def _place(options: DenseOptions, model: DenseModel) -> DataPlace:
    dataset = options.dataset or str(model.record.get("dataset"))
    if dataset == "frames":
        check(options.data_path is not None, "a model of a manifest's labels needs --data_path: a manifest")
        return find_manifest(options.data_path, options.skip_missing)
    cache_dir = Path(options.cache_dir) if options.cache_dir else default_cache_dir()
    return find_data(options.data_path, dataset, cache_dir, LABELLED_WORLD)


def _images(
    options: DenseOptions, model: DenseModel, tasks: dict[str, Task], place: DataPlace, part: Any, process: Process
) -> Images:
    kinds = dict.fromkeys(kind for task in tasks.values() for kind in task.labels)
    source, names, note = evaluation_images(place, part, kinds, options.skip_missing)
    if source.classes is not None and "semantics" in kinds and source.classes.names != model.classes.names:
        raise UserError(f"{place.root} has other classes ({place.kind}) than the model was trained for")
    size = Samples(model.height, model.width)
    loader = image_loader(
        source, names, kinds, size, options.batch_size, options.num_workers, process.rank, process.world_size
    )
    return Images(source, names, note, loader)


def _prepared(
    options: DenseOptions, folder: Path, tasks: dict[str, Task], place: DataPlace, images: Images
) -> dict[str, dict[str, float]]:
    """Makes the folder and reads what --against names: both complain before any work is done."""
    make_folder(folder)
    if not options.against:
        return {}
    return read_single(
        [Path(each) for each in options.against], tasks, place.kind, options.eval_split, len(images.names)
    )


def _shown(loader: DataLoader, what: str, process: Process) -> Iterable[list[LabelledSample]]:
    return tqdm(loader, desc=what, unit="batch", leave=False, disable=None if process.is_main else True)


def _stored(predictions: Iterable[Predicted], place: Path, source: LabelledFolder) -> Iterator[Predicted]:
    """The predictions, each written as it passes."""
    folder = PredictionFolder(place, source.classes, source.label_ids)
    for sample, results in predictions:
        folder.add(source.prediction_name(sample.name), results)
        yield sample, results
    folder.finish()
    print(f"predictions: {place}")


def _merged(parts: list[tuple[dict[str, Score], list[dict[str, float]]]]) -> tuple[dict[str, Score], list[dict]]:
    """One result of several processes', of which process r of n has the images r, r + n, ..."""
    scores = parts[0][0]
    for other, _ in parts[1:]:
        for name, score in scores.items():
            score.merge(other[name])
    total = sum(len(rows) for _, rows in parts)
    return scores, [parts[i % len(parts)][1][i // len(parts)] for i in range(total)]


def _training(
    options: DenseOptions, model: DenseModel, tasks: dict[str, Task], place: DataPlace, images: Images, process: Process
) -> Images | None:
    """The training part, for the constant prediction; None where the set has none. Complains before any work."""
    if images.source.images("train"):
        return _images(options, model, tasks, place, "train", Process(0, 1, process.device))
    if process.is_main:
        print("the set has no training part: no constant prediction stands beside the model")
    return None


def _constant(
    training: Images,
    options: DenseOptions,
    model: DenseModel,
    tasks: dict[str, Task],
    place: DataPlace,
    images: Images,
    process: Process,
) -> dict[str, dict[str, float]]:
    """What the best prediction reaches that is the same for every image, fitted on the training part."""
    alone = Process(0, 1, process.device)
    own = images if process.world_size == 1 else _images(options, model, tasks, place, options.eval_split, alone)
    size = model.height, model.width
    priors = {
        name: task.constant(
            task.truth(resize_labels(sample.labels, *size))
            for batch in _shown(training.loader, f"constant {name}", process)
            for sample in batch
        )
        for name, task in tasks.items()
    }

    def constant(sample: LabelledSample) -> dict[str, np.ndarray]:
        shape = next(iter(sample.labels.given().values())).shape[:2]
        return {name: task.resize(priors[name], shape) for name, task in tasks.items()}

    pairs = ((s, constant(s)) for batch in _shown(own.loader, "constant", process) for s in batch)
    scores, _ = score_images(tasks, pairs)
    return {name: score.results() for name, score in scores.items()}


def _write(report: DenseReport, folder: Path, model: DenseModel, images: Images, process: Process) -> None:
    """Files, then the table, then where the files are."""
    paths = write_report(report, folder)
    dataset, shown = images.loader.dataset.dataset, []
    for name, task in report.tasks.items():
        for rank, index in report.extremes(name).items():
            sample = dataset[index]
            results = next(predict_images(model.net, {name: task}, [[sample]], process.device))[1]
            figure = f"{task.figures[0]} {report.rows[index][f'{name}/{task.figures[0]}']:.3f}"
            shown.append(ShownImage(task, rank, figure, sample, results[name]))
    sheet = image_sheet(shown, f"{title(report.dataset)}: {protocol_line(report)}")
    write_file(folder / "frames.png", cv2.imencode(".png", sheet)[1].tobytes())
    print("", summary(report), "", f"written: {', '.join(map(str, [*paths, folder / 'frames.png']))}", sep="\n")


if __name__ == "__main__":
    run(main)

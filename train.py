"""Trains depth and pose networks from video, with DejaVu where asked.

    python train.py --dejavu --edit spectral
    python train.py --data_path kitti_data --dejavu --edit spectral
    torchrun --nproc_per_node 2 train.py --data_path kitti_data

Without KITTI data it trains on the embedded synthetic world and says so.
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from datasets.core.augment import prepare
from datasets.core.sampler import Loading
from datasets.core.sources import OwnSource
from datasets.footage.camera import CameraChoice, PinholeCamera, write_camera
from datasets.footage.video import training_size
from datasets.labelled_sets import LabelledSets, Windows, labelled_sets
from datasets.locate import DataPlace, default_cache_dir, find_data, find_footage, find_manifest
from datasets.sets import Samples
from datasets.training_sets import TrainingSets, training_sets
from datasets.world.making import DEFAULT_WORLD, LABELLED_WORLD
from depth.build import build_objective, build_optimizer
from depth.dense.building import build_dense_objective, load_dense_into
from depth.evaluation.metrics import evaluate_split
from depth.evaluation.predictors import NetworkPredictor
from depth.evaluation.protocols import PROTOCOLS, Protocol, prepare_batch
from depth.objective import SelfSupervisedObjective
from depth.options.config import Config, encoders_from_scratch, resolved
from depth.options.data import DataOptions
from depth.options.describe import remarks, waiting_hint
from depth.options.network import NetworkOptions
from depth.options.presets import parse_training
from depth.runs.checkpoint import seed_generators
from depth.runs.resuming import keep_changes, load_same, next_steps, open_run, restarted, resumed, was_restarted
from depth.runs.run_folder import versions
from depth.support.cli import run
from depth.support.distributed import Process, process_group, use_gpus_well, with_synchronised_norms
from depth.support.host import bfloat16_networks
from depth.trained import load_into
from depth.training.dense_validation import DenseValidation
from depth.training.monitor import Monitor
from depth.training.schedule import Settings, Validation
from depth.training.trainer import Trainer
from depth.training.validation import FrameValidation
from depth.types import RawBatch, UserError


def main() -> None:
    """One training from the flags; exit code 130 where a signal ended it. Raises UserError for bad input."""
    config = parse_training(__doc__)
    with process_group(config.train.device) as process:
        finished = train(config, process)
    if not finished:
        sys.exit(130)


def train(config: Config, process: Process) -> bool:
    """One run from options to the last checkpoint; False where a signal ended it early."""
    again = was_restarted(process)
    config = resumed(restarted(config, again))
    resume = Path(config.log.resume) if config.log.resume else None
    cache_dir = Path(config.data.cache_dir) if config.data.cache_dir else default_cache_dir()
    place = _place(config, cache_dir, process)
    config = resolved(replace(config, data=_sized(replace(config.data, dataset=place.kind), place)))
    if process.is_main:
        print(place.note, flush=True)
    sets = _sets(config, place, cache_dir, process)
    if process.is_main:
        print(*sets.notes, *remarks(config), bfloat16_networks(config.train.precision, process.device)[1], sep="\n")
    objective = _objective(config, process, sets.record)
    optimizer, scheduler = build_optimizer(config, objective)
    header = {"config": config.to_dict(), "dataset": place.kind, "versions": versions()}
    header |= {name: value for name, value in sets.record.items() if name == "classes"}
    # The claim holds until this function ends.
    folder, _claim = open_run(config, header | sets.record, again) if process.is_main else (None, None)
    checkpoint = load_same(resume, process) if resume else None
    step = checkpoint[1]["progress"]["step"] if checkpoint else 0
    monitor = Monitor(folder, place.kind, step, waiting_hint(config, sets.record.get("train_frames", 0)))
    validation = _validation(config, objective, sets, place, process) if process.is_main and sets.validation else None
    trainer = Trainer(
        objective, optimizer, scheduler, sets.train, prepare, process, monitor, validation, folder, header,
        _settings(config, process),
    )  # fmt: skip
    if checkpoint:
        trainer.restore(checkpoint[1], checkpoint[0])
    if process.is_main:
        keep_changes(config, folder)
        print(f"run: {folder}\nlook: tensorboard --logdir {config.log.log_dir}", flush=True)
    finished = trainer.fit()
    if process.is_main and config.data.learn_intrinsics:
        print(_write_learned_camera(objective, sets.shown, place.own, folder / "camera.json", process.device))
    if process.is_main:
        print(next_steps(config, folder, process.world_size, None if finished else trainer.progress.step), flush=True)
    return finished


def _objective(config: Config, process: Process, record: dict[str, Any]) -> SelfSupervisedObjective:
    """What is trained, on its device, and the generators seeded: the same networks everywhere, other draws by rank."""
    seed_generators(config.train.seed)
    use_gpus_well()
    config = encoders_from_scratch(config) if config.log.resume else config
    objective = build_dense_objective(config, record["classes"]) if config.tasks.labelled else build_objective(config)
    if config.log.load_weights_folder and not config.log.resume:
        load = load_dense_into if config.tasks.labelled else load_into
        anew = load(objective, Path(config.log.load_weights_folder))
        print("".join(f"{line}\n" for line in anew if process.is_main), end="", flush=True)
    if config.train.sync_batch_norm and process.world_size > 1:
        if process.device.type != "cuda":
            raise UserError("--sync_batch_norm works on GPUs alone; --freeze_norm is a way without")
        objective = with_synchronised_norms(objective)
    objective.to(process.device, memory_format=torch.channels_last)
    if config.train.compile:
        objective.compile_parts()
    if process.rank:  # each has its own edits and noise
        seed_generators(config.train.seed + process.rank)
    return objective


def _place(config: Config, cache_dir: Path, process: Process) -> DataPlace:
    data = config.data
    if data.dataset == "frames":
        return find_manifest(data.data_path, data.skip_missing)
    if data.dataset != "video":
        world = LABELLED_WORLD if config.tasks.labelled else DEFAULT_WORLD
        return find_data(data.data_path, data.dataset, cache_dir, world)
    choice = CameraChoice(Path(data.intrinsics) if data.intrinsics else None, data.fov, data.learn_intrinsics)
    return find_footage(data.data_path, cache_dir, choice, data.keep_still, progress=process.is_main)


def _sized(data: DataOptions, place: DataPlace) -> DataOptions:
    """Footage and manifests have an aspect of their own: sides that were not given follow it."""
    if place.own is None:
        return data
    height, width = training_size(place.own.size, data.height, data.width)
    return replace(data, height=height, width=width)


def _sets(config: Config, place: DataPlace, cache_dir: Path, process: Process) -> TrainingSets | LabelledSets:
    data, tasks = config.data, config.tasks
    samples, loading, validated = _samples(config), _loading(config, process), config.log.val_samples
    if tasks.labelled:
        windows = Windows(tasks.crop, tasks.scale_range)
        return labelled_sets(place, tasks.label_kinds, samples, loading, windows, data.skip_missing, validated)
    return training_sets(
        place,
        data.split,
        samples,
        loading,
        cache_dir=cache_dir,
        eval_collate=partial(prepare_batch, protocol=_protocol(place)),
        frame_cache=Path(data.cache) if data.cache else None,
        skip_missing=data.skip_missing,
        val_samples=validated,
    )


def _samples(config: Config) -> Samples:
    data, loss = config.data, config.loss
    return Samples(
        data.height,
        data.width,
        tuple(offset for offset in data.frame_ids if offset) if config.tasks.video else (),
        data.use_stereo,
        poses=data.poses == "from_file",
        travelled=loss.pose_scale == "speed",
        sparse_depth=loss.depth_supervision > 0,
        pitch_jitter=data.pitch_jitter,
    )


def _loading(config: Config, process: Process) -> Loading:
    data, train = config.data, config.train
    pin = process.device.type == "cuda"
    return Loading(
        train.batch_size, data.num_workers, train.seed, pin, data.on_bad_sample, process.rank, process.world_size
    )


def _validation(
    config: Config,
    objective: SelfSupervisedObjective,
    sets: TrainingSets | LabelledSets,
    place: DataPlace,
    process: Process,
) -> Validation:
    if config.tasks.labelled:
        shown = prepare(sets.shown, process.device)
        return DenseValidation(objective, sets.validation, shown, _bfloat16(config, process))
    network = config.network

    def depth_errors(depth_net: nn.Module) -> dict[str, float]:
        predictor = NetworkPredictor(depth_net, process.device, network.min_depth, network.max_depth)
        # Median-scaled with stereo too: while its unit is still being learnt, that alone would choose the checkpoint.
        return evaluate_split(predictor, sets.evaluation, _protocol(place)).means

    return FrameValidation(
        objective,
        sets.validation,
        prepare,
        prepare(sets.shown, process.device),
        depth_errors if sets.evaluation is not None else None,
        _bfloat16(config, process),
    )


def _protocol(place: DataPlace) -> Protocol:
    return PROTOCOLS.get(place.kind, PROTOCOLS["eigen"])


def _write_learned_camera(
    objective: SelfSupervisedObjective, shown: RawBatch | None, own: OwnSource | None, path: Path, device: torch.device
) -> str:
    """Writes the camera that is predicted for these frames, for the footage's size where there is footage."""
    if shown is None:
        return f"learned camera: there are no validation frames to ask it of, so {path} is not written"
    batch = prepare(shown, device)
    objective.eval()
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        matrix = objective.predict_motion(batch)[1].mean(0).tolist()
    height, width = batch.target.shape[-2:]
    camera = PinholeCamera(width, height, matrix[0][0], matrix[1][1], matrix[0][2], matrix[1][2])
    write_camera(path, camera.resized(*own.size) if own else camera)
    return f"learned camera: horizontal field of view {camera.fov:.1f} degrees, in {path}"


def _settings(config: Config, process: Process) -> Settings:
    options, names = vars(config.train) | vars(config.log), {field.name for field in fields(Settings)}
    given = {name: value for name, value in options.items() if name in names}
    every = config.network.scales == NetworkOptions().scales and not config.tasks.labelled
    return Settings(**given, bfloat16=_bfloat16(config, process), all_parameters_used=every)


def _bfloat16(config: Config, process: Process) -> bool:
    return bfloat16_networks(config.train.precision, process.device)[0]


if __name__ == "__main__":
    run(main)

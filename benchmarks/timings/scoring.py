"""Evaluation without the network: ours against a loop over images in NumPy."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from benchmarks.timings.timing import Row, measure
from depth.evaluation.metrics import evaluate_split
from depth.evaluation.protocols import PROTOCOLS, prepare_sample
from depth.types import DepthPixels, EvalSample

_BATCH = 16  # distinct scenes, repeated up to the number of images
_PROTOCOL = PROTOCOLS["eigen"]


def scoring_rows(count: int, seconds: float) -> list[Row]:
    """`count` images of 1242x375 with a twentieth of the pixels known, as a scan leaves them; predictions 640x192."""
    samples, predictions = _scenes()
    maps = [sample.truth.dense() for sample in samples]
    order = [i % _BATCH for i in range(count)]
    prepared = [prepare_sample(sample, _PROTOCOL) for sample in samples]

    def batched(ready: bool) -> None:
        batches = (
            [prepared[i] if ready else prepare_sample(samples[i], _PROTOCOL) for i in order[start : start + _BATCH]]
            for start in range(0, count, _BATCH)
        )
        # A view, as a network's output costs no copy either.
        evaluate_split(lambda batch, first: predictions[: len(batch)], batches, _PROTOCOL)

    works = {
        "ground truth reduced once (as in training)": lambda: batched(True),
        "with the reduction of what the cache of scans gives": lambda: batched(False),
        "a NumPy loop over images": lambda: [_numpy_errors(maps[i], predictions[i]) for i in order],
    }
    timings = measure(works, torch.device("cpu"), seconds)
    rows = [t.row(f"evaluation of {count} images, {name}", count, "images/s") for name, t in timings.items()]
    loop = rows[-1]
    return [
        replace(
            r, note=f"{r.rate / loop.rate:.1f} x the loop, {loop.cpu_milliseconds / r.cpu_milliseconds:.1f} x in CPU"
        )
        for r in rows[:-1]
    ] + [loop]


def _scenes() -> tuple[list[EvalSample], np.ndarray]:
    draws = np.random.default_rng(0)
    image = torch.zeros(3, 192, 640, dtype=torch.uint8)
    samples, predictions = [], np.empty((_BATCH, 192, 640), np.float32)
    for scene in range(_BATCH):
        depth = draws.uniform(2, 70, (375, 1242)).astype(np.float32)
        depth[draws.random(depth.shape) > 0.05] = 0
        samples.append(EvalSample(image, DepthPixels.of(depth), f"scene {scene}"))
        coarse = draws.uniform(0.02, 0.4, (6, 20)).astype(np.float32)
        predictions[scene] = cv2.resize(coarse, (640, 192), interpolation=cv2.INTER_LINEAR)
    return samples, predictions


def _numpy_errors(truth: np.ndarray, inverse_depth: np.ndarray) -> list[float]:
    """The protocol as it is usually written: resize all, invert all, mask, gather, scale, clamp, seven metrics."""
    height, width = truth.shape
    depth = 1 / cv2.resize(inverse_depth, (width, height))
    top, bottom, left, right = _PROTOCOL.crop
    inside = np.zeros(truth.shape, bool)
    inside[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = True
    mask = np.logical_and(np.logical_and(truth > 1e-3, truth < 80), inside)
    truth, depth = truth[mask], depth[mask]
    depth = np.clip(depth * (np.median(truth) / np.median(depth)), 1e-3, 80)
    ratio = np.maximum(truth / depth, depth / truth)
    shares = [float((ratio < 1.25**power).mean()) for power in (1, 2, 3)]
    return [
        float(np.mean(np.abs(truth - depth) / truth)),
        float(np.mean((truth - depth) ** 2 / truth)),
        float(np.sqrt(np.mean((truth - depth) ** 2))),
        float(np.sqrt(np.mean((np.log(truth) - np.log(depth)) ** 2))),
        *shares,
    ]

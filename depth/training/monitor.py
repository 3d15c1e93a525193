"""What a run shows: TensorBoard scalars and pictures, and a sheet of pictures as PNG. Main process only."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from depth.support.distributed import mean_over_ranks
from depth.support.files import write_file
from depth.training.alarms import alarms
from depth.types import FrameBatch, RawBatch, StepOutput, UserError


def step_statistics(output: StepOutput) -> dict[str, Tensor]:
    """Scalars of one step, left on the device so that the step need not wait for them.

    loss/* are unweighted terms and their weighted total; the others warn of collapse: the share of pixels that
    the auto-mask leaves out, mean and spread (standard deviation) of the disparity, mean length of the translation to
    the source that is nearest: the other camera, half a metre away, would hide that the pose network stands still.
    Where the intrinsics are learned, camera/* are their means in pixels. Without depth from video there are the
    losses alone.
    """
    statistics = {f"loss/{name}": value.detach() for name, value in output.terms.values.items()}
    statistics["loss/total"] = output.loss.detach()
    if output.disparity is None:
        return statistics
    disparity = output.disparity.detach().float()
    statistics["share/automasked"] = 1 - output.active.float().mean()
    statistics["disparity/mean"] = disparity.mean()
    statistics["disparity/spread"] = disparity.std()
    if output.intrinsics is not None:
        camera = output.intrinsics.detach().mean(0)
        for name, place in {"fx": (0, 0), "fy": (1, 1), "cx": (0, 2), "cy": (1, 2)}.items():
            statistics[f"camera/{name}"] = camera[place]
    statistics["pose/translation"] = output.source_from_target.detach()[..., :3, 3].norm(dim=-1).mean(0).min()
    return statistics


def colour_map(values: Tensor) -> Tensor:
    """Magma picture of a map: (H,W) -> uint8 (3,H,W); black at 0, bright at the 95th percentile and above."""
    array = values.detach().float().cpu().numpy()
    scaled = np.clip(array / max(float(np.quantile(array, 0.95)), 1e-6), 0, 1)
    picture = cv2.applyColorMap((255 * scaled).astype(np.uint8), cv2.COLORMAP_MAGMA)
    return torch.from_numpy(np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)))


def step_pictures(batch: FrameBatch, output: StepOutput) -> list[dict[str, Tensor]]:
    """The pictures of each sample, named in the order they are looked at, uint8 (3,H,W)."""
    sheets = []
    for i in range(batch.target.shape[0]):
        pictures = {"1_target": _to_bytes(batch.target[i])}
        if output.regeneration is not None:
            pictures["2_redacted"] = _to_bytes(output.regeneration.redacted[i])
            pictures["3_regenerated"] = _to_bytes(output.regeneration.regenerated[i])
        if output.disparity is not None:
            pictures["4_disparity"] = colour_map(output.disparity[i, 0])
            pictures["5_warped_source"] = _to_bytes(output.synthesized[i, 0])
            pictures["6_active_pixels"] = _to_bytes(output.active[i].float().expand(3, -1, -1))
        if output.attention is not None:
            pictures["7_attention_redacted"] = _to_bytes(output.attention.redacted[i])
            pictures["8_attention_reconstruction"] = _to_bytes(output.attention.regenerated[i])
        sheets.append(pictures)
    return sheets


def picture_sheet(sheets: list[dict[str, Tensor]]) -> np.ndarray:
    """One BGR image: a row per kind of picture with its name, a column per sample."""
    rows = []
    for name in sheets[0]:
        tiles = [sheet[name].permute(1, 2, 0).numpy()[..., ::-1] for sheet in sheets]
        row = np.concatenate(tiles, 1)
        caption = np.full((22, row.shape[1], 3), 255, np.uint8)
        label = name.split("_", 1)[1].replace("_", " ")
        cv2.putText(caption, label, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        rows += [caption, row]
    return np.concatenate(rows)


def _to_bytes(image: Tensor) -> Tensor:
    return (image.detach().float().clamp(0, 1) * 255).round().byte().cpu()


class StepMeans:
    """Means over the steps since the last look: statistics stay on the device until they are read.

    Args:
        images_per_step: of all processes.
    """

    def __init__(self, images_per_step: int) -> None:
        self.images_per_step = images_per_step
        self._reset()

    def _reset(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps, self.waited, self.started = 0, 0.0, time.perf_counter()

    def timed(self, loader: Iterable[RawBatch]) -> Iterator[RawBatch]:
        """The loader's batches; the time spent waiting for them is counted."""
        batches = iter(loader)
        while True:
            before = time.perf_counter()
            raw = next(batches, None)
            self.waited += time.perf_counter() - before
            if raw is None:
                return
            yield raw

    def add(self, statistics: dict[str, Tensor]) -> None:
        """One step's scalars."""
        self.steps += 1
        for name, value in statistics.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def read(self) -> dict[str, float]:
        """Means over steps and processes, and the speed; waits for the device and starts anew."""
        means = mean_over_ranks(torch.stack([value.float() for value in self.sums.values()])).cpu() / self.steps
        values = dict(zip(self.sums, means.tolist(), strict=True))
        elapsed = time.perf_counter() - self.started
        values["speed/images_per_second"] = self.images_per_step * self.steps / elapsed
        values["speed/data_wait_share"] = self.waited / elapsed
        self._reset()
        return values


_MOST_WAITING = 0.2  # of the time between two looks


class Monitor:
    """Writes a run's events and sheets. With `folder` None, in the other processes, it writes nothing.

    Args:
        folder: the run's folder.
        dataset: as --dataset names it; stands in every run's text so that numbers cannot be mistaken.
        start_step: of the checkpoint that is gone on from; events after it, of an interrupted run, are hidden.
        waiting_hint: what would help where training waits for its data.

    Every method raises UserError where the disk is full or the folder cannot be written.
    """

    def __init__(self, folder: Path | None, dataset: str, start_step: int = 0, waiting_hint: str = "") -> None:
        self.folder = folder
        self.writer = None
        self._alarmed: set[str] = set()
        self._waiting_hint, self._looked = waiting_hint, False
        self._hook_before = threading.excepthook
        if folder is not None:
            threading.excepthook = self._hush_event_writer
            try:
                with self._writing():
                    self.writer = SummaryWriter(str(folder), purge_step=start_step + 1 if start_step else None)
                    self.writer.add_text("dataset", dataset, start_step)
            except UserError:
                self._restore_hook()
                raise

    def scalars(self, values: dict[str, float], step: int) -> None:
        """One point in each of the named curves."""
        if self.writer is not None:
            with self._writing():
                for name, value in values.items():
                    self.writer.add_scalar(name, value, step)

    def watch(self, values: dict[str, float], step: int) -> None:
        """Warns of what `alarms` finds, once when it begins: a line on stderr, and alarm/<name> in TensorBoard.

        Says once a run what would help where training waits for its data.
        """
        if self.writer is None:
            return
        waits = values.get("speed/data_wait_share", 0.0)
        # Not the first time: loaders were just started.
        if self._looked and self._waiting_hint and waits > _MOST_WAITING:
            print(f"training waits for data {waits:.0%} of the time: {self._waiting_hint}", file=sys.stderr, flush=True)
            self._waiting_hint = ""
        self._looked = True
        found = alarms(values)
        begun = [name for name, line in found.items() if line and name not in self._alarmed]
        ended = [name for name, line in found.items() if not line and name in self._alarmed]
        self.scalars({f"alarm/{name}": float(name in begun) for name in (*begun, *ended)}, step)
        for name in sorted(begun):
            print(f"warning: step {step}: {found[name]}", file=sys.stderr, flush=True)
        self._alarmed = self._alarmed.union(begun).difference(ended)

    def pictures(self, sheets: list[dict[str, Tensor]], step: int) -> None:
        """TensorBoard pictures under validation_<i>/, and <run>/pictures/step_<n>.png."""
        if self.writer is None:
            return
        with self._writing():
            for i, sheet in enumerate(sheets):
                for name, picture in sheet.items():
                    self.writer.add_image(f"validation_{i}/{name}", picture, step)
            folder = self.folder / "pictures"
            folder.mkdir(exist_ok=True)
            encoded = cv2.imencode(".png", picture_sheet(sheets))[1]
            write_file(folder / f"step_{step:07d}.png", encoded.tobytes())
            self.writer.flush()

    def close(self) -> None:
        """Writes out what is pending."""
        try:
            if self.writer is not None:
                with self._writing():
                    self.writer.close()
        finally:
            self._restore_hook()

    def _hush_event_writer(self, arguments: threading.ExceptHookArgs) -> None:
        """TensorBoard's thread hands a full disk on to the caller, who tells it; its traceback says nothing more."""
        expected = isinstance(arguments.exc_value, OSError) and type(arguments.thread).__name__ == "_AsyncWriterThread"
        if not expected:
            self._hook_before(arguments)

    def _restore_hook(self) -> None:
        if threading.excepthook == self._hush_event_writer:  # and not another's that came later
            threading.excepthook = self._hook_before

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{self.folder}: events cannot be written ({reason}); checkpoints are intact") from None

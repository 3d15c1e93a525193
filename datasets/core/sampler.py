"""The order of an epoch, and the loader: worker processes whose faults come back as one line."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from datasets.core.faults import Fault, Guarded, GuardedCollate, OnBadSample
from datasets.core.frames import FrameDataset, collate
from depth.support.host import keep_freed_memory
from depth.types import UserError

Batch = TypeVar("Batch")

_MAX_WORKERS = 16
_MAX_BAD_SHARE = 0.01
_WORKERS: weakref.WeakSet[multiprocessing.Process] = weakref.WeakSet()  # of all loaders


@dataclass(frozen=True)
class Loading:
    """How samples are batched, by this process of `world_size`."""

    batch_size: int = 1
    num_workers: int | None = None  # processes; 0 loads in this one, None suits the machine
    seed: int = 0  # of the order and the augmentation
    pin: bool = False  # pinned memory, for a GPU
    on_bad_sample: OnBadSample = "stop"
    rank: int = 0
    world_size: int = 1


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index), a pure function of (seed, epoch): the same after a resume and for any worker count.

    Step s takes the next world_size x batch_size samples of the epoch's order, and each rank its part of them, so
    W ranks with batches of B see, step by step, the sets that one process with batches of W x B sees.

    Args:
        length: samples of the dataset.
        batch_size: of one rank.
        seed: of the order.
        rank, world_size: of this process.

    What does not fill a step of all ranks is left out of the epoch. Raises UserError where there is no step at all.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch, self.start_step = 0, 0
        if len(self) == 0:
            step = f"{world_size} x {batch_size}" if world_size > 1 else f"{batch_size}"
            raise UserError(f"{length} samples do not fill a step of {step}: take a smaller --batch_size, or more data")

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Chooses the epoch of the next iteration and how many of its steps have been done already."""
        self.epoch, self.start_step = epoch, start_step

    def __len__(self) -> int:
        """Steps of a whole epoch."""
        return self.length // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, step = self.epoch, self.batch_size * self.world_size
        order = epoch_order(self.length, self.seed, epoch)
        for start in range(self.start_step * step, len(self) * step, step):
            batch = order[start : start + step][self.rank :: self.world_size].tolist()
            yield [(epoch, index) for index in batch]


def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of range(length), int64: a pure function of its arguments."""
    # The last counter word keeps this stream apart from the samples' own draws, which count from 0.
    stream = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 1, 0]))
    return np.argsort(stream.random(length), kind="stable")


def default_workers() -> int:
    """Worker processes of a loader: the cores but one, at most 16, shared by torchrun's processes on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(_MAX_WORKERS, cores // processes - 1))


def make_train_loader(dataset: FrameDataset, loading: Loading) -> Loader:
    """RawBatches for training; `loader.batch_sampler.set_epoch(epoch, start_step)` goes before each iteration.

    `loading.on_bad_sample`: "stop" raises UserError; "skip" takes the next good sample instead, says so on stderr, and
    raises UserError when more than 1 % of an epoch's samples were bad. `loader.bad_samples` counts.
    """
    sampler = EpochSampler(len(dataset), loading.batch_size, loading.seed, loading.rank, loading.world_size)
    return Loader(dataset, sampler, collate, loading.num_workers, loading.pin, loading.on_bad_sample, persistent=True)


def make_loader(dataset: Dataset, loading: Loading, collate: Callable[[Sequence[Any]], Batch]) -> Loader:
    """All items of a dataset in order, for evaluation; faults are raised as one-line UserErrors.

    Of several processes, one takes the items rank, rank + world_size, ... The workers live as long as an iteration, so
    that an idle loader costs nothing.
    """
    own = range(loading.rank, len(dataset), loading.world_size)
    indices = [list(own[start : start + loading.batch_size]) for start in range(0, len(own), loading.batch_size)]
    return Loader(dataset, indices, collate, loading.num_workers, pin=False, on_bad_sample="stop", persistent=False)


class Loader(DataLoader):
    """A DataLoader with prefetching workers that raises a worker's UserError as it was, in one line.

    `bad_samples` is the number of samples that were replaced since it was made (on_bad_sample="skip").
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_sampler: Any,
        collate: Callable[[Sequence[Any]], Any],
        workers: int | None,
        pin: bool,
        on_bad_sample: OnBadSample,
        persistent: bool,
    ) -> None:
        workers = default_workers() if workers is None else workers
        # One counter a worker: they need no lock. Only `skip` needs the shared memory, and the look at each batch.
        self._bad, self._skips = torch.zeros(1 + workers, dtype=torch.int64), on_bad_sample == "skip"
        if workers and self._skips:
            self._bad.share_memory_()
        super().__init__(
            Guarded(dataset, on_bad_sample, self._bad),
            batch_sampler=batch_sampler,
            collate_fn=GuardedCollate(collate),
            num_workers=workers,
            pin_memory=pin,
            worker_init_fn=_init_worker,
            persistent_workers=persistent and workers > 0,
            prefetch_factor=4 if workers else None,
            # A generator of its own: without, each epoch, and each resume, would take a draw from the global one.
            generator=torch.Generator(),
        )

    @property
    def bad_samples(self) -> int:
        """Samples that were replaced since the loader was made, in all epochs."""
        return int(self._bad.sum())

    def __iter__(self) -> Iterator[Any]:
        before, seen = self.bad_samples, len(self.batch_sampler) * getattr(self.batch_sampler, "batch_size", 1)
        try:
            for batch in self._started():
                if isinstance(batch, Fault):
                    raise UserError(batch.message)
                if self._skips and self.bad_samples - before > max(1, _MAX_BAD_SHARE * seen):
                    raise UserError(
                        f"{self.bad_samples - before} bad samples in one epoch are more than 1 %: repair the data"
                    )
                yield batch
        except RuntimeError as error:
            raise _worker_fault(error) from None

    def _started(self) -> Iterator[Any]:
        """The plain loader's batches; the processes that it starts are known to `_end_workers`."""
        others = set(multiprocessing.active_children())
        try:
            return super().__iter__()
        finally:  # a Ctrl-C may come between the first worker and the last
            _WORKERS.update(set(multiprocessing.active_children()) - others)


def _worker_fault(error: RuntimeError) -> Exception:
    """What a loader's RuntimeError means to the user; the error itself where it is a bug."""
    text = " ".join(str(error).split())
    if "DataLoader worker (pid" in text:
        return UserError(f"a loader process died, for want of memory perhaps; try --num_workers 0 ({text})")
    if "torch_" in text and ("No space left" in text or "unable to resize file" in text):
        reason = text[text.rindex("RuntimeError: ") :].removeprefix("RuntimeError: ")
        return UserError(f"no room in shared memory (/dev/shm): enlarge it, or take --num_workers 0 ({reason})")
    return error


@atexit.register
def _end_workers() -> None:
    """Ends what would outlive an error: multiprocessing would send SIGTERM, which workers ignore, and wait for ever."""
    workers = [process for process in _WORKERS if process.is_alive()]
    if workers and hasattr(signal, "SIGCHLD"):
        # torch's handler would call the death of its workers an error.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for process in workers:
        process.kill()


def _init_worker(_worker: int) -> None:
    """One thread a worker, and signals are the main process's business.

    Ctrl-C, and a scheduler's SIGTERM, reach the whole process group, and a worker that dies of one takes the last
    checkpoint with it. Workers end when the main process closes the loader, or within seconds of its death.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keep_freed_memory()

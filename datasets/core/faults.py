"""What becomes of a sample that cannot be loaded, inside a worker process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from depth.types import UserError

OnBadSample = Literal["stop", "skip"]

_MAX_BAD_IN_A_ROW = 64


@dataclass(frozen=True)
class Fault:
    """A UserError on its way out of a worker: raised there, it would arrive with a traceback in its message."""

    message: str


class Guarded(Dataset):
    """Loads whole batches of a dataset and turns a UserError into a Fault or, with "skip", the next good sample.

    Args:
        dataset: keys are an index or (epoch, index).
        on_bad_sample: "stop" or "skip"; skipped samples are named on stderr.
        bad: int64 (1 + workers,), counts the skipped samples: first those of the main process, then a worker each.
    """

    def __init__(self, dataset: Dataset, on_bad_sample: OnBadSample, bad: Tensor) -> None:
        self.dataset, self.on_bad_sample, self.bad = dataset, on_bad_sample, bad

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, keys: list[Any]) -> list[Any] | Fault:
        """The samples of a batch; a Fault where one of them cannot be had."""
        try:
            return [self._load(key) for key in keys]
        except UserError as error:
            return Fault(str(error))

    def _load(self, key: tuple[int, int] | int) -> Any:
        if self.on_bad_sample == "stop":
            return self.dataset[key]
        message = ""
        for steps in range(_MAX_BAD_IN_A_ROW):
            try:
                return self.dataset[_further(key, steps, len(self.dataset))]
            except UserError as error:
                message = str(error)
                worker = get_worker_info()
                self.bad[0 if worker is None else 1 + worker.id] += 1
                print(f"skipped a bad sample: {message}", file=sys.stderr, flush=True)
        raise UserError(f"{_MAX_BAD_IN_A_ROW} bad samples in a row, the last: {message}")


class GuardedCollate:
    """Collates what `Guarded` loaded; a Fault passes through."""

    def __init__(self, collate: Callable[[Sequence[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, samples: list[Any] | Fault) -> Any:
        return samples if isinstance(samples, Fault) else self.collate(samples)


def _further(key: tuple[int, int] | int, steps: int, length: int) -> tuple[int, int] | int:
    """The key of the sample `steps` further, around the end of the dataset."""
    return (key[0], (key[1] + steps) % length) if isinstance(key, tuple) else (key + steps) % length

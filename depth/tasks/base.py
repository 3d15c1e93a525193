"""What a task must offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol, Self

import numpy as np
from torch import Tensor

from depth.types import LabelMaps, Labels

# The heads' outputs by task, at the image's size: (B,c,H,W), float32. Depth's is the disparity in (0,1).
Outputs = Mapping[str, Tensor]


class Score(Protocol):
    """Sums over a set; see depth.metrics."""

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        """Counts an image and returns its own figures."""

    def merge(self, other: Self) -> None:
        """Adds another set's sums."""

    def results(self) -> dict[str, float]:
        """The figures of the set."""


class Task(ABC):
    """One dense prediction. A result is what is scored and shown: class ids, unit normals, metres, panoptic ids."""

    name: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]  # fields of LabelMaps that it learns from
    terms: ClassVar[tuple[str, ...]]  # names of its losses
    needs: ClassVar[tuple[str, ...]] = ()  # tasks whose outputs it reads beside its own
    figures: ClassVar[tuple[str, ...]]  # of its score's results, those to be shown; it is judged by the first
    compared: ClassVar[str]  # of them all, the one by which a multi-task gain is counted
    higher_is_better: ClassVar[bool]
    meaning: ClassVar[str]  # of the numbers that `stored` gives
    export_meaning: ClassVar[str]  # of what `exported` gives
    norm: ClassVar[bool] = False  # whether its decoder has batch norms
    channels: int  # of the head
    condition_channels: int  # of what the regeneration module sees

    @abstractmethod
    def losses(self, outputs: Outputs, labels: LabelMaps) -> dict[str, Tensor]:
        """Unweighted scalar terms by name; means over the pixels that have a label, and 0 where none has."""

    @abstractmethod
    def condition(self, outputs: Outputs) -> Tensor:
        """What the regeneration module sees: (B,condition_channels,H,W), float32."""

    @abstractmethod
    def exported(self, outputs: Outputs) -> Tensor:
        """What other runtimes are given, (B,c,H,W), see `export_meaning`."""

    @abstractmethod
    def results(self, outputs: Outputs, size: tuple[int, int]) -> np.ndarray:
        """Results (B,...) at a size (rows, columns)."""

    @abstractmethod
    def truth(self, labels: Labels) -> np.ndarray:
        """An image's labels, as a result."""

    @abstractmethod
    def score(self) -> Score:
        """An empty score."""

    @abstractmethod
    def constant(self, truths: Iterable[np.ndarray]) -> np.ndarray:
        """The best result that is the same for every image, from true ones of one size (at least one)."""

    @abstractmethod
    def resize(self, result: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A result at another size (rows, columns)."""

    @abstractmethod
    def picture(self, result: np.ndarray) -> np.ndarray:
        """A result to be looked at, uint8 (H,W,3) RGB."""

    @abstractmethod
    def stored(self, result: np.ndarray) -> np.ndarray:
        """A result as the pixels of a PNG, uint8 or uint16 (H,W) or (H,W,3) BGR, see `meaning`."""

    def judge(self, results: Mapping[str, float]) -> float:
        """A score's results as one number, lower is better."""
        value = results[self.figures[0]]
        return 1 - value if self.higher_is_better else value


def nearest(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H,W) at another size (rows, columns): the pixel in which each new one's centre lies."""
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for old, new in zip(ids.shape, size, strict=True))
    return ids[rows[:, None], columns[None]]

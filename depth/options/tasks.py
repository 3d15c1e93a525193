"""Which tasks are learnt, from what, and how they are weighed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from depth.options.fields import Number, check
from depth.tasks import TASKS, labels_of

TaskName = Literal[tuple(TASKS)]


@dataclass(frozen=True)
class TaskOptions:
    """What is predicted, and from what it is learnt."""

    tasks: tuple[TaskName, ...] = ("depth",)
    """What the network predicts. All but depth need labels; panoptic brings semantics along."""
    depth_from: Literal["video", "labels", "both"] = "video"
    """What depth is learnt from. labels: no pose network, and depths have metres; both is semi-supervised."""
    dejavu_tasks: tuple[TaskName, ...] = ()
    """Tasks whose predictions the regeneration module sees, with --dejavu. Default: all of --tasks."""
    balance: Literal["fixed", "uncertainty"] = "fixed"
    """How tasks are weighed: by the weights below, or by a factor a task over them that is learnt (Kendall et al.)."""
    shared_decoder: bool = False
    """One decoder for all tasks but depth, with a head each."""
    semantics_weight: float = 1.0
    """Weight of the cross-entropy."""
    semantics_hardest: float = 1.0
    """Share of the pixels with the largest cross-entropy that count; Panoptic-DeepLab takes 0.2."""
    normals_weight: float = 10.0
    """Weight of the normals' L1 distance, summed over x, y, z."""
    depth_weight: Number = None
    """Weight of the depth labels' loss. Default: 1, and 10 with --depth_loss log."""
    depth_loss: Annotated[
        Literal["l1", "log", "berhu"] | None, tyro.conf.arg(metavar="{l1,log,berhu}", help_behavior_hint="")
    ] = None
    """Error of depth against labels: l1 of metres, log of their logarithms, berhu of normalised inverse depth.
    Default: l1 (log on the embedded world)."""
    centre_weight: float = 200.0
    """panoptic: weight of the squared error of the centres' heatmap."""
    offset_weight: float = 0.01
    """panoptic: weight of the offsets' L1 distance, in pixels of an image of 1024 rows."""
    crop: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="ROWS COLUMNS", help_behavior_hint="")] = None
    """Trains on random windows of so many pixels, multiples of 32, of the resized image; with labels alone."""
    scale_range: tuple[float, float] = (1.0, 1.0)
    """Enlarges the resized image by a random factor from this range before it is cropped; with labels alone."""

    def __post_init__(self) -> None:
        check(len(self.tasks) > 0, "--tasks names none")
        for name in ("tasks", "dejavu_tasks"):
            given = getattr(self, name)
            check(len(set(given)) == len(given), f"--{name} {' '.join(given)} names one twice")
        strangers = sorted(set(self.dejavu_tasks) - set(self.predicted))
        check(not strangers, f"--dejavu_tasks {' '.join(strangers)} is not among --tasks {' '.join(self.tasks)}")
        weights = ("semantics_weight", "normals_weight", "depth_weight", "centre_weight", "offset_weight")
        for name in weights:
            check((getattr(self, name) or 0) >= 0, f"--{name} is 0 or more")
        check(0 < self.semantics_hardest <= 1, "--semantics_hardest is a share, above 0 and up to 1")
        low, high = self.scale_range
        check(0 < low <= high, f"--scale_range {low:g} {high:g} is not two factors 0 < low <= high")
        for side in self.crop or ():
            check(side >= 64 and side % 32 == 0, f"--crop {side} is not a multiple of 32, or below 64")

    @property
    def unlearnt(self) -> tuple[str, ...]:
        """The tasks that have labels, and no weight above 0."""
        weights = {
            "semantics": (self.semantics_weight,),
            "normals": (self.normals_weight,),
            "depth": (self.depth_weight,),
            "panoptic": (self.centre_weight, self.offset_weight),
        }
        return tuple(name for name in self.labelled if all(weight == 0 for weight in weights[name]))

    @property
    def predicted(self) -> tuple[str, ...]:
        """--tasks and what they bring along, in the order of TASKS."""
        return _with_semantics(self.tasks)

    @property
    def labelled(self) -> tuple[str, ...]:
        """The tasks that are learnt from labels."""
        return tuple(name for name in self.predicted if name != "depth" or self.depth_from != "video")

    @property
    def label_kinds(self) -> tuple[str, ...]:
        """Fields of depth.types.LabelMaps that they learn from."""
        return labels_of(self.labelled)

    @property
    def video(self) -> bool:
        """Whether depth is learnt from video."""
        return "depth" in self.tasks and self.depth_from != "labels"

    @property
    def conditions(self) -> tuple[str, ...]:
        """The tasks whose predictions are the regeneration module's C."""
        return _with_semantics(self.dejavu_tasks or self.predicted)


def _with_semantics(names: tuple[str, ...]) -> tuple[str, ...]:
    """In the order of TASKS, with the semantics that panoptic is made of."""
    return tuple(name for name in TASKS if name in names or (name == "semantics" and "panoptic" in names))

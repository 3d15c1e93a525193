"""Validation while training: photometric loss, depth errors where there is ground truth, pictures of fixed frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from depth.objective import SelfSupervisedObjective
from depth.training.monitor import step_pictures
from depth.types import FrameBatch, RawBatch


class FrameValidation:
    """Scores and pictures of an objective, with random generators of its own.

    Args:
        objective: the one that is trained.
        batches: RawBatches of the validation split, the same at every call.
        prepare: RawBatch, device -> FrameBatch.
        shown: the fixed frames whose pictures are written.
        depth_errors: depth network -> named depth errors with "abs_rel" among them; None without ground truth.
        bfloat16: precision of the networks, as in training.
    """

    def __init__(
        self,
        objective: SelfSupervisedObjective,
        batches: Iterable[RawBatch],
        prepare: Callable[[RawBatch, torch.device], FrameBatch],
        shown: FrameBatch,
        depth_errors: Callable[[nn.Module], dict[str, float]] | None,
        bfloat16: bool = False,
    ) -> None:
        self.objective, self.batches, self.prepare = objective, batches, prepare
        # The scores need one term: no regeneration, LPIPS or CLIP for pictures that nobody looks at.
        self.scorer = SelfSupervisedObjective(
            objective.depth_net, objective.pose_net, {"photometric": 1.0}, objective.options
        )
        self.shown, self.depth_errors, self.bfloat16 = shown, depth_errors, bfloat16
        self.device = shown.target.device
        by_depth = "lowest Abs Rel against the ground truth of validation frames"
        self.criterion = by_depth if depth_errors is not None else "lowest photometric loss on validation frames"

    def scores(self) -> dict[str, float]:
        """photometric, the depth errors, and "score": abs_rel where it is known, else photometric.

        With a branch also dejavu/*, what depth.dejavu.diagnosis finds on the shown frames.
        """
        total, count = 0.0, 0
        with self._quiet():
            for raw in self.batches:
                output = self.scorer(self.prepare(raw, self.device))
                total += output.terms.values["photometric"].item() * raw.frames.shape[0]
                count += raw.frames.shape[0]
            scores = {"photometric": total / max(count, 1)}
            if self.depth_errors is not None:
                scores |= self.depth_errors(self.objective.depth_net)
        with self._quiet():
            found = self.objective.diagnose_branch(self.shown.target)
        scores |= {f"dejavu/{name}": value for name, value in found.items()}
        return scores | {"score": scores.get("abs_rel", scores["photometric"])}

    def pictures(self) -> list[dict[str, Tensor]]:
        """Pictures of the fixed frames; see depth.training.monitor.step_pictures."""
        with self._quiet():
            return step_pictures(self.shown, self.objective(self.shown))

    def _quiet(self) -> AbstractContextManager[None]:
        return quiet(self.objective, self.device, self.bfloat16)


@contextmanager
def quiet(objective: nn.Module, device: torch.device, bfloat16: bool) -> Iterator[None]:
    """Evaluation mode, no gradients, and a fixed seed whose draws leave the training's generators alone.

    Nothing compiled is used: other modes and batches of other sizes would each be compiled again, for minutes.
    """
    objective.eval()
    with (
        torch.compiler.set_stance("force_eager"),
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.no_grad(),
        torch.autocast(device.type, torch.bfloat16, enabled=bfloat16),
    ):
        torch.manual_seed(0)
        yield

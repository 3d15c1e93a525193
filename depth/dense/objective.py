"""The objective of several tasks: labels, and video where depth is learnt from it, on one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from depth.objective import PhotometricOptions, SelfSupervisedObjective
from depth.tasks.base import Outputs, Task
from depth.types import DenseOutput, FrameBatch, LossTerms, StepOutput

_VIDEO = ("photometric", "smoothness")  # depth's terms where it is learnt from video


class DenseObjective(SelfSupervisedObjective):
    """FrameBatch with labels -> StepOutput.

    Args:
        net: image (B,3,H,W) -> DenseOutput.
        tasks: name -> task, of all that the network predicts.
        weights: term name -> weight; a term whose weight is 0 or absent is not computed.
        labelled: the tasks that are learnt from labels.
        video: depth is learnt from video, too where it is in `labelled`.
        conditions: the tasks whose predictions, side by side, are the branch's C.
        balance: learn how the tasks are weighed, exp(-s) L + s / 2 with s = log sigma^2 a task (Kendall et al., CVPR
            2018), over the fixed weights; the branch stays outside.
        options, pose_net, dejavu, perceptual, text: see SelfSupervisedObjective. `dejavu` does not normalise: the
            tasks do.
    """

    def __init__(
        self,
        net: nn.Module,
        tasks: Mapping[str, Task],
        weights: dict[str, float],
        labelled: Sequence[str],
        *,
        video: bool = False,
        conditions: Sequence[str] = (),
        balance: bool = False,
        options: PhotometricOptions = PhotometricOptions(),
        pose_net: nn.Module | None = None,
        dejavu: nn.Module | None = None,
        perceptual: nn.Module | None = None,
        text: nn.Module | None = None,
    ) -> None:
        super().__init__(net, pose_net, weights, options, dejavu, perceptual, text)
        self.tasks, self.labelled, self.video, self.conditions = dict(tasks), tuple(labelled), video, tuple(conditions)
        self.groups = {
            name: (*(task.terms if name in labelled else ()), *(_VIDEO if name == "depth" and video else ()))
            for name, task in self.tasks.items()
        }
        self.log_variances = nn.Parameter(torch.zeros(len(self.groups))) if balance else None

    def forward(self, batch: FrameBatch) -> StepOutput:
        """One training step's loss. Raises ValueError where a temporal source meets no pose network."""
        output: DenseOutput = self.depth_net(batch.target_aug)
        outputs = output.outputs()
        terms, view = self.video_terms(batch, output.depth) if self.video else ({}, StepOutput(None, LossTerms({})))
        with torch.autocast(batch.target.device.type, enabled=False):
            terms |= self._label_terms(outputs, batch)
        regeneration = None
        if self.dejavu is not None:
            prediction = self.condition(outputs)
            regeneration = self.dejavu(batch.target, prediction, self.epoch)
            terms |= self._regeneration_terms(regeneration, batch.target, prediction)
        return replace(
            view,
            loss=self._balanced(terms),
            terms=LossTerms(terms),
            regeneration=regeneration,
            predictions={name: value.detach() for name, value in outputs.items()},
        )

    def _label_terms(self, outputs: Outputs, batch: FrameBatch) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name in self.labelled:
            found |= self.tasks[name].losses(outputs, batch.labels)
        return {name: value for name, value in found.items() if name in self.weights}

    def condition(self, outputs: Outputs) -> Tensor:
        """C, (B,N,H,W): what the tasks of `conditions` say of it, side by side."""
        return torch.cat([self.tasks[name].condition(outputs) for name in self.conditions], 1)

    def condition_of(self, image: Tensor) -> Tensor:
        """C of images (B,3,H,W) in [0,1], see `condition`."""
        return self.condition(self.depth_net(image).outputs())

    def _balanced(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the terms."""
        if self.log_variances is None:
            return LossTerms(terms).total(self.weights)
        own = {name for group in self.groups.values() for name in group}
        parts = [LossTerms({name: terms[name]}).total(self.weights) for name in terms if name not in own]
        for s, group in zip(self.log_variances, self.groups.values(), strict=True):
            inside = {name: terms[name] for name in group if name in terms}
            parts.append(torch.exp(-s) * LossTerms(inside).total(self.weights) + s / 2)
        return torch.stack(parts).sum()

    def inference_networks(self) -> dict[str, dict[str, Tensor]]:
        """State dicts of what is used after training: "dense", and "pose" where there is one. Never DejaVu."""
        networks = {"dense": self.depth_net, "pose": self.pose_net}
        return {name: network.state_dict() for name, network in networks.items() if network is not None}

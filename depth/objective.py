"""The self-supervised objective: the one place where networks and losses meet, and the one module DDP wraps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.dejavu.attention import SharedAttention
from depth.dejavu.branch import DejaVu
from depth.dejavu.diagnosis import diagnose
from depth.dejavu.losses import cyclic_loss, regeneration_mse
from depth.dejavu.norms import untracked_norms
from depth.dejavu.text import TextSupervision
from depth.geometry import (
    disparity_to_depth,
    invert_transform,
    matrix_from_intrinsics,
    transform_from_axis_angle,
    warp,
)
from depth.losses.fused import reprojection_loss
from depth.losses.lite import LiteDistance
from depth.losses.metric import sparse_depth_error, speed_error
from depth.losses.perceptual import PerceptualLoss
from depth.losses.photometric import beside_mask, pixel_weights, split_mask
from depth.losses.smoothness import edge_aware_smoothness
from depth.types import DepthOutput, FrameBatch, Known, LossTerms, Regeneration, StepOutput


@dataclass(frozen=True)
class PhotometricOptions:
    """How the photometric loss is formed; the defaults are Monodepth2's."""

    min_depth: float = 0.1  # metres, or the model's unit
    max_depth: float = 100.0
    scales: tuple[int, ...] = (0, 1, 2, 3)  # decoder scales that take part
    automask: bool = True
    average: bool = False  # mean over sources instead of the minimum
    no_ssim: bool = False
    learn_intrinsics: bool = False  # K is the pose network's instead of the batch's


class SelfSupervisedObjective(nn.Module):
    """FrameBatch -> StepOutput.

    Args:
        depth_net: image (B,3,H,W) -> DepthOutput; a SharedAttention also reconstructs its image here.
        pose_net: pair of images in time order (B,6,H,W) -> axis-angle and translation (B,6) of the transform
            from the earlier to the later camera's frame; None where every source is the other stereo camera.
            With options.learn_intrinsics it also has `pose_and_intrinsics`, see depth.networks.pose_net.
        weights: term name -> weight; a term whose weight is 0 or absent is not computed.
        options: how the photometric loss is formed.
        dejavu: the regeneration branch, or None.
        perceptual: frozen distance of two images; its `term` names its losses, `regeneration_lpips` and
            `attention_lpips`, or `_lite`; needed where one of them has a weight.
        text: frozen CLIP; needed where `text` has a weight.

    Attributes:
        epoch: how far the training is, in epochs and parts of one, set by the trainer; the branch goes by it.
    """

    def __init__(
        self,
        depth_net: nn.Module,
        pose_net: nn.Module | None,
        weights: dict[str, float],
        options: PhotometricOptions = PhotometricOptions(),
        dejavu: DejaVu | None = None,
        perceptual: PerceptualLoss | LiteDistance | None = None,
        text: TextSupervision | None = None,
    ) -> None:
        super().__init__()
        self.depth_net = depth_net
        self.pose_net = pose_net
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.options = options
        self.dejavu = dejavu
        self.perceptual = perceptual
        self.text = text
        self.epoch = math.inf
        self.warp, self.reprojection_loss = warp, reprojection_loss

    def forward(self, batch: FrameBatch) -> StepOutput:
        """One training step's loss. Raises ValueError where a temporal source meets no pose network."""
        # With its reconstruction in evaluation mode too: the pictures are looked at.
        output = self._predict(batch.target_aug, reconstruct=True)
        terms, view = self.video_terms(batch, output)
        regeneration = attention = None
        if self.dejavu is not None:
            regeneration = self.dejavu(batch.target, output.disparities[0], self.epoch)
            terms |= self._regeneration_terms(regeneration, batch.target, output.disparities[0])
        if isinstance(self.depth_net, SharedAttention):
            attention = Regeneration(output.extras["redacted"], output.extras["reconstruction"])
            terms |= self._image_terms("attention", attention.regenerated, batch.target_aug)
        losses = LossTerms(terms)
        return replace(
            view, loss=losses.total(self.weights), terms=losses, regeneration=regeneration, attention=attention
        )

    def video_terms(self, batch: FrameBatch, output: DepthOutput) -> tuple[dict[str, Tensor], StepOutput]:
        """Photometric loss and smoothness of a prediction, and a StepOutput of what there is to see of them.

        Raises ValueError where a temporal source meets no pose network.
        """
        source_from_target, learned = self.predict_motion(batch)
        with torch.autocast(batch.target.device.type, enabled=False):
            disparities = [output.disparities[scale].float() for scale in self.options.scales]
            depth = self._full_resolution_depth(disparities, batch.target.shape[-2:])
            camera = batch.intrinsics if learned is None else learned
            sources = beside_mask(batch.sources, batch.known.sources_counted)
            synthesized, seen = split_mask(self.warp(sources, depth, source_from_target, camera))
            photometric, active = self.reprojection_loss(
                batch.target,
                synthesized,
                batch.sources,
                automask=self.options.automask,
                average=self.options.average,
                no_ssim=self.options.no_ssim,
                seen=seen,
                weight=pixel_weights(batch.known.counted),
            )
            terms = {"photometric": photometric} | self._smoothness(disparities, batch.target)
            terms |= self._metric_terms(batch.known, source_from_target, depth)
        view = StepOutput(
            loss=photometric,
            terms=LossTerms(terms),
            disparity=output.disparities[0],
            synthesized=synthesized[:, :, :, 0],
            active=active[:, :1],
            source_from_target=source_from_target,
            intrinsics=learned,
        )
        return terms, view

    def diagnose_branch(self, images: Tensor) -> dict[str, float]:
        """What depth.dejavu.diagnosis finds on clean images (B,3,H,W) in [0,1]; empty without a branch."""
        if self.dejavu is None:
            return {}

        def loss(regenerated: Tensor) -> Tensor:
            terms = self._image_terms("regeneration", regenerated, images)
            return LossTerms(terms).total(self.weights) if terms else regenerated.new_zeros(())

        prediction = self.condition_of(images)
        with torch.autocast(images.device.type, enabled=False):  # as the branch is in training
            return diagnose(self.dejavu, images, prediction, self.epoch, loss)

    def compile_parts(self, backend: str | Callable = "inductor") -> None:
        """torch.compile, by one of its backends, for networks, warp and photometric loss; weights keep their names."""
        for network in (self.depth_net, self.pose_net, self.dejavu and self.dejavu.crm):
            if network is not None:
                network.compile(backend=backend)
        if self.options.learn_intrinsics:
            self.pose_net.pose_and_intrinsics = torch.compile(self.pose_net.pose_and_intrinsics, backend=backend)
        self.warp, self.reprojection_loss = (torch.compile(f, backend=backend) for f in (warp, reprojection_loss))

    def inference_networks(self) -> dict[str, dict[str, Tensor]]:
        """State dicts of what is used after training: "depth", and "pose" where there is one. Never DejaVu."""
        networks = {"depth": self.depth_net, "pose": self.pose_net}
        return {name: network.state_dict() for name, network in networks.items() if network is not None}

    def _predict(self, image: Tensor, reconstruct: bool) -> DepthOutput:
        if isinstance(self.depth_net, SharedAttention):
            return self.depth_net(image, reconstruct)
        return self.depth_net(image)

    def predict_motion(self, batch: FrameBatch) -> tuple[Tensor, Tensor | None]:
        """source_from_target (B,N,4,4), float32, and K (B,3,3) where it is learned, else None.

        All pairs go through the network in one pass and in time order, because a network that always sees
        the earlier frame first has one direction of motion to learn; for earlier sources it is inverted. The other
        camera's pose comes from the calibration. A sample's pairs share a camera, so its K is their mean. Poses that
        are known take the network's place. Raises ValueError where a temporal source meets no pose network.
        """
        if batch.known.source_from_target is not None:
            return batch.known.source_from_target, None
        temporal = [i for i, offset in enumerate(batch.offsets) if offset]
        poses: list[Tensor] = [batch.stereo_from_target] * len(batch.offsets)
        intrinsics = None
        if temporal:
            if self.pose_net is None:
                raise ValueError(f"sources at offsets {batch.offsets} need a pose network")
            pairs = [self._in_time_order(batch, i) for i in temporal]
            if self.options.learn_intrinsics:
                motion, camera = self.pose_net.pose_and_intrinsics(torch.cat(pairs))
            else:
                motion, camera = self.pose_net(torch.cat(pairs)), None
            with torch.autocast(batch.target.device.type, enabled=False):
                motion = motion.float()
                later_from_earlier = transform_from_axis_angle(motion[:, :3], motion[:, 3:]).chunk(len(temporal))
                for i, transform in zip(temporal, later_from_earlier, strict=True):
                    poses[i] = transform if batch.offsets[i] > 0 else invert_transform(transform)
                if camera is not None:
                    intrinsics = matrix_from_intrinsics(camera.float().view(len(pairs), -1, 4).mean(0))
        return torch.stack(poses, 1), intrinsics

    @staticmethod
    def _in_time_order(batch: FrameBatch, source: int) -> Tensor:
        pair = [batch.target_aug, batch.sources_aug[:, source]]
        return torch.cat(pair if batch.offsets[source] > 0 else pair[::-1], 1)

    def _full_resolution_depth(self, disparities: list[Tensor], size: torch.Size) -> Tensor:
        full = [d if d.shape[-2:] == size else F.interpolate(d, size, mode="bilinear") for d in disparities]
        return disparity_to_depth(torch.cat(full, 1), self.options.min_depth, self.options.max_depth)

    def _smoothness(self, disparities: list[Tensor], target: Tensor) -> dict[str, Tensor]:
        if "smoothness" not in self.weights:
            return {}
        terms = []
        for scale, disparity in zip(self.options.scales, disparities, strict=True):
            image = F.avg_pool2d(target, 2**scale) if scale else target
            terms.append(edge_aware_smoothness(disparity, image) / 2**scale)
        return {"smoothness": torch.stack(terms).mean()}

    def _metric_terms(self, known: Known, source_from_target: Tensor, depth: Tensor) -> dict[str, Tensor]:
        terms = {}
        if "speed" in self.weights:
            terms["speed"] = speed_error(source_from_target, known.travelled)
        if "sparse_depth" in self.weights:
            terms["sparse_depth"] = sparse_depth_error(depth, known.depth)
        return terms

    def _regeneration_terms(self, regeneration: Regeneration, target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        terms = self._image_terms("regeneration", regeneration.regenerated, target)
        if "cyclic" in self.weights:
            # In float32, since this network, too, passes a gradient on to the image: it is off by a fifth and more in
            # bfloat16.
            with untracked_norms(self.depth_net), torch.autocast(target.device.type, enabled=False):
                again = self.condition_of(regeneration.regenerated)
            terms["cyclic"] = cyclic_loss(again, prediction)
        if "text" in self.weights:
            terms["text"] = self.text(regeneration.regenerated, target)
        return terms

    def condition_of(self, image: Tensor) -> Tensor:
        """What the branch is given of images (B,3,H,W) in [0,1]: the finest disparity, (B,1,H,W)."""
        return self._predict(image, reconstruct=False).disparities[0]

    def _image_terms(self, name: str, regenerated: Tensor, target: Tensor) -> dict[str, Tensor]:
        terms = {}
        if f"{name}_mse" in self.weights:
            terms[f"{name}_mse"] = regeneration_mse(regenerated, target)
        if self.perceptual is not None and (term := f"{name}_{self.perceptual.term}") in self.weights:
            terms[term] = self.perceptual(regenerated, target)
        return terms

"""Config -> modules: the only file that knows both option names and classes."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn

from depth.dejavu.attention import SharedAttention
from depth.dejavu.branch import DejaVu
from depth.dejavu.crm import build_crm
from depth.dejavu.edits import build_edit, default_block
from depth.dejavu.text import TextSupervision, load_text_supervision
from depth.geometry import disparity_to_depth
from depth.losses.lite import LiteDistance
from depth.losses.perceptual import PerceptualLoss
from depth.networks import build_depth_net, set_initial_disparity
from depth.networks.encoder_weights import PRETRAINED
from depth.networks.encoders import build_encoder
from depth.networks.layers import fold_norms
from depth.networks.pose_net import PoseNet
from depth.objective import PhotometricOptions, SelfSupervisedObjective
from depth.options.config import STEREO_UNIT, Config


def build_objective(config: Config) -> SelfSupervisedObjective:
    """Networks, losses and, with --dejavu, the branch. `config` must be resolved.

    Raises UserError where pretrained weights cannot be had or an option does not fit.
    """
    network, loss = config.network, config.loss
    depth_net = build_depth_net(network.depth_net, network.depth_encoder, 1, network.encoder_weights)
    if network.initial_disparity is not None:
        set_initial_disparity(depth_net, network.initial_disparity)
    temporal = any(config.data.frame_ids) and config.data.poses == "network"
    pose_net = build_pose_net(config, network.pose_encoder_weights) if temporal else None
    weights = {"photometric": 1.0, "smoothness": loss.disparity_smoothness, "sparse_depth": loss.depth_supervision}
    weights |= {"speed": loss.speed_weight if loss.pose_scale == "speed" else 0.0} | branch_weights(config)
    # After the pose network: both then start from the same draws with and without attention.
    depth_net = with_attention(depth_net, config)
    if isinstance(depth_net, SharedAttention) and not any(weights[name] for name in weights if "attention" in name):
        # Several processes would wait for its gradient, which never comes.
        depth_net.reconstruct.requires_grad_(False)
    return SelfSupervisedObjective(
        depth_net,
        pose_net,
        weights,
        photometric_options(config),
        build_branch(config) if config.dejavu.dejavu else None,
        build_perceptual(config) if weighs_perceptual(weights) else None,
        build_text(config) if weights.get("text") else None,
    )


def photometric_options(config: Config) -> PhotometricOptions:
    """How depth from video is learnt."""
    network, loss = config.network, config.loss
    return PhotometricOptions(
        min_depth=network.min_depth,
        max_depth=network.max_depth,
        scales=network.scales,
        automask=not loss.disable_automasking,
        average=loss.avg_reprojection,
        no_ssim=loss.no_ssim,
        learn_intrinsics=config.data.learn_intrinsics,
    )


def build_pose_net(config: Config, encoder_weights: str) -> nn.Module:
    """The pose network, untrained."""
    network = config.network
    disparity = torch.tensor(network.initial_disparity or 0.5)  # without an option, a sigmoid's own start
    depth = disparity_to_depth(disparity, network.min_depth, network.max_depth).item()
    return PoseNet(
        network.pose_encoder,
        encoder_weights,
        learn_intrinsics=config.data.learn_intrinsics,
        unit=STEREO_UNIT if config.metres_from else 1.0,
        forward=network.initial_forward * depth,
    )


def with_attention(depth_net: nn.Module, config: Config) -> nn.Module:
    """The network with --dejavu_attention around it, where that is on."""
    return SharedAttention(depth_net, band=config.dejavu.edit_band) if config.dejavu.dejavu_attention else depth_net


def branch_weights(config: Config) -> dict[str, float]:
    """Term -> weight, of the branch and of the attention."""
    options = config.dejavu
    mse, perceptual = options.dejavu_weight * options.dejavu_mse, options.dejavu_weight * options.dejavu_lpips
    weights = {}
    if options.dejavu:
        weights = {"regeneration_mse": mse, f"regeneration_{options.perceptual}": perceptual}
        weights |= {"cyclic": options.dejavu_cyclic, "text": options.dejavu_text}
    if options.dejavu_attention:
        weights |= {"attention_mse": mse, f"attention_{options.perceptual}": perceptual}
    return weights


def build_branch(config: Config, channels: int = 1, normalise: bool = True) -> DejaVu:
    """The branch for a prediction of so many channels."""
    options = config.dejavu
    edit = build_edit(
        options.edit,
        keep=options.edit_keep,
        block=options.edit_block or default_block(config.data.width),
        drop=options.edit_drop,
        cutoff=options.edit_cutoff,
        band=options.edit_band,
    )
    crm = build_crm(options.crm, channels, edit.random)
    warmup, ramp = options.dejavu_warmup, options.dejavu_ramp
    return DejaVu(edit, crm, options.dejavu_condition, normalise, warmup, ramp)


def build_perceptual(config: Config) -> PerceptualLoss | LiteDistance:
    """LPIPS or the Lite distance, for the branch."""
    if config.dejavu.perceptual == "lpips":
        return PerceptualLoss(config.dejavu.lpips_net, config.dejavu.lpips_weights)
    with torch.random.fork_rng(devices=[]):  # as if nothing had been drawn for weights that are replaced
        return LiteDistance(fold_norms(build_encoder("timm/tf_efficientnet_lite0", weights=PRETRAINED)))


def weighs_perceptual(weights: dict[str, float]) -> bool:
    """Whether a term of `build_perceptual`'s has a weight."""
    return any(weight for term, weight in weights.items() if term.endswith((PerceptualLoss.term, LiteDistance.term)))


def build_text(config: Config) -> TextSupervision:
    """CLIP for the branch."""
    options = config.dejavu
    return load_text_supervision(options.text_model, options.text_weights, options.class_names)


def build_optimizer(
    config: Config, objective: nn.Module
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam, whose rates fall as lr_schedule says: to a tenth every scheduler_step_size epochs, or never (0); or poly.

    Parameters of one rate are one group, as in older checkpoints.
    """
    train, groups = config.train, {}
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad:
            rate = config.dejavu.crm_learning_rate if name.startswith("dejavu.crm.") else train.learning_rate
            groups.setdefault(rate, []).append(parameter)
    optimizer = torch.optim.Adam([{"params": each, "lr": rate} for rate, each in groups.items()], fused=True)
    if train.lr_schedule == "poly":
        return optimizer, _Poly(optimizer, train.num_epochs, power=0.9)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, train.scheduler_step_size or sys.maxsize, 0.1)


class _Poly(torch.optim.lr_scheduler.PolynomialLR):
    """Falls to 0 at its own last epoch, not at that of the run it goes on from, which would learn nothing more."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the place in the schedule, and its own rate there."""
        super().load_state_dict(state_dict | {"total_iters": self.total_iters})
        if state_dict["total_iters"] != self.total_iters:
            left = max(0.0, 1 - self.last_epoch / self.total_iters) ** self.power
            self._last_lr = [left * rate for rate in self.base_lrs]
            for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
                group["lr"] = rate

"""The photometric objective's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from depth.options.fields import check


@dataclass(frozen=True)
class LossOptions:
    """The photometric objective."""

    disparity_smoothness: float = 1e-3
    """Weight of the edge-aware smoothness; halved at each coarser scale."""
    disable_automasking: bool = False
    """Keeps, in the loss, the pixels that do not move from frame to frame."""
    avg_reprojection: bool = False
    """Averages the error over the sources instead of taking the minimum."""
    no_ssim: bool = False
    """Photometric error of L1 alone, without SSIM."""

    pose_scale: Literal["none", "speed"] = "none"
    """speed: the predicted motion is as long as the camera's way, by its poses or its speed (KITTI: oxts; a manifest:
    "pose", or "speed" and "time"), so that motions and depths are in metres (Guizilini et al., CVPR 2020)."""
    speed_weight: float = 0.05
    """Weight of that difference, metres, with --pose_scale speed."""
    depth_supervision: float = 0.0
    """Weight of |ln depth - ln truth| where training frames have ground truth (scans, a manifest's "depth"), so that
    depths are in metres; 0 takes none."""

    def __post_init__(self) -> None:
        for name in ("speed_weight", "depth_supervision"):
            check(getattr(self, name) >= 0, f"--{name} is 0 or more")
        check(self.disparity_smoothness >= 0, "--disparity_smoothness is 0 or more")

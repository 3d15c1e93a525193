"""The photometric objective's options."""

from __future__ import annotations

from dataclasses import dataclass

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

    def __post_init__(self) -> None:
        check(self.disparity_smoothness >= 0, "--disparity_smoothness is 0 or more")

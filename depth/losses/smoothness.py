"""Edge-aware smoothness of the disparity."""

from __future__ import annotations

from torch import Tensor


def edge_aware_smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """Mean of |d_x| exp(-|I_x|) + |d_y| exp(-|I_y|) on the disparity divided by its own mean.

    Dividing by the mean keeps the term from shrinking all disparities (Wang et al., CVPR 2018).

    Args:
        disparity: (B,1,H,W), positive.
        image: (B,3,H,W) in [0,1]; its gradients are averaged over colour.

    Returns:
        scalar.
    """
    normalised = disparity / (disparity.mean((2, 3), keepdim=True) + 1e-7)
    horizontal = normalised.diff(dim=3).abs() * (-image.diff(dim=3).abs().mean(1, keepdim=True)).exp()
    vertical = normalised.diff(dim=2).abs() * (-image.diff(dim=2).abs().mean(1, keepdim=True)).exp()
    return horizontal.mean() + vertical.mean()

"""The loss terms of the DejaVu family, unweighted."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def regeneration_mse(regenerated: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the regenerated against the clean image, (B,3,H,W) each -> scalar, float32.

    The other term of the regeneration loss is LPIPS: depth.losses.perceptual.PerceptualLoss.
    """
    return F.mse_loss(regenerated.float(), target.float())


def cyclic_loss(prediction_of_regenerated: Tensor, prediction: Tensor) -> Tensor:
    """DejaVu-CL: mean squared error of h(I_G) against h(I), equal shapes -> scalar, float32.

    The second prediction is a target: it is detached, or both could meet in a flat prediction.
    """
    return F.mse_loss(prediction_of_regenerated.float(), prediction.detach().float())


def text_loss(features_of_regenerated: Tensor, features: Tensor, names: Tensor | None = None) -> Tensor:
    """DejaVu-TS: mean squared error between image features, or between their similarities to class names.

    Args:
        features_of_regenerated: (B,D), image features of the regenerated image.
        features: (B,D), those of the clean image; detached.
        names: (K,D), text features of unit length. With them, the K cosines between image and names are
            compared instead of the features themselves.
    """
    pair = features_of_regenerated.float(), features.detach().float()
    if names is not None:
        pair = tuple(F.normalize(f, dim=1) @ names.float().T for f in pair)
    return F.mse_loss(*pair)

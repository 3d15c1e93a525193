"""From the loader's 8-bit batch to what networks and losses see: flip, turn and colour jitter on the device, batched.

Nothing here waits for the device: which samples are jittered is known on the host, where the draws were made.
"""

from __future__ import annotations

import torch
from torch import Tensor

from datasets.core.frames import NO_JITTER
from datasets.core.known import mirror_known
from datasets.core.labels import mirror_labels
from datasets.core.turning import turn
from depth.types import FrameBatch, RawBatch

# Rec. 601 luma as torchvision rounds it.
_GREY = (0.2989, 0.587, 0.114)


def prepare(raw: RawBatch, device: torch.device | str) -> FrameBatch:
    """Moves a batch to the device, mirrors and turns what is to be, and jitters the copies that the networks see.

    A mirrored sample has its frames mirrored, cx -> W - 1 - cx (pixel centres at integers), and its stereo transform
    conjugated with diag(-1,1,1,1), so that geometry in the mirrored world is as consistent as before, and its labels
    mirrored with it; what a turn does see `turn`. A sample's frames share their jitter. Where no sample has jitter,
    target_aug and sources_aug are target and sources.

    Args:
        raw: a batch on the host (on the device it works as well, but waits for it once).
        device: of the result.

    Returns:
        The batch in float32, images in [0,1].
    """
    moved = raw.to(device, non_blocking=True)
    frames, intrinsics, stereo = mirror(moved.frames, moved.intrinsics, moved.stereo_from_target, moved.flip)
    frames = frames.float().mul_(1 / 255)
    known = mirror_known(moved.known, moved.flip)
    if moved.pitch is not None:
        frames, stereo, known = turn(frames, intrinsics, stereo, known, moved.pitch)
    shown = _jittered(frames, raw.jitter, moved.jitter)
    return FrameBatch(
        target=frames[:, 0],
        sources=frames[:, 1:],
        target_aug=shown[:, 0],
        sources_aug=shown[:, 1:],
        intrinsics=intrinsics,
        stereo_from_target=stereo,
        offsets=raw.offsets,
        names=raw.names,
        labels=None if moved.labels is None else mirror_labels(moved.labels, moved.flip),
        known=known,
    )


def _jittered(frames: Tensor, on_host: Tensor, jitter: Tensor) -> Tensor:
    """Frames (B,F,3,H,W) with their samples' jitter (B,4), given twice, on the host as well; themselves without any."""
    chosen = (on_host != on_host.new_tensor(NO_JITTER)).any(dim=1).nonzero()[:, 0]
    if not len(chosen):
        return frames
    chosen = chosen.to(frames.device, non_blocking=True)
    augmented = frames.clone()
    augmented[chosen] = colour_jitter(frames[chosen], jitter[chosen])
    return augmented


def mirror(
    frames: Tensor, intrinsics: Tensor, stereo_from_target: Tensor, flip: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirrors samples: frames (B,F,3,H,W), intrinsics (B,3,3), stereo_from_target (B,4,4), flip bool (B,)."""
    width = frames.shape[-1]
    frames = torch.where(flip[:, None, None, None, None], frames.flip(-1), frames)
    # K' = M K diag(-1,1,1) with M: u -> W-1-u keeps fx positive: points are mirrored in x as pixels are.
    mirrored = intrinsics.clone()
    mirrored[:, 0, 1] = -intrinsics[:, 0, 1]
    mirrored[:, 0, 2] = (width - 1) - intrinsics[:, 0, 2]
    sign = torch.ones(4, device=frames.device)
    sign[:1] = -1  # sign[0] would be a copy from the host, which a GPU waits for
    conjugated = stereo_from_target * sign[:, None] * sign[None, :]
    chosen = flip[:, None, None]
    return frames, torch.where(chosen, mirrored, intrinsics), torch.where(chosen, conjugated, stereo_from_target)


def colour_jitter(images: Tensor, jitter: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue, in this fixed order, as torchvision's functional adjust_* define them.

    Args:
        images: float32 (B,F,3,H,W) in [0,1]; contrast refers to the mean of each image of its own.
        jitter: float32 (B,4), three factors and the hue shift in turns.

    Returns:
        A new tensor like `images`.
    """
    brightness, contrast, saturation, hue = jitter[:, :, None, None, None, None].unbind(1)
    images = (images * brightness).clamp_(0, 1)
    mean = _grey(images).mean(dim=(-2, -1), keepdim=True)
    images = torch.lerp(mean, images, contrast).clamp_(0, 1)
    images = torch.lerp(_grey(images), images, saturation).clamp_(0, 1)
    return _shift_hue(images, hue)


def _grey(images: Tensor) -> Tensor:
    """(B,F,3,H,W) -> luma (B,F,1,H,W)."""
    red, green, blue = images.unbind(2)
    return (red * _GREY[0]).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2]).unsqueeze(2)


def _shift_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turns the hue of (B,F,3,H,W) in HSV, keeping value and chroma; shift (B,1,1,1,1) in turns.

    With value V, chroma C and hue h in sixths of a turn, a channel is V - C clamp(min(k, 4 - k), 0, 1) with
    k = (n + h) mod 6 and n = 5, 3, 1 for red, green, blue (the closed form of HSV to RGB). It is written here as
    (V - 2C) + C clamp(|k - 2|, 1, 2), which takes fewer passes over memory.
    """
    red, green, blue = images.unbind(2)
    value, chroma = images.amax(2), images.amin(2)
    torch.sub(value, chroma, out=chroma)
    # Where the chroma is 0 the differences are 0 too: any finite factor will do.
    inverse = chroma.clamp_min(1e-20).reciprocal_()
    hue = torch.where(value == green, (blue - red).mul_(inverse).add_(2), (red - green).mul_(inverse).add_(4))
    hue = torch.where(value == red, (green - blue).mul_(inverse), hue)
    hue += 6 * shift[:, :, 0]
    base = value.sub_(chroma, alpha=2)
    result = torch.empty_like(images)
    for channel, start in enumerate((5, 3, 1)):
        distance = (hue + start).remainder_(6).sub_(2).abs_().clamp_(1, 2)
        torch.addcmul(base, chroma, distance, out=result[:, :, channel])
    return result

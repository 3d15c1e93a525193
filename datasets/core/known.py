"""What is known of a sample beside its images: read with it, brought to the network's size, batched, mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from datasets.core.truth import GroundTruth
from depth.types import DepthPixels, Known, UserError


@dataclass(frozen=True)
class Wanted:
    """What a training asks of a source beside images; masks are taken wherever there are any."""

    poses: bool = False  # --poses from_file
    travelled: bool = False  # --pose_scale speed
    depth: GroundTruth | None = None  # --depth_supervision


@dataclass(frozen=True)
class SampleKnown:
    """One sample of a Known; see its fields there."""

    counted: np.ndarray | None = None  # bool (1+N,H,W), the target first
    source_from_target: np.ndarray | None = None  # float32 (N,4,4)
    travelled: np.ndarray | None = None  # float32 (N,)
    depth: np.ndarray | None = None  # float32 (H,W)


def read_known(
    source: FrameSource, ref: FrameRef, offsets: Sequence[int], height: int, width: int, wanted: Wanted
) -> SampleKnown:
    """What a source knows of a target and its sources at `offsets`, at (height, width).

    A pixel counts where all pixels do that it is made of. Where one of the frames has a mask and another has none, all
    pixels of that one count. Raises UserError for files that cannot be used, and for a
    pose that is wanted and not there.
    """
    frames = (ref, *(ref.neighbour(offset) for offset in offsets))
    masks = [_mask_at_size(source.counted(each), height, width) for each in frames]
    counted = None
    if any(mask is not None for mask in masks):
        counted = np.stack([np.ones((height, width), bool) if mask is None else mask for mask in masks])
    depth = travelled = None
    if wanted.travelled:
        travelled = np.array([_travelled(source, ref, offset) for offset in offsets], np.float32)
    if wanted.depth is not None:
        known = wanted.depth.has(ref)
        depth = at_size(wanted.depth(ref), height, width) if known else np.zeros((height, width), np.float32)
    poses = np.stack([_motion(source, ref, offset) for offset in offsets]) if wanted.poses else None
    return SampleKnown(counted, poses, travelled, depth)


def check_known(source: FrameSource, refs: Sequence[FrameRef], offsets: Sequence[int], wanted: Wanted) -> None:
    """Looks, before hours of training, for poses and ways at each sequence's first frame, and for any depth.

    Raises UserError for what is not there.
    """
    firsts = {ref.folder: ref for ref in reversed(refs)}.values()
    temporal = [offset for offset in offsets if offset]
    if wanted.poses:
        for ref in firsts:
            for offset in temporal:
                _motion(source, ref, offset)
    if wanted.travelled and all(np.isnan(_travelled(source, ref, offset)) for ref in firsts for offset in temporal):
        raise UserError(
            f"--pose_scale speed: {source.root} has neither poses nor speeds of its frames (KITTI: oxts; a manifest: "
            '"pose", or "speed" and "time")'
        )
    if wanted.depth is not None and not any(map(wanted.depth.has, refs)):
        raise UserError(
            f"--depth_supervision: {source.root} has no depth of any training frame (KITTI: velodyne_points; a "
            'manifest: "depth")'
        )


def _mask_at_size(counted: np.ndarray | None, height: int, width: int) -> np.ndarray | None:
    if counted is None:
        return None
    return cv2.resize(counted.view(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA) == 255


def at_size(pixels: DepthPixels, height: int, width: int) -> np.ndarray:
    """Sparse depth on another grid: float32 (height,width), the nearest that falls into a pixel, 0 without one."""
    depth = np.full((height, width), np.inf, np.float32)
    places = pixels.rows * height // pixels.shape[0], pixels.columns * width // pixels.shape[1]
    np.minimum.at(depth, places, pixels.depth)
    return np.where(np.isfinite(depth), depth, np.float32(0))


def _motion(source: FrameSource, ref: FrameRef, offset: int) -> np.ndarray:
    """source_from_target, float32 (4,4), metres. Raises UserError where a pose is missing."""
    if offset == 0:
        return source.stereo_from(ref).astype(np.float32)
    poses = [source.world_from_camera(each) for each in (ref, ref.neighbour(offset))]
    if any(pose is None for pose in poses):
        lacking = ref if poses[0] is None else ref.neighbour(offset)
        raise UserError(f"--poses from_file: {source.root} has no pose of frame {lacking.name}")
    return (np.linalg.inv(poses[1]) @ poses[0]).astype(np.float32)


def _travelled(source: FrameSource, ref: FrameRef, offset: int) -> float:
    found = source.travelled(ref, offset) if offset else None
    return np.nan if found is None else found


def stack_known(samples: Sequence[SampleKnown]) -> Known:
    """Samples as a batch. Where one has a mask and another has none, all pixels of that one count."""
    masks = [sample.counted for sample in samples]
    size = next((mask.shape for mask in masks if mask is not None), None)
    filled = None if size is None else [np.ones(size, bool) if mask is None else mask for mask in masks]
    counted, depth = _stacked(filled), _stacked([sample.depth for sample in samples])
    return Known(
        counted=None if counted is None else counted[:, :1],
        sources_counted=None if counted is None or counted.shape[1] == 1 else counted[:, 1:],
        source_from_target=_stacked([sample.source_from_target for sample in samples]),
        travelled=_stacked([sample.travelled for sample in samples]),
        depth=None if depth is None else depth[:, None],
    )


def _stacked(values: Sequence[np.ndarray | None] | None) -> Tensor | None:
    return None if values is None or values[0] is None else torch.from_numpy(np.stack(values))


def mirror_known(known: Known, flip: Tensor) -> Known:
    """Mirrors what is known of the samples where `flip`, bool (B,), is True; a distance stays."""
    chosen = flip[:, None, None, None]
    maps = (known.counted, known.sources_counted, known.depth)
    counted, of_sources, depth = (None if each is None else torch.where(chosen, each.flip(-1), each) for each in maps)
    motion = known.source_from_target
    if motion is not None:
        sign = torch.ones(4, device=motion.device)
        sign[:1] = -1
        motion = torch.where(chosen, motion * sign[:, None] * sign, motion)
    return Known(counted, of_sources, motion, known.travelled, depth)

"""Where the camera went: motions between a clip's frames, and the trajectory as KITTI's and TUM's files have it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depth.geometry import invert_transform, transform_from_axis_angle
from depth.prediction.api import DepthModel
from depth.prediction.metric_scale import Scale
from depth.support.files import write_file

NAMES = {"kitti": "trajectory_kitti.txt", "tum": "trajectory_tum.txt"}


class Tracker:
    """Motions from frame to frame of clips that come in batches, which may span clips.

    Args:
        model: with a pose network.
    """

    def __init__(self, model: DepthModel) -> None:
        self.device = model.device
        self.pose_net = model.trained.pose_net.to(model.device)
        self._last: tuple[Any, Tensor] | None = None  # clip and frame

    def motions(self, images: Tensor, clips: Sequence[Any]) -> list[np.ndarray]:
        """before_from_this of each frame, float64 (4,4), the network's unit; the identity for a clip's first frame.

        Args:
            images: uint8 (B,3,h,w) at the networks' size, in order.
            clips: the clip of each, by identity.
        """
        clip, last = self._last or (None, images[0])
        before, owners = torch.cat([last[None], images[:-1]]), [clip, *clips[:-1]]
        pairs = torch.cat([before, images], 1).to(self.device).float() / 255
        with torch.inference_mode():
            motion = self.pose_net(pairs).cpu().double()  # Apple's GPUs have no float64
            found = invert_transform(transform_from_axis_angle(motion[:, :3], motion[:, 3:])).numpy()
        self._last = (clips[-1], images[-1])
        same = [mine is other for mine, other in zip(clips, owners, strict=True)]
        return [each if follows else np.eye(4) for each, follows in zip(found, same, strict=True)]


def trajectory_of(motions: Sequence[np.ndarray], scale: float) -> np.ndarray:
    """first_from_frame, float64 (N,4,4), of motions before_from_this whose first is the identity."""
    poses = [np.eye(4)]
    for motion in motions[1:]:
        step = motion.copy()
        step[:3, 3] *= scale
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def write_trajectory(folder: Path, motions: Sequence[np.ndarray], scale: Scale, fps: float) -> dict[str, Any]:
    """Writes both files into a folder; returns what the sidecar says of them. Raises UserError."""
    poses = trajectory_of(motions, scale.factor)
    kitti = "".join(" ".join(f"{value:.9e}" for value in pose[:3].ravel()) + "\n" for pose in poses)
    rows = (
        f"{number / fps:.6f} " + " ".join(f"{value:.9f}" for value in (*pose[:3, 3], *quaternion(pose[:3, :3])))
        for number, pose in enumerate(poses)
    )
    write_file(folder / NAMES["kitti"], kitti.encode(), flush=False)
    write_file(folder / NAMES["tum"], ("# time tx ty tz qx qy qz qw\n" + "\n".join(rows) + "\n").encode(), flush=False)
    return {
        NAMES["kitti"]: "first_from_frame, 12 numbers a frame; x right, y down, z forward",
        NAMES["tum"]: f"the same as time (frame / {fps:g}), position and quaternion",
        "unit": scale.unit,
        "scale_from": scale.origin,
    }


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """qx, qy, qz, qw, the last not below 0, of a rotation (3,3): the eigenvector of Bar-Itzhack's matrix."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    matrix = np.array(
        [[a - e - i, b + d, c + g, h - f], [b + d, e - a - i, f + h, c - g], [c + g, f + h, i - a - e, d - b],
         [h - f, c - g, d - b, a + e + i]]
    )  # fmt: skip
    found = np.linalg.eigh(matrix / 3)[1][:, -1]
    return found if found[3] >= 0 else -found

"""Errors of trajectories: the 5-frame ATE of published tables, and ATE and RPE over whole sequences.

A trajectory is (N,4,4) float64, `first_from_frame`: the camera's pose in each frame, in the first frame's axes. A
motion is (4,4), `earlier_from_later`, the pose of a frame in the axes of the frame before it; N frames have N - 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Alignment = Literal["none", "scale", "7dof"]
ALIGNMENTS: tuple[Alignment, ...] = ("none", "scale", "7dof")
SNIPPET = 5  # frames


@dataclass(frozen=True)
class Similarity:
    """p -> scale rotation p + translation; the translation in metres."""

    scale: float = 1.0
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))  # (3,3)
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))  # (3,)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(N,3) -> (N,3)."""
        return self.scale * points @ self.rotation.T + self.translation


@dataclass(frozen=True)
class TrajectoryErrors:
    """One sequence's errors; lengths in metres, or in the model's unit where nothing is aligned."""

    frames: int
    snippets: int
    ate5: float  # mean over the snippets, as published
    ate5_std: float  # standard deviation over the snippets
    ate5_rmse: float  # the same without the published code's quirks
    ate: Mapping[Alignment, float]  # root mean square over the frames
    rpe: Mapping[Alignment, float]  # root mean square over the motions
    rpe_degrees: float  # root mean square over the motions; no alignment changes it
    scale: Mapping[Alignment, float]  # metres per unit of the prediction


def motions_of(trajectory: np.ndarray) -> np.ndarray:
    """Motions (N-1,4,4) of a trajectory (N,4,4)."""
    return np.linalg.inv(trajectory[:-1]) @ trajectory[1:]


def chain(motions: np.ndarray) -> np.ndarray:
    """Trajectory (N,4,4) from motions (N-1,4,4): the product of the first k motions is the pose of frame k."""
    poses = [np.eye(4)]
    for motion in motions:
        poses.append(poses[-1] @ motion)
    return np.stack(poses)


def snippet_errors(truth: np.ndarray, predicted: np.ndarray, length: int = SNIPPET, quirks: bool = True) -> np.ndarray:
    """ATE of each snippet of `length` frames, every frame being the start of one: (S,) metres.

    In a snippet, both first positions are 0, and the prediction is multiplied by s = sum(g.p) / sum(p.p), which
    minimises the error (Zhou et al., CVPR 2017).

    Args:
        truth, predicted: motions (N-1,4,4).
        quirks: as published numbers have it, with the code of Zhou et al. and of Monodepth2: the error is
            sqrt(sum |s p - g|^2) / n over n positions, not sqrt(sum / n); the last snippets are shorter, down to two
            frames; and the positions are those of the chained inverse motions. Without: root mean square over the
            camera's positions in whole snippets.
    """
    if quirks:
        truth, predicted = np.linalg.inv(truth), np.linalg.inv(predicted)
    starts = range(len(truth) if quirks else len(truth) - length + 2)
    errors = []
    for start in starts:
        part = slice(start, start + length - 1)
        expected, found = chain(truth[part])[:, :3, 3], chain(predicted[part])[:, :3, 3]
        squares = np.square(_least_squares_scale(expected, found) * found - expected).sum()
        errors.append(np.sqrt(squares) / len(found) if quirks else np.sqrt(squares / len(found)))
    return np.array(errors)


def _least_squares_scale(expected: np.ndarray, found: np.ndarray) -> float:
    """The s that minimises |s found - expected|; 1 where nothing has moved and any would do."""
    square = np.square(found).sum()
    return float((expected * found).sum() / square) if square else 1.0


def umeyama(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity that takes points (N,3) to points (N,3) with the least squared error (Umeyama, PAMI 1991)."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred, wanted = source - source_mean, target - target_mean
    u, singular, v = np.linalg.svd(wanted.T @ centred / len(source))
    # The smallest axis is turned round where the best orthogonal map would be a reflection.
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u * sign @ v
    variance = np.square(centred).sum() / len(source)
    scale = float((singular * sign).sum() / variance) if variance else 1.0
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def alignment(truth: np.ndarray, predicted: np.ndarray, how: Alignment) -> Similarity:
    """What takes the predicted positions (N,3) to the true ones; both begin at the origin.

    `none` leaves them; `scale` is one factor for the sequence; `7dof` is Umeyama's similarity.
    """
    if how == "none":
        return Similarity()
    return Similarity(_least_squares_scale(truth, predicted)) if how == "scale" else umeyama(predicted, truth)


def absolute_error(truth: np.ndarray, aligned: np.ndarray) -> float:
    """ATE: root mean square distance of positions (N,3), metres (Sturm et al., IROS 2012)."""
    return float(np.sqrt(np.square(aligned - truth).sum(-1).mean()))


def relative_error(truth: np.ndarray, predicted: np.ndarray, scale: float) -> tuple[float, float]:
    """RPE from frame to frame: root mean squares of translation, metres, and rotation, degrees (Sturm et al.).

    Args:
        truth, predicted: motions (N-1,4,4).
        scale: of the predicted translations; a rotation and a shift of the trajectory change no motion.
    """
    scaled = predicted.copy()
    scaled[:, :3, 3] *= scale
    error = np.linalg.inv(truth) @ scaled
    distance = np.square(error[:, :3, 3]).sum(-1).mean()
    # The sine from the skew part, the cosine from the trace: arccos alone loses half the digits of small angles.
    skew = error[:, [2, 0, 1], [1, 2, 0]] - error[:, [1, 2, 0], [2, 0, 1]]
    angle = np.arctan2(np.linalg.norm(skew, axis=-1), np.trace(error[:, :3, :3], axis1=1, axis2=2) - 1)
    return float(np.sqrt(distance)), float(np.degrees(np.sqrt(np.square(angle).mean())))


def evaluate_trajectory(truth: np.ndarray, predicted: np.ndarray) -> TrajectoryErrors:
    """All errors of a predicted trajectory (N,4,4) against the true one, N at least 2.

    Raises ValueError where the shapes differ or there is nothing to compare.
    """
    if truth.shape != predicted.shape or truth.shape[1:] != (4, 4) or len(truth) < 2:
        raise ValueError(f"trajectories {truth.shape} and {predicted.shape} are not two of the same frames")
    positions, found = truth[:, :3, 3], predicted[:, :3, 3]
    motions, guesses = motions_of(truth), motions_of(predicted)
    fits = {how: alignment(positions, found, how) for how in ALIGNMENTS}
    relative = {how: relative_error(motions, guesses, fit.scale) for how, fit in fits.items()}
    snippets = snippet_errors(motions, guesses)
    whole = snippet_errors(motions, guesses, min(SNIPPET, len(truth)), quirks=False)
    return TrajectoryErrors(
        frames=len(truth),
        snippets=len(snippets),
        ate5=float(snippets.mean()),
        ate5_std=float(snippets.std()),
        ate5_rmse=float(whole.mean()),
        ate={how: absolute_error(positions, fit(found)) for how, fit in fits.items()},
        rpe={how: translation for how, (translation, _) in relative.items()},
        rpe_degrees=relative["none"][1],
        scale={how: fit.scale for how, fit in fits.items()},
    )

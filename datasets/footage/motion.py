"""How much a camera moves between frames, and which frames of a clip a depth network can learn from.

Depth shows only as parallax. So what counts is not the image's motion but what is left of it when the best camera
rotation is taken away: that is small while the camera stands, and while it turns on the spot. All figures are
medians over textured pixels and shares of the image's width, measured on a grey copy SMALL_WIDTH pixels wide with
OpenCV's DIS flow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

SMALL_WIDTH = 160  # pixels
# Least parallax between kept neighbours, 2.6 pixels at 640. Measured: noise of 2/255 on a standing camera gives
# 0.0001, a turn of 2.4 degrees 0.0006 to 0.0024 (the focal length is guessed), a KITTI drive at 10 Hz 0.008 to 0.027.
MIN_PARALLAX = 0.004
# A turn leaves up to 5 % of its flow behind where the guessed focal length is wrong by half; twice that is parallax.
MIN_PARALLAX_SHARE = 0.1
# Beyond this neighbours are too far apart to learn from, and the flow is not to be trusted.
MAX_FLOW = 0.15
# A turn beyond this is measured from a new frame on: at this size DIS loses track at a flow of 0.1.
_MAX_TURN = 0.05
# A gap that is longer breaks the clip: light and traffic have changed meanwhile.
MAX_GAP_SECONDS = 1.0
MAX_GAP_FRAMES = 10  # where the frame rate is not known

# A cut is a lone peak of the mean difference between neighbours, on copies so small that motion hardly counts.
# Measured on a KITTI drive: 0.03 to 0.07 between neighbours, 0.13 to 0.29 between frames far apart.
_CUT_WIDTH = 20  # pixels
_CUT_DIFFERENCE = 0.08
_CUT_RATIO = 2.0

_GUESSED_FOCAL = 0.87  # of the width: 60 degrees
_TEXTURE = 16.0  # least Sobel gradient, grey levels; flow in flat regions is filled in, not seen
_REWEIGHTINGS = 4


@dataclass(frozen=True)
class Motion:
    """Between two frames, in shares of the width."""

    flow: float  # median length of the optical flow
    parallax: float  # the same after the best rotation has been taken away


class Place(Enum):
    """What becomes of a frame."""

    FIRST = "first"  # kept; begins a segment: the clip's first frame, or the first after a cut
    AGAIN = "again"  # kept; begins a segment after standing, turning on the spot, or losing sight of the last one
    NEXT = "next"  # kept; follows the last kept frame
    DROPPED = "dropped"


def small_grey(image: np.ndarray) -> np.ndarray:
    """uint8 (H,W) or (H,W,3) -> uint8 (h,SMALL_WIDTH), area-averaged."""
    height, width = image.shape[:2]
    size = (SMALL_WIDTH, max(16, round(height * SMALL_WIDTH / width)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


def measure_motion(first: np.ndarray, second: np.ndarray) -> Motion:
    """Motion between two small grey frames, uint8 (h,w).

    The rotation is fitted to the flow, robustly (reweighted least squares), in the small-angle model of
    Longuet-Higgins and Prazdny (1980) with a focal length of 0.87 widths.
    """
    flow = _dis().calc(first, second, None) / first.shape[1]
    gradient = cv2.magnitude(cv2.Sobel(first, cv2.CV_32F, 1, 0), cv2.Sobel(first, cv2.CV_32F, 0, 1))
    textured = gradient > _TEXTURE
    if textured.sum() < 0.01 * textured.size:
        return Motion(0.0, 0.0)
    v, u = np.nonzero(textured)
    seen = flow[textured]
    height, width = first.shape
    x = (u - (width - 1) / 2) / (_GUESSED_FOCAL * width)
    y = (v - (height - 1) / 2) / (_GUESSED_FOCAL * width)
    rest = _without_rotation(x, y, seen / _GUESSED_FOCAL) * _GUESSED_FOCAL
    return Motion(float(np.median(np.hypot(*seen.T))), float(np.median(rest)))


def _without_rotation(x: np.ndarray, y: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Length (n,) of what the best rotation leaves of flow (n,2) at the points x, y; all at focal length 1."""
    horizontal = np.stack([x * y, -(1 + x * x), y], 1)
    vertical = np.stack([1 + y * y, -x * y, -x], 1)
    model, wanted = np.concatenate([horizontal, vertical]), np.concatenate([flow[:, 0], flow[:, 1]])
    weight = np.ones(len(wanted))
    for _ in range(_REWEIGHTINGS):
        weighted = model * weight[:, None]
        rotation = np.linalg.solve(weighted.T @ weighted + 1e-12 * np.eye(3), weighted.T @ (wanted * weight))
        rest = np.hypot(*(wanted - model @ rotation).reshape(2, -1))
        weight = np.tile(1 / np.sqrt(rest + 1e-3), 2)
    return rest


def moves(motion: Motion) -> bool:
    """Whether there is parallax enough to learn depth from."""
    return motion.parallax >= max(MIN_PARALLAX, MIN_PARALLAX_SHARE * motion.flow)


def pick(greys: Iterable[np.ndarray], fps: float | None, keep_still: bool = False) -> Iterator[Place]:
    """What becomes of each frame of a clip, in order; a frame's answer comes when the next one has been read.

    A frame is kept when there is parallax between it and the last kept one; so standing and turning on the spot
    fall out, and high frame rates are thinned.

    Args:
        greys: small grey frames, see `small_grey`.
        fps: frames a second, None where not known.
        keep_still: only looks for cuts and keeps every frame.
    """
    longest = MAX_GAP_FRAMES if fps is None else max(1, round(MAX_GAP_SECONDS * fps))
    anchor, since, lost = None, 0, False
    for grey, cut in _with_cuts(greys):
        if anchor is None or cut:
            anchor, since, lost = grey, 0, False
            yield Place.FIRST
            continue
        if keep_still:
            yield Place.NEXT
            continue
        motion = measure_motion(anchor, grey)
        since += 1
        if moves(motion) and motion.flow <= MAX_FLOW:
            yield Place.AGAIN if lost else Place.NEXT
            anchor, since, lost = grey, 0, False
            continue
        if since >= longest or motion.flow > _MAX_TURN:
            anchor, since, lost = grey, 0, True
        yield Place.DROPPED


def _with_cuts(greys: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Each frame, and whether a cut lies before it: its difference is large beside those of its neighbours."""
    last: np.ndarray | None = None
    tiny, before, difference = None, 0.0, 0.0
    for grey in greys:
        height = max(4, round(grey.shape[0] * _CUT_WIDTH / grey.shape[1]))
        next_tiny = cv2.resize(grey, (_CUT_WIDTH, height), interpolation=cv2.INTER_AREA)
        if last is not None:
            after = float(cv2.absdiff(tiny, next_tiny).mean()) / 255
            yield last, difference > max(_CUT_DIFFERENCE, _CUT_RATIO * max(before, after))
            before, difference = difference, after
        last, tiny = grey, next_tiny
    if last is not None:
        yield last, difference > max(_CUT_DIFFERENCE, _CUT_RATIO * before)


def share_still(places: list[Place], fps: float | None) -> float:
    """The share of a clip's frames that fell out as standing or turning; the rest that is dropped was thinned."""
    longest = MAX_GAP_FRAMES if fps is None else max(1, round(MAX_GAP_SECONDS * fps))
    still, run = 0, 0
    for place in [*places, Place.FIRST]:
        if place is Place.DROPPED:
            run += 1
            continue
        if place is Place.AGAIN or run >= longest:
            still += run
        run = 0
    return still / max(1, len(places))


def _dis() -> cv2.DISOpticalFlow:
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow.setFinestScale(0)
    return flow


def frames_apart(fps: float | None) -> int:
    """The distance in frames at which motion is sampled: a tenth of a second, KITTI's frame distance."""
    return 1 if fps is None or not math.isfinite(fps) else max(1, round(fps / 10))

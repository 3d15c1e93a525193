"""What predict.py leaves on the disk: per frame a 16-bit PNG, a .npy, a picture and a point cloud; per clip a video
and a sidecar that says what the numbers mean.

Everything is written aside and renamed, without waiting for the disk: a lost prediction is soon made again.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from depth.prediction.api import METRES, UP_TO_SCALE, Prediction
from depth.prediction.pointcloud import point_cloud
from depth.support.files import make_folder, write_file
from depth.support.quiet import quiet_opencv
from depth.types import UserError

# Stored value = depth * scale; 0 is "no depth". Metres: KITTI's convention, up to 256 m. Networks without a unit put
# most depths between 0.1 and 3, where 256 would leave steps of some percent: 4096 goes up to 16.
PNG_SCALE = {METRES: 256, UP_TO_SCALE: 4096}
VIDEO_CODEC = "mp4v"  # MPEG-4 part 2: the one that every build of OpenCV encodes
_MAX_VIDEO_WIDTH = 3840
_JPEG_QUALITY = 95
_JPEG_SIDE = 65_500  # libjpeg's limit; the format's own is 65,535
COLOUR_MAPS = {
    "magma": cv2.COLORMAP_MAGMA,
    "inferno": cv2.COLORMAP_INFERNO,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "turbo": cv2.COLORMAP_TURBO,
    "grey": None,
}


@dataclass(frozen=True)
class Colouring:
    """A colour map over inverse depth, fixed for a clip."""

    name: str  # one of COLOUR_MAPS
    near: float  # depth at the bright end
    far: float  # depth at the dark end

    def paint(self, inverse_depth: np.ndarray) -> np.ndarray:
        """(H,W) 1 / unit -> uint8 (H,W,3) BGR."""
        low, high = 1 / self.far, 1 / self.near
        levels = (255 * ((inverse_depth - low) / (high - low)).clip(0, 1)).astype(np.uint8)
        chosen = COLOUR_MAPS[self.name]
        return cv2.cvtColor(levels, cv2.COLOR_GRAY2BGR) if chosen is None else cv2.applyColorMap(levels, chosen)


def colouring_of(inverse_depths: Sequence[np.ndarray], name: str) -> Colouring:
    """Colours from the 2nd to the 98th percentile of some frames' inverse depths (h,w)."""
    low, high = np.quantile(np.concatenate([each.ravel() for each in inverse_depths]), (0.02, 0.98))
    # A flat prediction must not divide by zero.
    return Colouring(name, near=float(1 / max(high, low * 1.001)), far=float(1 / low))


@dataclass(frozen=True)
class FrameFiles:
    """Which files a frame gets, and where.

    `stem` plus _depth.png, _depth.npy, _colour.jpg and .ply are the names.
    """

    folder: Path
    kinds: frozenset[str]  # of "png", "npy", "colour", "ply"
    colouring: Colouring
    ply_max_depth: float | None

    def write(
        self, stem: str, picture: np.ndarray, prediction: Prediction, intrinsics: np.ndarray | None
    ) -> np.ndarray:
        """Writes one frame's files.

        Args:
            stem: of the files' names; may lie in folders, which are made.
            picture: uint8 (H,W,3) RGB.
            prediction: its depth.
            intrinsics: K, (3,3), pixels at H x W; needed for "ply".

        Returns:
            The colour picture, uint8 (H,W,3) BGR.

        Raises:
            UserError: a file cannot be written; or the picture is too large for JPEG, before any file is.
        """
        painted = self.colouring.paint(prediction.inverse_depth)
        height, width = painted.shape[:2]
        if "colour" in self.kinds and max(height, width) > _JPEG_SIDE:
            what = f"{stem}: a colour picture of {width}x{height} is beyond JPEG's {_JPEG_SIDE:,} pixels a side"
            raise UserError(f"{what}; --write png npy does without")
        make_folder((self.folder / stem).parent)
        if "png" in self.kinds:
            write_file(
                self.folder / f"{stem}_depth.png", depth_png(prediction.depth, PNG_SCALE[prediction.unit]), flush=False
            )
        if "npy" in self.kinds:
            write_file(self.folder / f"{stem}_depth.npy", _npy(prediction.depth), flush=False)
        if "colour" in self.kinds:
            jpeg = cv2.imencode(".jpg", painted, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))[1]
            write_file(self.folder / f"{stem}_colour.jpg", jpeg.data, flush=False)
        if "ply" in self.kinds and intrinsics is not None:
            cloud = point_cloud(prediction.depth, picture, intrinsics, self.ply_max_depth)
            write_file(self.folder / f"{stem}.ply", cloud.to_ply(), flush=False)
        return painted

    def describe(self, unit: str) -> dict[str, Any]:
        """What the files hold, for the sidecar."""
        near, far, scale = self.colouring.near, self.colouring.far, PNG_SCALE[unit]
        colours = f"{self.colouring.name} over inverse depth, bright at depth {near:.6g}, dark at {far:.6g} ({unit})"
        texts = {
            "png": (
                "*_depth.png",
                f"16-bit grey PNG: depth = value / {scale}; 0 is none, 65535 is {65535 / scale:.6g} or more",
            ),
            "npy": ("*_depth.npy", "NumPy float32 (H,W): depth"),
            "colour": ("*_colour.jpg", colours),
            "ply": ("*.ply", "points x right, y down, z forward, in the depth's unit, with the image's colours"),
        }
        return {name: text for kind, (name, text) in texts.items() if kind in self.kinds}


def depth_png(depth: np.ndarray, scale: float) -> bytes:
    """(H,W) -> a 16-bit PNG with depth * scale, from 1, as 0 would say "none", to 65535."""
    values = np.clip(np.round(depth * scale), 1, 65535).astype(np.uint16)
    return cv2.imencode(".png", values)[1].tobytes()


def _npy(depth: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, depth.astype("<f4"), allow_pickle=False)
    return buffer.getvalue()


def write_sidecar(path: Path, facts: dict[str, Any]) -> None:
    """JSON with a line per entry. Raises UserError where it cannot be written."""
    write_file(path, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode(), flush=False)


def frame_record(name: str, source: Path | None, picture: np.ndarray, intrinsics: np.ndarray | None) -> dict[str, Any]:
    """A frame's entry in the sidecar: its file, its size and, where they are known, its intrinsics, in pixels."""
    record: dict[str, Any] = {"name": name} | ({} if source is None else {"source": str(source)})
    record |= {"width": picture.shape[1], "height": picture.shape[0]}
    if intrinsics is not None:
        places = {"fx": (0, 0), "fy": (1, 1), "cx": (0, 2), "cy": (1, 2)}
        record |= {key: round(float(intrinsics[place]), 4) for key, place in places.items()}
    return record


class SideBySide:
    """An mp4 of images with their painted depth on the right; a frame of another size is fitted to the first one's.

    Args:
        path: the file; it appears under its name when `finish` is called; `close` ends the matter either way.
        fps: frames a second.
        pixel_aspect: width of the images' pixels by their height; those of the video are square.
    """

    def __init__(self, path: Path, fps: float, pixel_aspect: float = 1.0) -> None:
        self.path, self.fps, self.pixel_aspect = path, fps, pixel_aspect
        # Absolute, since FFmpeg takes what stands before a colon for a protocol, as in http:.
        self.aside = path.absolute().with_name(f".{os.getpid()}.{path.name}")
        self.writer: cv2.VideoWriter | None = None
        self.size = (0, 0)  # width, height of one half, pixels
        self.frames = 0

    def add(self, picture: np.ndarray, painted: np.ndarray) -> None:
        """Appends uint8 (H,W,3) RGB and (H,W,3) BGR. Raises UserError where the video cannot be written."""
        if self.writer is None:
            self.writer = self._open(picture.shape[1], picture.shape[0])
        halves = (cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), painted)
        with quiet_opencv():
            self.writer.write(np.concatenate([cv2.resize(half, self.size) for half in halves], 1))
        self.frames += 1

    def finish(self) -> None:
        """Ends the file, reads it back and gives it its name. Raises UserError where it is not whole."""
        if self.writer is None:
            return
        with quiet_opencv():
            self.writer.release()
            found = _frames_of(self.aside)
        # OpenCV's writer does not tell of a full disk.
        if found != self.frames:
            what = f"{self.path} cannot be written: {found} of {self.frames} frames can be read back"
            raise UserError(f"{what}. Is the disk full? --video no does without")
        try:
            os.replace(self.aside, self.path)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Removes what has not been finished."""
        if self.writer is not None:
            with quiet_opencv():
                self.writer.release()
            self.aside.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        width = round(width * self.pixel_aspect)
        shrink = min(1.0, _MAX_VIDEO_WIDTH / (2 * width))
        # The codec wants even sides.
        self.size = max(2, int(width * shrink) // 2 * 2), max(2, int(height * shrink) // 2 * 2)
        make_folder(self.path.parent)
        code = cv2.VideoWriter.fourcc(*VIDEO_CODEC)
        with quiet_opencv():
            writer = cv2.VideoWriter(str(self.aside), code, self.fps, (2 * self.size[0], self.size[1]))
        if not writer.isOpened():
            raise UserError(f"{self.path} cannot be written as a video (codec {VIDEO_CODEC}); --video no does without")
        return writer


def _frames_of(video: Path) -> int:
    """How many frames a video's header counts; 0 where it cannot be opened or not even the first can be decoded."""
    capture = cv2.VideoCapture(str(video))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() and capture.read()[0] else 0
    finally:
        capture.release()

"""Clips of a textured wall for tests: driven towards, stood before, turned away from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 320, 192
FOCAL = 0.87 * WIDTH


def wall(seed: int = 0) -> np.ndarray:
    """A texture with detail of several sizes, uint8 (HEIGHT,WIDTH,3)."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.uniform(0, 255, (HEIGHT // s, WIDTH // s, 3)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        for s in (4, 12, 40)
    ]
    return np.clip(np.mean(layers, 0) * 2 - 127, 0, 255).astype(np.uint8)


def drive(count: int, zoom: float = 1.04, seed: int = 0) -> list[np.ndarray]:
    """Frames of a wall that comes nearer by `zoom` a frame: parallax, no rotation."""
    return [_warp(wall(seed), np.diag([zoom**i, zoom**i, 1.0])) for i in range(count)]


def stand(count: int, seed: int = 0) -> list[np.ndarray]:
    """Frames of a standing camera, with a sensor's noise."""
    rng = np.random.default_rng(1)
    return [np.clip(wall(seed) + rng.normal(0, 2, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8) for _ in range(count)]


def turn(count: int, seed: int = 0, step: float = 0.02) -> list[np.ndarray]:
    """Frames of a camera that turns on the spot by `step` radians a frame: flow, no parallax."""
    focal = np.diag([FOCAL, FOCAL, 1.0])
    rotations = [cv2.Rodrigues(np.array([0, step * i, 0.0]))[0] for i in range(count)]
    return [_warp(wall(seed), focal @ rotation @ np.linalg.inv(focal)) for rotation in rotations]


def _warp(image: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """`homography` acts on pixels counted from the centre."""
    centre = np.array([[1, 0, (WIDTH - 1) / 2], [0, 1, (HEIGHT - 1) / 2], [0, 0, 1]])
    matrix = centre @ homography @ np.linalg.inv(centre)
    return cv2.warpPerspective(image, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def write_video(path: Path, frames: list[np.ndarray], fps: float = 10.0) -> Path:
    """An MPEG-4 video of RGB frames."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def write_images(folder: Path, frames: list[np.ndarray]) -> Path:
    """A folder of frame1.png, frame2.png, ..., frame10.png: not in order as text."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        (folder / f"frame{number}.png").write_bytes(cv2.imencode(".png", frame[..., ::-1])[1].tobytes())
    return folder


def with_pixel_aspect(video: Path, width: int, height: int, turned: bool = False) -> Path:
    """Writes into an mp4 that its pixels are width:height, as `ffmpeg -vf setsar=width/height` does.

    A box "pasp" of 16 bytes is added to the description of the frames, and all boxes around it become as much longer.
    `turned`: the frames are to be shown after a quarter turn, as a phone that is held upright stores them.
    """
    content = bytearray(video.read_bytes())
    entry = content.index(b"mp4v", content.index(b"stsd")) - 4
    end = entry + int.from_bytes(content[entry : entry + 4], "big")
    content[end:end] = (16).to_bytes(4, "big") + b"pasp" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4v"):
        at = content.index(name, content.index(b"moov")) - 4
        content[at : at + 4] = (int.from_bytes(content[at : at + 4], "big") + 16).to_bytes(4, "big")
    if turned:
        matrix = content.index(b"tkhd") + 4 + 40  # a 3x3 matrix in 16.16 and 2.30, in columns
        turn = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
        content[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in turn)
    video.write_bytes(content)
    return video

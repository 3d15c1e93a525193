"""Small manifests for tests: sequences of noise, with depth, masks and poses where asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 24
CAMERA = {"fx": 20.0, "fy": 20.0, "cx": 19.5, "cy": 11.5, "width": WIDTH, "height": HEIGHT}
HEADER = {"manifest": 1, "cameras": {"front": CAMERA}}


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def frames(folder: Path, count: int = 6, sequence: str = "street") -> list[dict]:
    """Lines for frames whose images, depth (16-bit PNG, 10 m on the left, none on the right) and poses are there."""
    depth = np.zeros((HEIGHT, WIDTH), np.uint16)
    depth[:, : WIDTH // 2] = 10 * 256
    lines = []
    for number in range(count):
        stem = f"{sequence}/{number:03d}"
        (folder / sequence).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(folder / f"{stem}.png")
        Image.fromarray(depth).save(folder / f"{stem}_depth.png")
        pose = np.eye(4)
        pose[2, 3] = 0.5 * number
        lines.append(
            {"image": f"{stem}.png", "sequence": sequence, "order": number, "camera": "front", "pose": pose.tolist()}
            | {"depth": {"path": f"{stem}_depth.png", "scale": 256}}
        )
    return lines


def write(path: Path, lines: list[dict], header: dict = HEADER) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *lines)))
    return path

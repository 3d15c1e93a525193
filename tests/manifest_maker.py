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


CLASSES = {"road": 7, "car": {"id": 26, "thing": True, "colour": [0, 0, 142]}}
LABELLED_HEADER = HEADER | {"classes": CLASSES, "void": [0]}


def labelled(folder: Path, lines: list[dict]) -> list[dict]:
    """The lines with labels: a road on the left, a car on the right, of which the upper half is a crowd; void in row 0.

    All of it looks up, and normals stand in a PNG of 8 bits.
    """
    semantics = np.full((HEIGHT, WIDTH), 7, np.uint8)
    semantics[:, WIDTH // 2 :] = 26
    semantics[0] = 0
    instances = semantics.astype(np.uint16)
    instances[HEIGHT // 2 :, WIDTH // 2 :] = 26_001
    normals = np.full((HEIGHT, WIDTH, 3), (128, 0, 128), np.uint8)
    for name, array in {"classes": semantics, "things": instances, "normals": normals}.items():
        Image.fromarray(array).save(folder / f"{name}.png")
    files = {"semantics": "classes.png", "instances": {"path": "things.png", "from": 1000}, "normals": "normals.png"}
    return [line | {"labels": files} for line in lines]

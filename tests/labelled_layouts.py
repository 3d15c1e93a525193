"""Labelled sets in miniature, in the layouts that their readers expect; images are 16 columns by 12 rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 12, 16


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def halves(left: int, right: int, dtype: type = np.uint8) -> np.ndarray:
    """(H,W): one value on the left half, another on the right."""
    ids = np.full((HEIGHT, WIDTH), left, dtype)
    ids[:, WIDTH // 2 :] = right
    return ids


def write_camvid(root: Path) -> Path:
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        for k in range(count):
            save(root / part / f"{k:04d}.png", picture(k))
            save(root / f"{part}annot" / f"{k:04d}.png", halves(8, 11))
    return root


def write_cityscapes(root: Path) -> Path:
    for part, city in (("train", "aachen"), ("train", "bochum"), ("val", "lindau")):
        stem = f"{part}/{city}/{city}_000000_000019"
        save(root / "leftImg8bit" / f"{stem}_leftImg8bit.png", picture())
        save(root / "gtFine" / f"{stem}_gtFine_labelIds.png", halves(7, 26))
        instances = halves(7, 26001, np.uint16)
        instances[:2, WIDTH // 2 :] = 26  # a crowd of cars
        save(root / "gtFine" / f"{stem}_gtFine_instanceIds.png", instances)
        save(root / "disparity" / f"{stem}_disparity.png", halves(0, 2561, np.uint16))
        camera = root / "camera" / f"{stem}_camera.json"
        camera.parent.mkdir(parents=True, exist_ok=True)
        camera.write_text(json.dumps({"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 2200.0}}))
    return root


def write_kitti_semantics(root: Path) -> Path:
    for k in range(6):
        name = f"{k:06d}_10.png"
        save(root / "training" / "image_2" / name, picture(k))
        save(root / "training" / "semantic" / name, halves(7, 26))
        save(root / "training" / "instance" / name, halves(7 << 8, (26 << 8) + 1, np.uint16))
    return root


def write_virtual_kitti(root: Path) -> Path:
    for scene in ("Scene01", "scene02", "Scene06"):
        for frame in range(2):
            base = root / scene / "clone" / "frames"
            save(base / "rgb" / "Camera_0" / f"rgb_{frame:05d}.jpg", picture(frame))
            colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            colours[:, :8], colours[:, 8:12] = (90, 200, 255), (255, 127, 80)  # sky, car, undefined
            save(base / "classSegmentation" / "Camera_0" / f"classgt_{frame:05d}.png", colours)
            save(base / "instanceSegmentation" / "Camera_0" / f"instancegt_{frame:05d}.png", halves(0, 3))
            save(base / "depth" / "Camera_0" / f"depth_{frame:05d}.png", halves(65535, 1250, np.uint16))
    return root


def write_nyud(root: Path, release: str = "npy") -> Path:
    (root / "gt_sets").mkdir(parents=True)
    for part, names in (("train", ["1", "2"]), ("val", ["3"])):
        (root / "gt_sets" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            save(root / "images" / f"{name}.{'jpg' if release == 'npy' else 'png'}", picture())
            save(root / "segmentation" / f"{name}.png", halves(0, 40))
            save(root / "depth" / f"{name}.npy", halves(0, 2, np.float32))
            normals = np.zeros((HEIGHT, WIDTH, 3), np.float32)
            normals[:, 8:, 2] = -1
            stored = np.rint((normals + 1) * 127.5).astype(np.uint8)
            save(root / "normals" / f"{name}.{release}", normals if release == "npy" else stored)
    return root


def write_ade20k(root: Path) -> Path:
    """Left half other, right half the last class, the flag."""
    for folder, count in (("training", 2), ("validation", 1)):
        for k in range(count):
            stem = f"ADE_{folder}_{k:08d}"
            save(root / "images" / folder / f"{stem}.jpg", picture(k))
            save(root / "annotations" / folder / f"{stem}.png", halves(0, 150))
    rows = [f"{k}\t0.1\t9\t1\tname {k}, other name" for k in range(1, 151)]
    (root / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]) + "\n")
    return root


COCO_CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1, "color": [220, 20, 60], "supercategory": "person"},
    {"id": 200, "name": "rug-merged", "isthing": 0, "color": [250, 141, 255], "supercategory": "furniture-stuff"},
]


def write_coco_panoptic(root: Path) -> Path:
    """Left half rug, its first column void, right half a person; above there is a crowd of persons."""
    numbers = halves(70000, 66051, np.int32)
    numbers[:, 0], numbers[:2, WIDTH // 2 :] = 0, 7
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1).astype(np.uint8)
    segments = [(70000, 200, 0), (66051, 1, 0), (7, 1, 1)]
    info = [{"id": n, "category_id": c, "iscrowd": crowd, "bbox": [0, 0, 1, 1], "area": 1} for n, c, crowd in segments]
    for part, count in (("train", 2), ("val", 1)):
        names = [f"{k:012d}" for k in range(count)]
        for name in names:
            save(root / f"{part}2017" / f"{name}.jpg", picture())
            save(root / "annotations" / f"panoptic_{part}2017" / f"{name}.png", colours)
        annotations = [{"image_id": k, "file_name": f"{n}.png", "segments_info": info} for k, n in enumerate(names)]
        content = {"annotations": annotations, "categories": COCO_CATEGORIES, "images": [], "info": {}}
        (root / "annotations" / f"panoptic_{part}2017.json").write_text(json.dumps(content))
    return root

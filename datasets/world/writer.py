"""Writes drives as KITTI raw folders, plus exact depth, poses and, on demand, labels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from datasets.world.layout import DriveWorld, build_drive
from datasets.world.oxts import record
from datasets.world.rig import VELO_FROM_IMU, Rig
from datasets.world.sensors import View, expose, flat_surfaces, normals, scan
from datasets.world.spec import DATE, SPLITS, Drive, WorldSpec
from datasets.world.street import FRAME_SECONDS
from datasets.world.surfaces import Scene

_DEPTH_STEPS = 256.0  # KITTI's depth PNG: 1/256 m
_DEPTH_LIMIT = 255.0  # metres; what is farther does not fit and counts as unknown
_NORMAL_SCALE = 32767.0  # of the 16-bit normal PNG: value = (n + 1) * scale


def write_calibration(root: Path, spec: WorldSpec) -> None:
    """Writes the date folder's three calibration files. Raises OSError."""
    folder = root / DATE
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in Rig(spec.height, spec.width).calibration_files().items():
        (folder / name).write_text(text)


def write_drive(root: Path, spec: WorldSpec, drive: Drive) -> None:
    """Writes one drive below root / DATE; its bytes depend on the spec and the drive alone. Raises OSError."""
    rng = np.random.default_rng([spec.seed, SPLITS.index(drive.split), drive.index])
    world = build_drive(rng, drive.index, spec.frames_per_drive)
    folder = root / DATE / drive.name
    rig = Rig(spec.height, spec.width)
    times = [frame * FRAME_SECONDS for frame in range(spec.frames_per_drive)]
    for frame, time in enumerate(times):
        _write_frame(folder, rig, world, frame, time, spec.labels)
    stamps = "".join(f"2000-01-01 12:00:{time:012.9f}\n" for time in times)
    for name in ("image_02", "image_03", "oxts", "velodyne_points"):
        (folder / name / "timestamps.txt").write_text(stamps)
    for part in ("start", "end"):
        (folder / f"velodyne_points/timestamps_{part}.txt").write_text(stamps)
    cameras = [_world_from_camera(rig, world, 2, time) for time in times]
    rows = [(np.linalg.inv(cameras[0]) @ camera)[:3].ravel() for camera in cameras]
    (folder / "poses.txt").write_text("".join(" ".join(f"{v:.17g}" for v in row) + "\n" for row in rows))


def _world_from_camera(rig: Rig, world: DriveWorld, camera: int, time: float) -> np.ndarray:
    return world.ride.world_from_imu(time) @ np.linalg.inv(rig.camera_from_imu(camera))


def _write_frame(folder: Path, rig: Rig, world: DriveWorld, frame: int, time: float, labels: bool) -> None:
    scene = world.scene(time)
    name = f"{frame:010d}"
    for camera in (2, 3):
        pose = _world_from_camera(rig, world, camera, time)
        view = expose(world, scene, rig, pose)
        _png(folder / f"image_{camera:02d}/data/{name}.png", view.image[..., ::-1])
        depth = np.rint(np.where(view.depth < _DEPTH_LIMIT, view.depth, 0) * _DEPTH_STEPS).astype(np.uint16)
        _png(folder / f"proj_depth/groundtruth/image_{camera:02d}/{name}.png", depth)
        if labels and camera == 2:
            _write_labels(folder / "semantics", name, view, scene, world, pose)
    points = scan(world, scene, world.ride.world_from_imu(time) @ np.linalg.inv(VELO_FROM_IMU))
    _bytes(folder / f"velodyne_points/data/{name}.bin", points.tobytes())
    _bytes(folder / f"oxts/data/{name}.txt", record(world.ride, time).encode())


def _write_labels(
    folder: Path, name: str, view: View, scene: Scene, world: DriveWorld, world_from_camera: np.ndarray
) -> None:
    """Class ids (8 bit), things, normals (R, G, B = x, y, z in camera axes), flat-surface ids (16 bit each)."""
    _png(folder / f"class_02/{name}.png", view.kinds)
    _png(folder / f"instance_02/{name}.png", scene.things[view.surface])
    normal = normals(view, scene, world, world_from_camera)
    coded = np.rint((normal + 1) * _NORMAL_SCALE).astype(np.uint16)
    coded[view.surface == 0] = 0
    _png(folder / f"normal_02/{name}.png", coded[..., ::-1])
    _png(folder / f"surface_02/{name}.png", flat_surfaces(view, scene))


def _png(path: Path, image: np.ndarray) -> None:
    # Level 1: twice as fast as the default, a tenth larger.
    _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    _bytes(path, data.tobytes())


def _bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)

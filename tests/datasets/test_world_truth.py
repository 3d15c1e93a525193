"""The embedded world's truth: depth, poses, K, scans and labels agree with each other and with the pictures."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from datasets.world.making import WorldSpec, ensure_world
from datasets.world.surfaces import Class

DATE = "2000_01_01"
FULL_SIZE = WorldSpec(train_drives=3, val_drives=1, test_drives=1, frames_per_drive=3, labels=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return ensure_world(tmp_path_factory.mktemp("world"), FULL_SIZE)


@pytest.fixture(scope="module")
def drives(world) -> list[Path]:
    return sorted((world / DATE).glob("*_sync"))


def read_calibration(path: Path) -> dict[str, np.ndarray]:
    pairs = (line.split(":", 1) for line in path.read_text().splitlines())
    return {key: np.array(value.split(), float) for key, value in pairs if key != "calib_time"}


def rigid(values: dict[str, np.ndarray]) -> np.ndarray:
    return np.vstack([np.hstack([values["R"].reshape(3, 3), values["T"].reshape(3, 1)]), [0, 0, 0, 1]])


def projection(world: Path, camera: int) -> np.ndarray:
    return read_calibration(world / DATE / "calib_cam_to_cam.txt")[f"P_rect_{camera:02d}"].reshape(3, 4)


def camera_from_velo(world: Path, camera: int) -> np.ndarray:
    calibration = read_calibration(world / DATE / "calib_cam_to_cam.txt")
    rectify = np.eye(4)
    rectify[:3, :3] = calibration["R_rect_00"].reshape(3, 3)
    shift = np.eye(4)
    p = projection(world, camera)
    shift[:3, 3] = np.linalg.solve(p[:, :3], p[:, 3])
    return shift @ rectify @ rigid(read_calibration(world / DATE / "calib_velo_to_cam.txt"))


def poses(drive: Path) -> np.ndarray:
    rows = np.loadtxt(drive / "poses.txt").reshape(-1, 3, 4)
    return np.concatenate([rows, np.tile([[[0, 0, 0, 1.0]]], (len(rows), 1, 1))], 1)


def read(drive: Path, kind: str, frame: int) -> np.ndarray:
    image = cv2.imread(str(drive / kind / f"{frame:010d}.png"), cv2.IMREAD_UNCHANGED)
    return image[..., ::-1].copy() if image.ndim == 3 else image


def warp(source: np.ndarray, depth: np.ndarray, source_from_target: np.ndarray, k: np.ndarray):
    """Source sampled where the target's points fall, their (u, v) and z there; float64 until the sampling."""
    height, width = depth.shape
    v, u = np.mgrid[:height, :width]
    points = np.linalg.inv(k) @ np.stack([u, v, np.ones_like(u)]).reshape(3, -1) * depth.ravel()
    points = source_from_target[:3, :3] @ points + source_from_target[:3, 3:]
    z = np.maximum(points[2], 1e-3)
    u, v = (k @ points)[:2] / z
    grid = np.stack([2 * u / (width - 1) - 1, 2 * v / (height - 1) - 1], -1).reshape(1, height, width, 2)
    image = torch.from_numpy(source / 255.0).permute(2, 0, 1)[None]
    out = torch.nn.functional.grid_sample(image, torch.from_numpy(grid), padding_mode="border", align_corners=True)
    return out[0].permute(1, 2, 0).numpy(), u.reshape(depth.shape), v.reshape(depth.shape), z.reshape(depth.shape)


def warp_error(drive: Path, target: int, source: tuple[int, int], source_from_target: np.ndarray, k: np.ndarray):
    """Mean absolute error of the warp and of no warp, over static pixels visible in both; and their share."""
    frame, camera = source
    image, other = (read(drive, f"image_{c:02d}/data", f) / 1.0 for c, f in ((2, target), (camera, frame)))
    depth, other_depth = (
        read(drive, f"proj_depth/groundtruth/image_{c:02d}", f) / 256.0 for c, f in ((2, target), (camera, frame))
    )
    out, u, v, z = warp(other, depth, source_from_target, k)
    height, width = depth.shape
    inside = (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1) & (depth > 0)
    column, row = (np.clip(np.rint(x), 0, n - 1).astype(int) for x, n in ((u, width), (v, height)))
    same = np.abs(other_depth[row, column] - z) < 0.03 * z
    moving = read(drive, "semantics/class_02", target) == Class.MOVING_CAR
    if camera == 2:
        moving = moving | (read(drive, "semantics/class_02", frame) == Class.MOVING_CAR)[row, column]
    seen = inside & same & ~moving
    error = np.abs(out - image / 255).mean(-1)
    unwarped = np.abs(other - image).mean(-1) / 255
    return error[seen].mean(), unwarped[seen].mean(), seen.mean()


@pytest.mark.parametrize("source", [0, 2])
def test_true_depth_and_pose_reproduce_the_target(world, drives, source):
    k = projection(world, 2)[:, :3]
    for drive in drives:
        world_from = poses(drive)
        source_from_target = np.linalg.inv(world_from[source]) @ world_from[1]
        error, unwarped, share = warp_error(drive, 1, (source, 2), source_from_target, k)
        assert error < 0.02, drive.name
        assert share > 0.25, drive.name
        assert unwarped > 2.5 * error, "the test must be able to see a wrong warp"
        wrong, _, _ = warp_error(drive, 1, (source, 2), np.linalg.inv(source_from_target), k)
        assert wrong > 2 * error, "the pose's sign must matter"


def test_right_camera_is_54_cm_to_the_right(world, drives):
    left, right = projection(world, 2), projection(world, 3)
    right_from_left = np.eye(4)
    right_from_left[:3, 3] = np.linalg.solve(left[:, :3], right[:, 3] - left[:, 3])
    np.testing.assert_allclose(right_from_left[:3, 3], [-0.54, 0, 0], atol=1e-9)
    for drive in drives:
        error, unwarped, _ = warp_error(drive, 1, (1, 3), right_from_left, left[:, :3])
        assert error < 0.015 < unwarped, drive.name


def test_scan_agrees_with_the_dense_depth(world, drives):
    k, camera = projection(world, 2)[:, :3], camera_from_velo(world, 2)
    for drive in drives:
        depth = read(drive, "proj_depth/groundtruth/image_02", 1) / 256.0
        scan = np.fromfile(drive / "velodyne_points/data/0000000001.bin", np.float32).reshape(-1, 4).astype(float)
        assert 0 <= scan[:, 3].min() and scan[:, 3].max() <= 1
        assert np.abs(np.arctan2(scan[:, 1], scan[:, 0])).max() > 3, "all the way round"
        points = camera[:3, :3] @ scan[:, :3].T + camera[:3, 3:]
        points = points[:, points[2] > 0.5]
        u, v = np.rint((k @ points)[:2] / points[2]).astype(int)
        inside = (u >= 2) & (u < depth.shape[1] - 2) & (v >= 2) & (v < depth.shape[0] - 2)
        u, v, z = u[inside], v[inside], points[2, inside]
        # Compared where the surface is smooth around the pixel: the scanner looks past edges the camera sees.
        around = np.stack([depth[v + dv, u + du] for dv in (-1, 0, 1) for du in (-1, 0, 1)])
        smooth = (around.min(0) > 0) & (around.max(0) < 1.08 * around.min(0))
        # A point lies up to half a pixel off the pixel's centre, so its depth lies among the neighbours'.
        fits = (z > 0.99 * around.min(0)) & (z < 1.01 * around.max(0))
        assert smooth.sum() > 1000
        assert fits[smooth].mean() > 0.98, drive.name


def test_oxts_give_the_camera_poses(world, drives):
    camera_from_imu = camera_from_velo(world, 2) @ rigid(read_calibration(world / DATE / "calib_imu_to_velo.txt"))
    for drive in drives:
        records = np.array([np.loadtxt(f) for f in sorted((drive / "oxts/data").glob("*.txt"))])
        assert records.shape == (3, 30)
        scale = np.cos(np.radians(records[0, 0]))
        found = []
        for latitude, longitude, altitude, roll, pitch, yaw in records[:, :6]:
            east = scale * 6378137 * np.radians(longitude)
            north = scale * 6378137 * np.log(np.tan(np.pi / 4 + np.radians(latitude) / 2))
            c, s = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
            rx = np.array([[1, 0, 0], [0, c[0], -s[0]], [0, s[0], c[0]]])
            ry = np.array([[c[1], 0, s[1]], [0, 1, 0], [-s[1], 0, c[1]]])
            rz = np.array([[c[2], -s[2], 0], [s[2], c[2], 0], [0, 0, 1]])
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = rz @ ry @ rx, [east, north, altitude]
            found.append(pose @ np.linalg.inv(camera_from_imu))
        relative = np.linalg.inv(found[0]) @ np.array(found)
        np.testing.assert_allclose(relative, poses(drive), atol=1e-5)
        moved = np.linalg.norm(np.diff(relative[:, :3, 3], axis=0), axis=1)
        assert ((moved > 0.4) & (moved < 1.4)).all()
        np.testing.assert_allclose(np.hypot(*records[1, 6:8]) * 0.1, moved.mean(), rtol=0.1)


def test_labels_agree_with_the_depth(world, drives):
    k = projection(world, 2)[:, :3]
    kinds = set()
    for drive in drives:
        depth = read(drive, "proj_depth/groundtruth/image_02", 1) / 256.0
        kind = read(drive, "semantics/class_02", 1)
        surface = read(drive, "semantics/surface_02", 1)
        normal = read(drive, "semantics/normal_02", 1) / 32767.0 - 1
        kinds |= set(np.unique(kind))
        v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
        rays = np.linalg.inv(k) @ np.stack([u, v, np.ones_like(u)]).reshape(3, -1)
        points = (rays * depth.ravel()).T.reshape(*depth.shape, 3)
        assert (kind[depth == 0] == Class.SKY).all()
        np.testing.assert_allclose(np.linalg.norm(normal[kind > 0], axis=-1), 1, atol=1e-3)
        assert ((normal * points).sum(-1)[kind > 0] < 1e-3).all(), "normals face the camera"
        for surface_id in np.unique(surface[surface > 0]):
            mask = surface == surface_id
            near = mask & (depth < 30)
            if near.sum() < 50:
                continue
            design = np.stack([u[near], v[near], np.ones(near.sum())], 1)
            inverse = 1 / depth[near]
            residual = design @ np.linalg.lstsq(design, inverse, rcond=None)[0] - inverse
            # The PNG's steps of 1/256 m are what is left.
            assert (np.abs(residual) * depth[near] ** 2).max() < 0.01, "a flat surface is affine in inverse depth"
            offsets = (points[near] * normal[near]).sum(-1)
            assert np.ptp(offsets) < 0.02, "all its points lie in the plane of its normal"
    assert {Class.SKY, Class.ROAD, Class.SIDEWALK, Class.BUILDING, Class.CAR} <= kinds


def test_kitti_layout(world, drives):
    assert len(drives) == 5
    for drive in drives:
        for camera in ("image_02", "image_03"):
            assert read(drive, f"{camera}/data", 0).shape == (128, 416, 3)
            assert read(drive, f"proj_depth/groundtruth/{camera}", 0).dtype == np.uint16
            assert len(list((drive / camera / "data").iterdir())) == 3
        for folder in ("image_02", "image_03", "oxts", "velodyne_points"):
            stamps = (drive / folder / "timestamps.txt").read_text().splitlines()
            assert stamps == [f"2000-01-01 12:00:00.{i}00000000" for i in range(3)]
    assert json.loads((world / "world.json").read_text())["dataset"] == "synthetic"
    first = (world / "splits/train.txt").read_text().splitlines()
    assert first == FULL_SIZE.split("train") == [f"{DATE}/{DATE}_drive_{n:04d}_sync lr 1-1" for n in (1, 2, 3)]
    means = [read(d, "proj_depth/groundtruth/image_02", 0).mean() for d in drives]
    assert len({round(m) for m in means}) == 5, "every drive has a street of its own"

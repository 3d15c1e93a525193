"""The embedded world: layout, truth (depth, poses, K, scans, labels agree), repeatability, cache."""

import errno
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from datasets.world import making as synthetic
from datasets.world.bounds import camera_windows, scanner_windows
from datasets.world.caster import camera_grid, cast, scanner_grid
from datasets.world.layout import build_drive
from datasets.world.making import WorldSpec, ensure_world
from datasets.world.rig import Rig
from datasets.world.street import Street
from datasets.world.surfaces import KERB, ROAD, SIDEWALK, Class, Material, Quadric, Surfaces, build_scene
from datasets.world.textures import noise, stripes
from depth.types import UserError

DATE = "2000_01_01"
TINY = WorldSpec(height=32, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=3)
FULL_SIZE = WorldSpec(train_drives=3, val_drives=1, test_drives=1, frames_per_drive=3, labels=True)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return ensure_world(tmp_path_factory.mktemp("world"), FULL_SIZE, progress=False)


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


def test_shipped_split_files_are_the_default_world():
    for name in ("train", "val", "test"):
        lines = (ROOT / "splits/synthetic" / f"{name}.txt").read_text().splitlines()
        assert lines == WorldSpec().split(name)
    folders = [{line.split()[0] for line in WorldSpec().split(name)} for name in ("train", "val", "test")]
    assert not folders[0] & folders[1] and not folders[0] & folders[2] and not folders[1] & folders[2]


def digest(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_bytes_here_and_in_processes(tmp_path, monkeypatch):
    here = ensure_world(tmp_path / "a", TINY, progress=False)
    monkeypatch.setattr(synthetic, "_SMALL", 0)
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 2)
    elsewhere = ensure_world(tmp_path / "b", TINY, progress=False)
    assert digest(here) == digest(elsewhere)
    assert here.name == elsewhere.name != WorldSpec(height=32, width=96, seed=1).folder_name()


def test_cache_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("DEJAVU_CACHE", str(tmp_path))
    folder = ensure_world(spec=TINY, progress=False)
    assert folder.parent == tmp_path
    monkeypatch.setattr(synthetic, "write_drive", None)
    assert ensure_world(spec=TINY, progress=False) == folder


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_interrupted_or_full_leaves_nothing(tmp_path, monkeypatch, stop):
    def fail(*_):
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "write_drive", fail)
        with pytest.raises(KeyboardInterrupt if stop is KeyboardInterrupt else UserError) as caught:
            ensure_world(tmp_path, TINY, progress=False)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert (ensure_world(tmp_path, TINY, progress=False) / "world.json").is_file()


def test_a_faster_writer_wins(tmp_path, monkeypatch):
    original = synthetic.write_drive

    def write_while_another_finishes(folder, spec, drive):
        monkeypatch.setattr(synthetic, "write_drive", original)
        ensure_world(tmp_path, spec, progress=False)
        original(folder, spec, drive)

    monkeypatch.setattr(synthetic, "write_drive", write_while_another_finishes)
    folder = ensure_world(tmp_path, TINY, progress=False)
    assert list(tmp_path.iterdir()) == [folder]


def test_worker_errors_reach_the_user(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_SMALL", 0)
    monkeypatch.setattr(synthetic, "write_calibration", lambda folder, spec: folder.mkdir())
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 2)
    # A file where the date folder should be: the workers cannot write below it.
    monkeypatch.setattr(synthetic.os, "utime", lambda path: None)
    start = synthetic._start

    def blocked(folder, spec, numbers):
        (folder / DATE).write_text("")
        return start(folder, spec, numbers)

    monkeypatch.setattr(synthetic, "_start", blocked)
    with pytest.raises(UserError, match="cannot write the embedded world"):
        ensure_world(tmp_path, TINY, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="DEJAVU_CACHE"):
        ensure_world(tmp_path / "file", TINY, progress=False)
    with pytest.raises(UserError, match="frames_per_drive is 2"):
        ensure_world(tmp_path, WorldSpec(frames_per_drive=2))
    command = [sys.executable, "-m", "datasets.synthetic", "--root", str(tmp_path), "--height", "3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


STRAIGHT = Street(0.0, 0.05, 0.0, 4.0, 2.0, 0.15, ((-1, 10.0, 16.0),), 0.0)
PLAIN = Material((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_caster_on_a_scene_worked_by_hand():
    """A wall 10 m ahead, a ball of radius 1 m in front of it at 6 m, camera 1.5 m above a straight road."""
    surfaces = Surfaces()
    box = (0.0, 1.0, -2.05, 2.05)
    surfaces.frustum((np.array([10.0, 0.0]), 0.0), box, box, (0.0, 3.0), (PLAIN, PLAIN), Class.WALL)
    surfaces.quadrics.append(Quadric(np.array([6.0, 0.5, 1.5]), 1.0, 1.0, 0.5, 2.5, 0.0, PLAIN, Class.VEGETATION))
    scene = build_scene((PLAIN,) * 4, surfaces, np.array([0.0, 0.0, 1.0]))
    pose = np.eye(4)
    pose[:3, :3] = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose[2, 3] = 1.5
    k = np.array([[50.0, 0, 50], [0, 50, 30], [0, 0, 1]])
    grid = camera_grid(pose, k, (61, 101), 1.0)
    everything = np.tile([0, grid.shape[0], 0, grid.shape[1]], (len(scene.vertices), 1))
    # Faces that look away are not cast: only the one that looks along -x is left.
    everything[scene.normals[:, 0] > -0.5] = 0
    hits = cast(scene, STRAIGHT, grid, everything, np.array([[0, grid.shape[0], 0, grid.shape[1]]]))
    depth = 1 / np.maximum(hits.inverse[1:-1, 1:-1], 1e-6)  # the grid has a margin of one
    surface = hits.surface[1:-1, 1:-1]
    assert depth[30, 55] == pytest.approx(10)  # right of the ball: the wall
    assert scene.kinds[surface[30, 45]] == Class.VEGETATION
    # The ray (1, 0.1, 0) meets |(t - 6, 0.1 t - 0.5)| = 1 at the smaller root of 1.01 t^2 - 12.1 t + 35.25.
    assert depth[30, 45] == pytest.approx((12.1 - np.sqrt(12.1**2 - 4 * 1.01 * 35.25)) / 2.02, rel=1e-5)
    # The wall spans columns 50 +- 10.25 and rows 22.5 .. 37.5, down to the ground.
    wall = scene.kinds[surface] == Class.WALL
    assert np.flatnonzero(wall[30, 50:]).max() == 10 and np.flatnonzero(wall[:, 58]).tolist() == list(range(23, 38))
    assert surface[45, 50] == ROAD and depth[45, 50] == pytest.approx(1.5 / 0.3)
    assert surface[45, 0] == SIDEWALK and depth[45, 0] == pytest.approx(1.35 / 0.3)
    # Below that, the ray falls 0.36 a metre: 4 m to the left it is 1.5 - 1.44 m high, on the kerb's face.
    assert surface[48, 0] == KERB and depth[48, 0] == pytest.approx(4.0, rel=1e-3)
    assert surface[5, 95] == 0


def test_windows_miss_nothing():
    """Casting inside the bounding windows finds what casting every surface over the whole grid finds."""
    drive = build_drive(np.random.default_rng(3), 0, 3)
    scene = drive.scene(0.1)
    pose = drive.ride.world_from_imu(0.1)
    rig = Rig(32, 96)
    camera = camera_grid(pose @ np.linalg.inv(rig.camera_from_imu(2)), rig.intrinsics, (32, 96), 0.5)
    scanner = scanner_grid(pose, np.pi - np.radians(np.arange(0.5, 360, 3)), np.radians(np.arange(2, -25, -1.5)))
    for grid in (camera, scanner):
        whole = [0, grid.shape[0], 0, grid.shape[1]]
        everything = (np.tile(whole, (len(group), 1)) for group in (scene.vertices, scene.quadrics))
        expected = cast(scene, drive.street, grid, *everything)
        if grid is camera:
            found = cast(scene, drive.street, grid, *camera_windows(scene, grid))
        else:
            faces, quadrics, *rest = scanner_windows(scene, grid)
            assert any((part[:, 3] > 0).any() for part in rest), "some surface must lie across the first column"
            found = cast(scene, drive.street, grid, *rest, cast(scene, drive.street, grid, faces, quadrics))
        assert len(np.unique(found.surface)) > 15
        np.testing.assert_array_equal(found.surface, expected.surface)
        np.testing.assert_array_equal(found.inverse, expected.inverse)


def test_side_street_opens_the_kerb():
    x = np.array([5.0, 13.0, 5.0, 13.0])
    lateral = np.array([-5.0, -5.0, 5.0, 5.0])
    assert (STRAIGHT.kerb_distance(x, lateral) > 0).tolist() == [True, False, True, True]


def test_stripes_are_exact_means():
    position = np.array([0.3, 0.25, 0.0, 7.77], np.float32)
    footprint = np.array([0.1, 0.5, 1.0, 1000.0], np.float32)
    # Period 1, stripes over [k, k + 0.4): inside; half of [0, 0.5] less 0.1; any whole period; the mean.
    np.testing.assert_allclose(stripes(position, 1.0, 0.4, footprint), [1, 0.8, 0.4, 0.4], atol=2e-3)


def test_noise_is_never_finer_than_pixels():
    along = np.arange(4000, dtype=np.float32)
    flat = np.zeros_like(along)
    for pixel in (0.01, 0.08):
        footprint = np.full_like(along, pixel)
        values = noise(along * pixel, flat, footprint, footprint, flat + 0.3, 0, 4)
        spectrum = np.abs(np.fft.rfft(values * np.hanning(len(values)))) ** 2
        assert spectrum[len(spectrum) * 3 // 4 :].sum() < 0.002 * spectrum.sum()
        assert values.std() > 0.5, "and there is texture at every distance"


def test_rig_scales_with_the_image():
    small, large = Rig(32, 96).intrinsics, Rig(64, 192).intrinsics
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    np.testing.assert_allclose(np.diag([2, 2, 1]) @ shift @ small, shift @ large, atol=1e-9)

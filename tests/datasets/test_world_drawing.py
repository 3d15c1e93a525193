"""How the embedded world is drawn: rays, bounding windows, textures and cameras worked by hand."""

import numpy as np
import pytest

from datasets.world.bounds import camera_windows, scanner_windows
from datasets.world.caster import camera_grid, cast, scanner_grid
from datasets.world.layout import build_drive
from datasets.world.rig import Rig
from datasets.world.street import Street
from datasets.world.surfaces import KERB, ROAD, SIDEWALK, Class, Material, Quadric, Surfaces, build_scene
from datasets.world.textures import noise, stripes

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

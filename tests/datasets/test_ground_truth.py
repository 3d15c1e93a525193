import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.core.sources import select_available
from datasets.core.splits import FrameRef, load_split
from datasets.kitti import ground_truth
from datasets.kitti.calibration import Camera, CameraPair
from datasets.kitti.ground_truth import (
    DepthMapGroundTruth,
    VelodyneGroundTruth,
    read_scan,
    velodyne_depth,
)
from datasets.kitti.layout import KittiRaw
from depth.types import UserError
from tests.kitti_layout import CAM_TO_CAM, DATE, DRIVE, HEIGHT, WIDTH, write_raw, write_scan

REF = FrameRef(DRIVE, 0, "l")
MINI = Path(__file__).resolve().parents[3] / "shared" / "kitti_mini"

# Lidar axes (x forward, y left, z up) to camera axes (x right, y down, z forward), the camera 0.3 m in front.
REFERENCE_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, -0.3], [0, 0, 0, 1]])


def cameras(width=11, height=7):
    camera = Camera(np.array([[10.0, 0, 5, 0], [0, 10, 3, 0], [0, 0, 1, 0]]), width, height)
    return CameraPair(camera, camera, np.eye(3))


def pixel_ray(row, column, z):
    """The lidar point that the camera sees in the middle of this pixel at depth z."""
    return ((z + 0.3), -(column - 5) / 10 * z, -(row - 3) / 10 * z)


def depth_of(points, **how):
    scan = np.array([(*p, 0.0) for p in points], np.float32).reshape(-1, 4)
    return velodyne_depth(scan, cameras(), REFERENCE_FROM_LIDAR, "l", **how)


def hits(depth):
    return {(int(r), int(c)): round(float(depth[r, c]), 3) for r, c in zip(*np.nonzero(depth), strict=True)}


def test_quirk_depth_is_the_lidars_forward_distance_and_pixels_are_one_less():
    assert hits(depth_of([pixel_ray(3, 5, 9.7)])) == {(2, 4): 10.0}


def test_quirk_points_between_lidar_and_camera_are_kept():
    """0.1 m ahead of the lidar, 0.2 m behind the camera: u = 10 * 0.04 / 0.2 + 5 = 7, v = -10 * 0.02 / 0.2 + 3 = 2."""
    between = (0.1, 0.04, -0.02)
    assert hits(depth_of([between])) == {(1, 6): 0.1}


def test_what_is_learnt_from_has_no_quirks():
    """The camera's z at the pixel where it sees the point; the last column and the next row's first are two pixels."""
    between = (0.1, 0.04, -0.02)
    points = [pixel_ray(3, 5, 9.7), pixel_ray(3, 5, 12), pixel_ray(0, 10, 5), pixel_ray(1, 0, 4), between]
    assert hits(depth_of(points, published=False)) == {(0, 10): 5.0, (1, 0): 4.0, (3, 5): 9.7}


def test_both_truths_of_a_scan_are_cached_apart(tmp_path):
    source, cache = prepared(tmp_path)
    own, learnt = source.ground_truth("velodyne", cache)(REF), source.ground_truth("camera", cache)(REF)
    assert len(list(cache.glob("*.npz"))) == 2
    assert learnt.depth.min() == pytest.approx(own.depth.min() - 0.3)  # the camera is 0.3 m in front


def test_points_behind_and_outside_are_dropped():
    behind = (-10.0, 0.0, 0.0)
    beside = [pixel_ray(3, -1, 8), pixel_ray(-1, 5, 8), pixel_ray(3, 12, 8), pixel_ray(8, 5, 8), (0.3, 4.0, 4.0)]
    broken = [(np.nan, 0, 0), (np.inf, 0, 0)]
    assert hits(depth_of([behind, *beside, *broken])) == {}
    assert depth_of([]).shape == (7, 11)


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearest_point_of_a_pixel_wins(order):
    points = [pixel_ray(3, 5, z) for z in (20.0, 8.0, 11.0)][::order]
    assert list(hits(depth_of(points)).values()) == [8.3]


def test_quirk_index_makes_a_rows_last_pixel_collide_with_the_next_rows_first():
    # Quirk pixels (1, 10) and (2, 0) both have index 1 * 10 + 10 - 1 = 2 * 10 + 0 - 1.
    last, first = pixel_ray(2, 11, 20.0), pixel_ray(3, 1, 8.0)
    assert hits(depth_of([last, first])) == {(1, 10): 8.3, (2, 0): 8.3}
    assert hits(depth_of([first, last])) == {(2, 0): 8.3, (1, 10): 20.3}


def test_agrees_with_a_loop_over_the_points():
    scan = np.random.default_rng(3).normal(size=(600, 4)).astype(np.float32) * (8, 2, 2, 1)
    seen: dict[int, list] = {}
    expected = np.zeros((7, 11), np.float32)
    for x, y, z in scan[:, :3].astype(np.float64):
        forward = x - 0.3
        if x < 0:
            continue
        column, row = round(10 * -y / forward + 5) - 1, round(10 * -z / forward + 3) - 1
        if 0 <= column < 11 and 0 <= row < 7:
            expected[row, column] = x
            seen.setdefault(row * 10 + column, []).append((row, column, x))
    for group in seen.values():
        expected[group[0][0], group[0][1]] = min(depth for _, _, depth in group)
    assert len(seen) > 40
    assert np.allclose(velodyne_depth(scan.astype(np.float32), cameras(), REFERENCE_FROM_LIDAR, "l"), expected)


def test_scans_of_a_wrong_length_are_named(tmp_path):
    path = write_scan(tmp_path, 0, [(1, 2, 3)])
    assert read_scan(path).tolist() == [[1, 2, 3, 0.5]]
    for data in (b"", b"x" * 17, b"x" * 15):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"0000000000\.bin"):
            read_scan(path)
    with pytest.raises(UserError, match="absent"):
        read_scan(tmp_path / "absent.bin")


def prepared(tmp_path):
    write_raw(tmp_path / "data", range(1))
    write_scan(tmp_path / "data", 0, [(10.3, 0, 0), (20, 1, 1)])
    return KittiRaw(tmp_path / "data"), tmp_path / "cache"


def test_ground_truth_of_a_frame_and_its_cache(tmp_path, monkeypatch):
    source, cache = prepared(tmp_path)
    truth = source.ground_truth("velodyne", cache)
    depth = truth(REF).dense()
    # u = 19.5 and v = 11.5 round to even: 20 and 12, less one.
    assert depth.shape == (HEIGHT, WIDTH) and depth[11, 19] == np.float32(10.3)
    monkeypatch.setattr(ground_truth, "velodyne_depth", lambda *_: pytest.fail("computed again"))
    assert np.array_equal(truth(REF).dense(), depth)
    assert np.array_equal(VelodyneGroundTruth(KittiRaw(source.root), cache)(REF).dense(), depth)
    assert not list(cache.glob(".*"))


def change_scan(root):
    write_scan(root, 0, [(5, 0, 0), (20, 1, 1)])
    os.utime(root / DRIVE / "velodyne_points/data/0000000000.bin", ns=(1, 1))


def change_calibration(root):
    (root / DATE / "calib_cam_to_cam.txt").write_text(CAM_TO_CAM.replace("20 0 19.5 0 0", "21 0 19.5 0 0"))


@pytest.mark.parametrize("change", [change_scan, change_calibration])
def test_the_cache_follows_its_inputs(tmp_path, change):
    source, cache = prepared(tmp_path)
    VelodyneGroundTruth(source, cache)(REF)
    change(source.root)
    fresh = VelodyneGroundTruth(KittiRaw(source.root), None)(REF).dense()
    assert np.array_equal(VelodyneGroundTruth(KittiRaw(source.root), cache)(REF).dense(), fresh)
    assert len(list(cache.glob("*.npz"))) == 2


def test_a_damaged_cache_entry_is_made_anew(tmp_path):
    source, cache = prepared(tmp_path)
    truth = VelodyneGroundTruth(source, cache)
    depth = truth(REF).dense()
    (entry,) = cache.glob("*.npz")
    good = entry.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 3] ^= 255
    np.save(tmp_path / "array.npy", depth)
    damages = [b"", b"junk", good[: len(good) // 2], bytes(flipped), (tmp_path / "array.npy").read_bytes()]
    for pixels in ([0, WIDTH * HEIGHT], [-1, 0], [1, 0], [0, 0]):
        wrong = tmp_path / "wrong.npz"
        np.savez(wrong, index=np.array(pixels, np.int32), depth=np.ones(2, np.float32))
        damages.append(wrong.read_bytes())
    for damage in damages:
        entry.write_bytes(damage)
        assert np.array_equal(truth(REF).dense(), depth)
        assert entry.read_bytes()[:4] == good[:4] and len(entry.read_bytes()) == len(good)


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path):
    source, _ = prepared(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    with pytest.warns(UserWarning, match="cannot be written"):
        depth = VelodyneGroundTruth(source, tmp_path / "file")(REF).depth
    assert depth.size


def test_a_missing_scan_is_named(tmp_path):
    source, cache = prepared(tmp_path)
    truth = VelodyneGroundTruth(source, cache)
    assert truth.has(REF) and not truth.has(FrameRef(DRIVE, 1, "l"))
    with pytest.raises(UserError, match="no scan for"):
        truth(FrameRef(DRIVE, 1, "l"))


@pytest.mark.parametrize(
    "home", [DRIVE, f"train/{DRIVE.split('/')[1]}", f"data_depth_annotated/val/{DRIVE.split('/')[1]}"]
)
def test_depth_maps_are_found_where_the_archives_put_them(tmp_path, home):
    source = KittiRaw(write_raw(tmp_path, range(1)))
    folder = tmp_path / home / "proj_depth/groundtruth/image_02"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "0000000000.png"), np.full((HEIGHT, WIDTH), 512, np.uint16))
    truth = source.ground_truth("improved", None)
    assert isinstance(truth, DepthMapGroundTruth) and truth.has(REF)
    assert (truth(REF).dense() == 2.0).all()
    with pytest.raises(UserError, match="data_depth_annotated"):
        truth(FrameRef(DRIVE, 1, "l"))


@pytest.mark.skipif(not MINI.is_dir(), reason="the folder with a few real KITTI frames is not there")
def test_real_scans_cover_four_percent_of_the_image():
    truth = VelodyneGroundTruth(KittiRaw(MINI), None)
    refs, _ = select_available(truth.source, load_split("eigen", "test"), skip_missing=True, also=truth.has)
    assert sorted(ref.frame for ref in refs) == [0, 3, 6, 9]
    for ref in refs:
        depth = truth(ref).dense()
        assert depth.shape == (375, 1242)
        assert 0.040 < (depth > 0).mean() < 0.042
        assert 5 < depth[depth > 0].min() and depth.max() < 80

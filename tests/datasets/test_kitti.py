import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.core.sources import select_available
from datasets.core.splits import FrameRef, load_split
from datasets.kitti.calibration import read_odometry_cameras, read_raw_cameras, read_raw_velodyne
from datasets.kitti.layout import KittiOdometry, KittiRaw
from depth.types import UserError
from tests.kitti_layout import CAM_TO_CAM, DATE, DRIVE, HEIGHT, VELO_TO_CAM, WIDTH, write_odometry, write_raw


def refs(frames, side="l", folder=DRIVE):
    return [FrameRef(folder, frame, side) for frame in frames]


def test_calibration_by_hand(tmp_path):
    source = KittiRaw(write_raw(tmp_path))
    left, right = FrameRef(DRIVE, 0, "l"), FrameRef(DRIVE, 0, "r")
    k, size = source.intrinsics(left)
    assert size == (WIDTH, HEIGHT)
    assert k.dtype == np.float64 and k.tolist() == [[20, 0, 19.5], [0, 20, 11.5], [0, 0, 1]]
    # The right camera is 0.5 m to the right, so a point's x is 0.5 m less there.
    assert source.stereo_from(left)[:3, 3].tolist() == [-0.5, 0, 0]
    assert np.allclose(source.stereo_from(left) @ source.stereo_from(right), np.eye(4))
    forward_in_lidar = np.array([10.0, 0, 0, 1])
    assert np.allclose(source.reference_from_velodyne(left) @ forward_in_lidar, [0, 0, 9.7, 1])


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    (tmp_path / "calib_velo_to_cam.txt").write_text(VELO_TO_CAM, encoding="utf-8-sig")
    assert read_raw_velodyne(tmp_path / "calib_velo_to_cam.txt")[2, 3] == -0.3


def test_projection_splits_into_intrinsics_and_translation(tmp_path):
    path = tmp_path / "calib_cam_to_cam.txt"
    path.write_text(CAM_TO_CAM.replace("20 0 19.5 -10 0 20 11.5 0 0 0 1 0", "20 0 19.5 -9 0 21 11.5 2 0 0 1 0.01"))
    camera = read_raw_cameras(path).right
    point = np.array([1.0, -2.0, 8.0])
    expected = camera.projection @ np.append(point, 1)
    assert np.allclose(camera.intrinsics @ (point + camera.translation), expected)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("P_rect_02: 20 0 19.5", "P_rect_02: 20 0 nan", 5),
        ("9.950000e-02", "inf", 2),
        ("P_rect_02: 20", "P_rect_02: x", 5),
        ("P_rect_02: 20 0", "P_rect_02: 20", 5),
        ("P_rect_02: 20", "P_rect_02: -20", 5),
        ("P_rect_02: 20", "P_rect_02: 1e300", 5),
        ("P_rect_02:", "P_rect_02", 5),
        (f"S_rect_02: {WIDTH}", "S_rect_02: 0", 4),
        (f"S_rect_02: {WIDTH}", "S_rect_02: 40.5", 4),
        (f"S_rect_02: {WIDTH}", "S_rect_02: 1e9", 4),
        ("R_rect_00: 1", "R_rect_00: 2", 3),
        ("S_rect_03", "S_rect_02", 6),
    ],
)
def test_malformed_calibration_names_file_and_line(tmp_path, old, new, line):
    path = tmp_path / "calib_cam_to_cam.txt"
    path.write_text(CAM_TO_CAM.replace(old, new, 1))
    with pytest.raises(UserError, match=rf"calib_cam_to_cam\.txt, line {line}: ") as error:
        read_raw_cameras(path)
    assert "\n" not in str(error.value)


def test_incomplete_calibration_names_the_file(tmp_path):
    path = tmp_path / "calib_cam_to_cam.txt"
    for text, complaint in (("", "is empty"), ("calib_time: x\n", "is empty"), ("S_rect_02: 4 5\n", "no line 'P_rect")):
        path.write_text(text)
        with pytest.raises(UserError, match=complaint):
            read_raw_cameras(path)
    with pytest.raises(UserError, match="cannot read"):
        read_raw_velodyne(tmp_path / "absent.txt")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is in UTF-16: save it as UTF-8"):
        read_raw_velodyne(path)


@given(st.integers(0, 300), st.binary(max_size=6), st.booleans())
@settings(deadline=None, max_examples=300)
def test_damaged_calibration_is_read_or_refused(tmp_path_factory, place, junk, velodyne):
    path = tmp_path_factory.getbasetemp() / "calib.txt"
    text = (VELO_TO_CAM if velodyne else CAM_TO_CAM).encode()
    path.write_bytes(text[:place] + junk + text[place + len(junk) :])
    try:
        read_raw_velodyne(path) if velodyne else read_raw_cameras(path)
        read_odometry_cameras(path, (4, 4))
    except UserError as error:
        assert "calib.txt" in str(error)


def test_png_or_jpeg_is_found_by_itself_and_png_preferred(tmp_path):
    write_raw(tmp_path, range(2), "l", "jpg")
    write_raw(tmp_path, range(1, 3), "l", "png")
    source = KittiRaw(tmp_path)
    names = [source.image_path(ref).name for ref in refs(range(3))]
    assert names == ["0000000000.jpg", "0000000001.png", "0000000002.png"]
    assert not source.has(FrameRef(DRIVE, 3, "l")) and not source.has(FrameRef(DRIVE, 0, "r"))
    with pytest.raises(UserError, match=r"0000000003\.png"):
        source.image_path(FrameRef(DRIVE, 3, "l"))


def test_folders_are_listed_once(tmp_path, monkeypatch):
    source = KittiRaw(write_raw(tmp_path))
    assert all(source.has(ref) for ref in refs(range(5)))
    monkeypatch.setattr("datasets.kitti.listing.os.listdir", lambda _: pytest.fail("listed again"))
    assert [source.has(ref) for ref in refs(range(7))] == [True] * 5 + [False] * 2


def test_odometry_layout(tmp_path):
    source = KittiOdometry(write_odometry(tmp_path, "09"))
    for folder in ("09", "9"):
        ref = FrameRef(folder, 1, "l")
        assert source.image_path(ref) == tmp_path / "sequences/09/image_2/000001.png"
        assert source.intrinsics(ref)[1] == (WIDTH, HEIGHT)
        # P2 and P3 are 1 and -8 in units of f = 20: t = 0.05 - 19.5/20*0 and -0.4.
        assert np.allclose(source.stereo_from(ref)[:3, 3], [-0.45, 0, 0])
    (tmp_path / "sequences/09/calib.txt").unlink()
    with pytest.raises(UserError, match="data_odometry_calib"):
        KittiOdometry(tmp_path).intrinsics(FrameRef("09", 1, "l"))


def test_a_target_needs_its_neighbours(tmp_path):
    source = KittiRaw(write_raw(tmp_path, range(5), "l"))
    kept, report = select_available(source, refs(range(7)), (-1, 1), skip_missing=True)
    assert [ref.frame for ref in kept] == [1, 2, 3]
    assert report.startswith("3 of 7 frames in 1 of 1 drives")
    kept, _ = select_available(source, refs(range(7)), (), skip_missing=True, also=lambda ref: ref.frame > 2)
    assert [ref.frame for ref in kept] == [3, 4]
    assert select_available(source, refs(range(5)))[0] == refs(range(5))


def test_missing_frames_are_listed_per_drive_with_what_to_download(tmp_path):
    source = KittiRaw(write_raw(tmp_path, range(100), "l"))
    (tmp_path / "other").mkdir()
    wanted = load_split("eigen_zhou", "train")
    with pytest.raises(UserError) as error:
        select_available(source, wanted, (-1, 1))
    lines = str(error.value).split("\n")
    usable = [r for r in wanted if r.folder == DRIVE and r.side == "l" and 1 <= r.frame <= 98]
    drive = sum(r.folder == DRIVE for r in wanted)
    assert lines[0].startswith(f"{len(wanted) - len(usable):,} of 39,810 frames")
    assert lines[1] == (
        f"  {DRIVE}: {drive - len(usable)} of {drive} missing; download 2011_09_26_drive_0001_sync.zip (KITTI raw data)"
    )
    assert len(lines) == 12 and lines[-1] == "  and 22 more drives"
    with pytest.raises(UserError, match="drive_0002_sync.zip and 2011_09_28_calib.zip"):
        select_available(source, refs([0]) + refs([0], folder="2011_09_28/2011_09_28_drive_0002_sync"))


def test_a_path_without_any_frame_is_one_line(tmp_path):
    with pytest.raises(UserError, match="has none of the 697 frames") as error:
        select_available(KittiRaw(tmp_path), load_split("eigen", "test"), skip_missing=True)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="not a folder"):
        KittiRaw(tmp_path / "absent")
    source = KittiRaw(write_raw(tmp_path, range(5), "l"))
    with pytest.raises(UserError, match="none has the other camera"):
        select_available(source, refs(range(5)), (0,), skip_missing=True)
    with pytest.raises(UserError, match="none of them has ground truth"):
        select_available(source, refs(range(5)), (), skip_missing=True, also=lambda ref: False)


def test_a_date_without_calibration_is_named_before_training(tmp_path):
    source = KittiRaw(write_raw(tmp_path))
    (tmp_path / DATE / "calib_cam_to_cam.txt").unlink()
    with pytest.raises(UserError, match=f"{DATE}_calib.zip"):
        select_available(source, refs(range(5)), skip_missing=True)


def test_unrelated_files_in_a_folder_are_left_alone(tmp_path):
    source = KittiRaw(write_raw(tmp_path, range(2), "l"))
    folder = tmp_path / DRIVE / "image_02/data"
    for name in ("notes.txt", "0000000007.tif", "x0000000008.png", "٣.png"):
        (folder / name).write_text("x")
    Image.new("RGB", (4, 4)).save(folder / "0000000009.jpeg")
    assert [f for f in range(12) if source.has(FrameRef(DRIVE, f, "l"))] == [0, 1, 9]

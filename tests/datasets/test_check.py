import cv2
import numpy as np
from PIL import Image

from app import read_frames
from datasets.check import main
from datasets.world.making import WorldSpec, ensure_world
from tests.clip_maker import drive, stand, wall, write_images, write_video
from tests.kitti_layout import DATE, DRIVE, write_odometry, write_raw, write_scan


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    lines = (output.out + output.err).splitlines()
    assert len(lines) <= 40, "one screen"
    return code, output.out + output.err


def test_a_video(tmp_path, capsys):
    video = write_video(tmp_path / "mein Clip é.mp4", drive(20))
    code, text = run(capsys, video, "--fov", 90)
    assert code == 0 and "verdict  ready" in text
    assert "20 in 1: mein Clip é.mp4 20" in text and "10 fps" in text
    assert "320x192; fitting --width 480 --height 288" in text
    assert "fx 160.0" in text and "90 degrees wide" in text
    assert "0% of" in text and "20 epochs of 18 samples" in text
    code, text = run(capsys, video)
    assert code == 0 and "ready once the camera is given" in text
    assert "do not fill a batch" not in text
    code, text = run(capsys, write_video(tmp_path / "short.mp4", drive(5)), "--fov", 90)
    assert code == 0 and "3 samples do not fill a batch of 12: --batch_size 1" in text


def test_a_video_whose_header_counts_no_frames(tmp_path, capsys):
    video = tmp_path / "raw.avi"
    video.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in drive(12)))
    code, text = run(capsys, video, "--fov", 60)
    assert code == 0 and "12 in 1: raw.avi 12" in text and "standing 0%" in text
    assert len(read_frames(video, 4)) == 4
    assert np.abs(read_frames(video, 2)[1] - read_frames(video, 12)[6].astype(int)).max() == 0


def test_standing_footage(tmp_path, capsys):
    code, text = run(capsys, write_video(tmp_path / "a.mp4", stand(20)), "--fov", 60)
    assert "100% of" in text and "nothing to train on" in text and code == 2


def test_the_camera_of_another_aspect_and_an_odd_one(tmp_path, capsys):
    video = write_video(tmp_path / "a.mp4", drive(12))
    (tmp_path / "k.json").write_text('{"width": 640, "height": 480, "fx": 600, "fy": 600, "cx": 319.5, "cy": 239.5}')
    code, text = run(capsys, video, "--intrinsics", tmp_path / "k.json")
    assert code == 2 and "problem" in text and "is for images of 640x480, these have 320x192" in text
    (tmp_path / "k.json").write_text('{"width": 320, "height": 192, "fx": 300, "fy": 300, "cx": 0, "cy": 95.5}')
    code, text = run(capsys, video, "--intrinsics", tmp_path / "k.json")
    assert code == 0 and "cx 0 is far from the centre 160" in text
    assert run(capsys, video, "--fov", 300)[0] == 2


def test_bad_footage(tmp_path, capsys):
    folder = write_images(tmp_path / "images", drive(5))
    Image.fromarray(wall()[:100]).save(folder / "frame3.png")
    code, text = run(capsys, folder, "--fov", 60)
    assert code == 2 and "several sizes" in text and "320x100" in text
    (tmp_path / "broken.mp4").write_bytes(b"nothing" * 100)
    code, text = run(capsys, tmp_path / "broken.mp4", "--fov", 60)
    assert code == 2 and "cannot open the video" in text
    assert text.count("cannot open the video") == 1
    code, text = run(capsys, write_video(tmp_path / "short.mp4", drive(2)), "--fov", 60)
    assert code == 2 and "2 frames" in text
    assert run(capsys, tmp_path / "nowhere") == (2, f"error: --data_path {tmp_path / 'nowhere'} does not exist\n")


def test_kitti_with_missing_frames(tmp_path, capsys):
    write_raw(tmp_path / "kitti")
    (tmp_path / "train.txt").write_text(f"{DRIVE} l 1-3\n{DATE}/{DATE}_drive_0009_sync lr 1-4\n")
    (tmp_path / "val.txt").write_text(f"{DRIVE} r 2\n")
    code, text = run(capsys, tmp_path / "kitti", "--split", tmp_path)
    assert code == 2 and "train 3 of 11, val 1 of 1" in text
    assert f"{DATE}_drive_0009_sync: 8 of 8 missing; download {DATE}_drive_0009_sync.zip" in text
    assert "--skip_missing" in text and "fx 20.0 fy 20.0" in text and "40x24" in text
    assert "the archives with the missing frames have 16 MB" in text  # four moments of two cameras


def test_complete_kitti(tmp_path, capsys):
    write_raw(tmp_path / "kitti")
    (tmp_path / "train.txt").write_text(f"{DRIVE} lr 1-3\n")
    code, text = run(capsys, tmp_path / "kitti", "--split", tmp_path / "train.txt", "--rate", 6, "--epochs", 120)
    assert code == 0 and "verdict  ready" in text
    assert "120 epochs of 6 samples: 2 min at 6 samples/s, loading alone" in text


def test_a_split_for_evaluation_is_judged_by_images_and_scans(tmp_path, capsys):
    root = write_raw(tmp_path / "kitti")
    (tmp_path / "test.txt").write_text(f"{DRIVE} l 0-3\n")
    code, text = run(capsys, root, "--split", tmp_path)
    assert code == 2 and "test 4 of 4, 0 with ground truth" in text and "verdict  not ready" in text
    assert "problem  4 frames of the split are under" in text and "none of them has ground truth" in text
    assert f"missing  {DRIVE}: 4 without ground truth; download {DATE}_drive_0001_sync.zip" in text
    write_scan(root, 0, [(10, 0, 0)])
    code, text = run(capsys, root, "--split", tmp_path)
    assert code == 2 and "1 with ground truth" in text and "incomplete: --skip_missing evaluates what is here" in text
    scans = [write_scan(root, frame, [(10, 0, 0)]) for frame in range(4)]
    code, text = run(capsys, root, "--split", tmp_path)
    assert code == 0 and "test 4 of 4, 4 with ground truth" in text and "verdict  ready" in text
    scans[1].write_bytes(b"x" * 17)
    code, text = run(capsys, root, "--split", tmp_path)
    assert code == 2 and "0000000001.bin: 17 bytes are not a scan" in text and "verdict  not ready" in text


def test_no_verdict_without_a_reason(tmp_path, capsys):
    root = write_raw(tmp_path / "kitti", range(1))
    (tmp_path / "val.txt").write_text(f"{DRIVE} l 0\n")
    code, text = run(capsys, root, "--split", tmp_path)
    assert code == 2 and "problem  split" in text and "has neither a train nor a test part" in text
    (tmp_path / "train.txt").write_text(f"{DRIVE} l 0\n")
    code, text = run(capsys, root, "--split", tmp_path)
    assert code == 2 and "problem  1 frames of the split are under" in text and "but none has the frame at" in text
    code, text = run(capsys, root, "--split", "eigen_benchmark")
    assert code == 2 and "problem  " in text and "none of the 652 frames" in text


def test_stereo_needs_the_other_camera(tmp_path, capsys):
    root = write_raw(tmp_path / "kitti", sides="l")
    (tmp_path / "train.txt").write_text(f"{DRIVE} l 1-3\n")
    assert run(capsys, root, "--split", tmp_path)[0] == 0
    code, text = run(capsys, root, "--split", tmp_path, "--use_stereo")
    assert code == 2 and "train 0 of 3" in text and "the other camera" in text
    write_raw(root, sides="r")
    assert run(capsys, root, "--split", tmp_path, "--use_stereo")[0] == 0
    code, text = run(capsys, write_video(tmp_path / "a.mp4", drive(12)), "--fov", 90, "--use_stereo")
    assert code == 2 and text.startswith("error: --use_stereo: ")


def test_kitti_without_calibration(tmp_path, capsys):
    write_raw(tmp_path / "kitti")
    (tmp_path / "train.txt").write_text(f"{DRIVE} l 1-3\n")
    (tmp_path / "kitti" / DATE / "calib_cam_to_cam.txt").unlink()
    code, text = run(capsys, tmp_path / "kitti", "--split", tmp_path / "train.txt")
    assert code == 2 and f"unpack {DATE}_calib.zip" in text and "not ready" in text


def test_odometry(tmp_path, capsys):
    code, text = run(capsys, write_odometry(tmp_path))
    assert "KITTI odometry" in text and "3 in 1: 09 3" in text and code == 2 and "odom: " in text
    (tmp_path / "own.txt").write_text("09 l 1\n")
    code, text = run(capsys, tmp_path, "--split", tmp_path / "own.txt")
    assert f"{tmp_path / 'own.txt'}: train 1 of 1" in text and code == 0
    assert main([str(tmp_path), "--split", "nope"]) == 2
    assert "unknown split 'nope'" in capsys.readouterr().err


def test_the_embedded_world(tmp_path, capsys):
    spec = WorldSpec(height=64, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=4)
    world = ensure_world(tmp_path, spec)
    code, text = run(capsys, world)
    assert code == 0 and "embedded world" in text and "train 4 of 4, val 2 of 2, test 4 of 4" in text
    assert all(word in text for word in ("motion", "standing", "camera", "disk", "time"))

"""Manifests of other layouts, each tried on a miniature: frames, order, camera, poses, depth."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.core.splits import FrameRef
from datasets.manifest.labels import ManifestLabels
from datasets.manifest.source import Manifest
from datasets.prepare import main
from tests.kitti_layout import write_odometry
from tests.manifest_maker import CAMERA, HEIGHT, WIDTH, picture

SHARED = Path(__file__).resolve().parents[3] / "shared"


def image(path, seed=0, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed)).resize(size).save(path)


def depth(path, value, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size[::-1], value, np.uint16)).save(path)


def camera(tmp_path):
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA))
    return str(tmp_path / "camera.json")


def written(tmp_path, *arguments):
    path = tmp_path / "out" / "m.jsonl"
    assert main(["manifest", *map(str, arguments), "--to", str(path)]) == 0
    return Manifest(path)


def refs(source, offsets=()):
    return [(ref.folder, ref.frame) for ref in source.frames("all", offsets)]


def test_a_folder_of_images_with_depth(tmp_path):
    for name in ("a/2.png", "a/10.png", "a/1.png", "b/c/1.png"):
        image(tmp_path / "images" / name)
    depth(tmp_path / "maps/a/10.png", 3000)
    depth(tmp_path / "bonnet.png", 0)
    flags = ["--intrinsics", camera(tmp_path), "--depth", tmp_path / "maps", "--depth_scale", 1000]
    flags += ["--mask", tmp_path / "bonnet.png"]
    source = written(tmp_path, "images", tmp_path / "images", *flags)
    assert refs(source) == [("a", 0), ("a", 1), ("a", 2), ("b/c", 0)]
    assert [source.image_path(FrameRef("a", n, "l")).name for n in range(3)] == ["1.png", "2.png", "10.png"]
    truth = source.ground_truth(None, None)
    assert [truth.has(FrameRef("a", n, "l")) for n in range(3)] == [False, False, True]
    assert set(truth(FrameRef("a", 2, "l")).depth) == {3.0} and source.counted(FrameRef("b/c", 0, "l")).all()


def test_tum(tmp_path):
    root = tmp_path / "rgbd_dataset_freiburg1_desk"
    times = [10.0, 10.033, 10.066, 10.5]
    for n, time in enumerate(times):
        image(root / f"rgb/{time}.png", n, (640, 480))
    depth(root / "depth/10.01.png", 10_000, (640, 480))
    (root / "rgb.txt").write_text("# timestamp filename\n" + "".join(f"{t} rgb/{t}.png\n" for t in times))
    (root / "depth.txt").write_text("10.01 depth/10.01.png\n")
    half = np.sqrt(0.5)
    (root / "groundtruth.txt").write_text(
        f"# t tx ty tz qx qy qz qw\n10.034 1 2 3 0 0 {half} {half}\n10.3 0 0 0 0 0 0 1\n"
    )
    source = written(tmp_path, "tum", root)
    assert refs(source) == [(root.name, n) for n in (0, 1, 2, 4)]  # 0.43 s are a gap
    first, second = FrameRef(root.name, 0, "l"), FrameRef(root.name, 1, "l")
    assert source.depth(first).depth.min() == 2.0 and source.lens(first).coefficients[0] == 0.2624
    assert source.world_from_camera(first) is None  # 34 ms away
    pose = source.world_from_camera(second)
    assert pose[:3, 3].tolist() == [1, 2, 3] and np.allclose(pose[:3, :3] @ [1, 0, 0], [0, 1, 0])
    assert main(["manifest", "tum", str(tmp_path), "--to", str(tmp_path / "x.jsonl")]) == 0


def test_tum_of_an_unknown_camera_asks_for_it(tmp_path, capsys):
    image(tmp_path / "desk/rgb/1.png")
    (tmp_path / "desk/rgb.txt").write_text("1.0 rgb/1.png\n")
    arguments = ["manifest", "tum", str(tmp_path / "desk"), "--to", str(tmp_path / "m.jsonl")]
    assert main(arguments) == 2 and "--intrinsics FILE.json" in capsys.readouterr().err
    assert main([*arguments, "--intrinsics", camera(tmp_path)]) == 0


def test_euroc(tmp_path):
    root = tmp_path / "MH_01/mav0"
    for n in range(3):
        image(root / f"cam0/data/{n}00000000.png", n)
    (root / "cam0/data.csv").write_text(
        "#timestamp [ns],filename\n" + "".join(f"{n}00000000,{n}00000000.png\n" for n in range(3))
    )
    (root / "cam0/sensor.yaml").write_text(
        "sensor_type: camera\nT_BS:\n  cols: 4\n  rows: 4\n  data: [0.0, -1.0, 0.0, 0.1,\n    1.0, 0.0, 0.0, 0.2,\n"
        "    0.0, 0.0, 1.0, 0.3,\n    0.0, 0.0, 0.0, 1.0]\nresolution: [40, 24]\nintrinsics: [20.0, 20.0, 19.5, 11.5]\n"
        "distortion_coefficients: [-0.28, 0.07, 0.0002, 1.8e-05]\n"
    )
    truth = root / "state_groundtruth_estimate0"
    truth.mkdir()
    (truth / "data.csv").write_text("#timestamp,x,y,z,qw,qx,qy,qz\n105000000,5.0,6.0,7.0,1.0,0.0,0.0,0.0,9\n")
    source = written(tmp_path, "euroc", tmp_path / "MH_01")
    assert refs(source, (-1, 1)) == [("MH_01", 1)]
    pose = source.world_from_camera(FrameRef("MH_01", 1, "l"))
    assert np.allclose(pose[:3, 3], [5.1, 6.2, 7.3]) and pose[1, 0] == 1
    assert source.lens(FrameRef("MH_01", 1, "l")) is not None


def test_kitti_odometry(tmp_path):
    root = write_odometry(tmp_path / "odometry", "09", range(3))
    (root / "poses").mkdir()
    (root / "poses/09.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 0 0 1 0 0 0 0 1 2\n1 0 0 0 0 1 0 0 0 0 1 4\n")
    (root / "sequences/09/times.txt").write_text("0.0\n0.1\n0.2\n")
    for name in ("preview.png", "._000000.png"):
        (root / "sequences/09/image_2" / name).write_bytes(b"not a frame")
    source = written(tmp_path, "kitti_odometry", root)
    assert refs(source, (-1, 1, 0)) == [("09", 1)]
    ref = FrameRef("09", 1, "l")
    assert source.travelled(ref, 1) == 2 and source.stereo_from(ref)[0, 3] == pytest.approx(-0.45)
    assert source.intrinsics(ref)[0][0, 2] == 19.5


def test_cityscapes(tmp_path):
    for n in range(3):
        stem = f"aachen_000004_{n + 17:06d}"
        image(tmp_path / f"leftImg8bit_sequence/train/aachen/{stem}_leftImg8bit.png", n)
        vehicle = tmp_path / f"vehicle_sequence/train/aachen/{stem}_vehicle.json"
        vehicle.parent.mkdir(parents=True, exist_ok=True)
        vehicle.write_text('{"speed": 8.5, "yawRate": 0}')
    arguments = ["manifest", "cityscapes", str(tmp_path), "--to", str(tmp_path / "m.jsonl")]
    assert main(arguments) == 2
    (tmp_path / "camera/train/aachen").mkdir(parents=True)
    intrinsic = {"fx": 20, "fy": 21, "u0": 19, "v0": 11}
    path = tmp_path / "camera/train/aachen/aachen_000004_000019_camera.json"
    path.write_text(json.dumps({"intrinsic": intrinsic, "extrinsic": {}}))
    source = written(tmp_path, "cityscapes", tmp_path)
    assert [ref.frame for ref in source.frames("train", (-1, 1))] == [18]
    ref = FrameRef("aachen_000004", 18, "l")
    assert source.intrinsics(ref)[0][1].tolist() == [0, 21, 11] and source.travelled(ref, 1) == pytest.approx(8.5 / 17)
    fine = tmp_path / "gtFine/train/aachen"
    fine.mkdir(parents=True)
    for kind, value in (("labelIds", 26), ("instanceIds", 26001)):  # a car, whose train id is 13
        stored = np.full((HEIGHT, WIDTH), value, np.uint16 if value > 255 else np.uint8)
        Image.fromarray(stored).save(fine / f"aachen_000004_000018_gtFine_{kind}.png")
    labels = ManifestLabels(written(tmp_path, "cityscapes", tmp_path))
    assert labels.select("train", ("semantics", "instances"))[0] == [ref.name] and labels.label_ids[13] == 26
    assert (labels.read(ref.name, "semantics") == 13).all() and (labels.read(ref.name, "instances") == 26001).all()


def quaternion(w, x, y, z):
    return {"qw": w, "qx": x, "qy": y, "qz": z}


def test_nuscenes(tmp_path):
    """Two shots of a camera and one of a lidar; the camera looks along the car's x axis, the car is at (10, 20, 0)."""
    looks_ahead = [0.5, -0.5, 0.5, -0.5]
    tables = {
        "scene": [{"token": "s", "name": "scene-0061"}],
        "sample": [{"token": "a", "scene_token": "s"}],
        "sensor": [{"token": "c", "channel": "CAM_FRONT", "modality": "camera"}]
        + [{"token": "l", "channel": "LIDAR_TOP", "modality": "lidar"}],
        "calibrated_sensor": [
            {"token": "cc", "sensor_token": "c", "translation": [1.5, 0, 1.6], "rotation": looks_ahead}
            | {"camera_intrinsic": [[20, 0, 19.5], [0, 20, 11.5], [0, 0, 1]]},
            {"token": "ll", "sensor_token": "l", "translation": [0, 0, 2], "rotation": [1, 0, 0, 0]}
            | {"camera_intrinsic": []},
        ],
        "ego_pose": [{"token": "e", "translation": [10, 20, 0], "rotation": [1, 0, 0, 0]}],
        "sample_data": [
            {"token": str(n), "sample_token": "a", "calibrated_sensor_token": "cc", "ego_pose_token": "e"}
            | {"timestamp": 1_000_000 + 80_000 * n, "filename": f"sweeps/{n}.jpg", "width": WIDTH, "height": HEIGHT}
            for n in range(2)
        ]
        + [{"token": "x", "sample_token": "a", "calibrated_sensor_token": "ll", "ego_pose_token": "e"}
           | {"timestamp": 1, "filename": "x.bin", "width": 0, "height": 0}],
    }  # fmt: skip
    for n in range(2):
        image(tmp_path / f"sweeps/{n}.jpg", n)
    (tmp_path / "v1.0-mini").mkdir()
    for name, rows in tables.items():
        (tmp_path / f"v1.0-mini/{name}.json").write_text(json.dumps(rows))
    source = written(tmp_path, "nuscenes", tmp_path)
    assert refs(source) == [("scene-0061/CAM_FRONT", 0), ("scene-0061/CAM_FRONT", 1)]
    pose = source.world_from_camera(FrameRef("scene-0061/CAM_FRONT", 0, "l"))
    assert np.allclose(pose @ [0, 0, 3, 1], [14.5, 20, 1.6, 1])  # three metres ahead
    (tmp_path / "v1.0-mini/sample.json").write_text("[]")
    assert main(["manifest", "nuscenes", str(tmp_path), "--to", str(tmp_path / "m.jsonl")]) == 2


def test_ddad_with_depth_from_its_lidar(tmp_path):
    """A point 4 m ahead of the camera, on its axis, and one behind it."""
    scene = tmp_path / "000000"
    image(scene / "rgb/CAMERA_01/15.png")
    (scene / "point_cloud").mkdir()
    np.savez(scene / "point_cloud/15.npz", data=np.array([[4.0, 0, -1, 0.5], [-3.0, 0, 0, 0.5]]))
    zero = {"x": 0, "y": 0, "z": 0}
    ahead = {"translation": zero, "rotation": quaternion(0.5, -0.5, 0.5, -0.5)}
    lidar = {"translation": {"x": 0, "y": 0, "z": 1}, "rotation": quaternion(1, 0, 0, 0)}
    content = {
        "samples": [
            {"id": {"timestamp": "2019-05-08T20:42:32.100Z"}, "calibration_key": "k", "datum_keys": ["i", "p"]}],
        "data": [
            {"key": "i", "id": {"name": "CAMERA_01"}, "datum": {"image": {
                "filename": "rgb/CAMERA_01/15.png", "width": WIDTH, "height": HEIGHT, "pose": ahead}}},
            {"key": "p", "id": {"name": "LIDAR"}, "datum": {"point_cloud": {
                "filename": "point_cloud/15.npz", "pose": lidar}}},
        ],
    }  # fmt: skip
    (scene / "scene_a.json").write_text(json.dumps(content))
    (scene / "calibration").mkdir()
    intrinsics = [{"fx": 0, "fy": 0, "cx": 0, "cy": 0}, {"fx": 20, "fy": 20, "cx": 19, "cy": 11, "skew": 0}]
    (scene / "calibration/k.json").write_text(json.dumps({"names": ["LIDAR", "CAMERA_01"], "intrinsics": intrinsics}))
    (tmp_path / "ddad.json").write_text(json.dumps({"scene_splits": {"1": {"filenames": ["000000/scene_a.json"]}}}))
    source = written(tmp_path, "ddad", tmp_path, "--depth_to", tmp_path / "depth")
    (ref,) = source.frames("val")
    pixels = source.depth(ref)
    assert (pixels.rows.tolist(), pixels.columns.tolist(), pixels.depth.tolist()) == ([11], [19], [4.0])


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["tum", "."], "not in TUM RGB-D's layout"),
        (["euroc", "."], "not in EuRoC's layout"),
        (["kitti_odometry", "."], "not in KITTI odometry's layout"),
        (["cityscapes", "."], "no leftImg8bit_sequence"),
        (["nuscenes", "."], "holds 0 versions"),
        (["ddad", "."], "no ddad.json"),
        (["images", "."], "no PNG or JPEG images"),
        (["euroc", ".", "--intrinsics", "x"], "--intrinsics has no place with euroc"),
        (["tum", "gone"], "is not a folder"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["manifest", *arguments, "--to", "m.jsonl"]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.glob("*.jsonl"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real frames beside the repository")
def test_real_frames_in_a_folder(tmp_path):
    folder = SHARED / "kitti_mini/2011_09_26/2011_09_26_drive_0095_sync/image_02/data"
    values = {"fx": 721.5, "fy": 721.5, "cx": 609.6, "cy": 172.9, "width": 1242, "height": 375}
    (tmp_path / "camera.json").write_text(json.dumps(values))
    source = written(tmp_path, "images", folder, "--intrinsics", tmp_path / "camera.json")
    assert len(source.frames("train", (-1, 1))) == 239 and source.size == (1242, 375)

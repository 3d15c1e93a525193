import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from datasets.core.splits import load_split
from datasets.download import SITE, Archive, fetch, main, plan
from datasets.tools import remote
from datasets.tools.remote import RemoteFile
from depth.types import UserError
from tests.kitti_layout import DATE, DRIVE

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def site(tmp_path):
    """A server of a folder that knows Range; it drops a connection after `budget` bytes, where there is one."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = folder / self.path.lstrip("/")
            if not path.is_file():
                return self.send_error(404)
            content, start = path.read_bytes(), 0
            asked = self.headers.get("Range") if self.server.ranges else None
            if asked:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.server.starts.append(start)
            part = content[start : start + self.server.budget] if self.server.budget else content[start:]
            try:
                self.wfile.write(part)
            except OSError:
                pass

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.ranges, server.budget, server.starts, server.folder = True, 0, [], folder
    server.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def put_archive(site, address, names, compression=zipfile.ZIP_DEFLATED, content=CONTENT):
    path = site.folder / address
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for number, name in enumerate(names):
            archive.writestr(name, bytes([number % 256]) + content)
    return path


def put_drive(site, frames=range(6)):
    """Archives as KITTI's: calibration, and a drive with four cameras and scans."""
    put_archive(site, f"raw_data/{DATE}_calib.zip", [f"{DATE}/calib_{n}.txt" for n in CALIBRATION])
    names = [f"{DRIVE}/image_0{c}/data/{f:010d}.png" for c in range(4) for f in frames]
    names += [f"{DRIVE}/velodyne_points/data/{f:010d}.bin" for f in frames]
    return put_archive(site, f"raw_data/{DATE}_drive_0001/{DATE}_drive_0001_sync.zip", names)


CALIBRATION = ("cam_to_cam", "velo_to_cam", "imu_to_velo")


def split_file(tmp_path, text):
    (tmp_path / "some.txt").write_text(text)
    return str(tmp_path / "some.txt")


def files_below(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_the_plan_of_the_eigen_split():
    archives = plan("eigen", "eval")
    refs = load_split("eigen", "test")
    images = [f for a in archives for f in a.files if f.endswith(".png")]
    scans = [f for a in archives for f in a.files if f.endswith(".bin")]
    assert len(images) == len(set(images)) == len(refs) == len(scans) == 697
    drives = {a.address for a in archives if a.address.endswith("_sync.zip")}
    assert "raw_data/2011_09_26_drive_0002/2011_09_26_drive_0002_sync.zip" in drives and len(drives) == 28
    assert {a.address for a in archives} - drives == {
        f"raw_data/{date}_calib.zip" for date in ("2011_09_26", "2011_09_28", "2011_09_29", "2011_09_30", "2011_10_03")
    }


def test_training_needs_the_neighbours_and_stereo_the_other_camera(tmp_path):
    split = split_file(tmp_path, f"{DRIVE} l 1,3\n")
    files = plan(split, "train")[-1].files
    assert sorted(files) == [f"{DRIVE}/image_02/data/{f:010d}.png" for f in range(5)]
    assert plan(split, "train")[-1].neighbours == {f"{DRIVE}/image_02/data/{f:010d}.png" for f in (0, 4)}
    both = plan(split, "train", stereo=True)[-1].files
    assert len(both) == 10 and sum("image_03" in name for name in both) == 5


def test_the_benchmark_needs_depth_maps_instead_of_scans():
    archives = plan("eigen_benchmark", "eval")
    assert not any(f.endswith(".bin") for a in archives for f in a.files)
    maps = archives[-1]
    assert maps.address == "data_depth_annotated.zip" and len(maps.files) == 652 and maps.tops == ("train", "val")


def test_a_split_may_be_named_by_its_file():
    assert plan("splits/eigen_benchmark/test.txt", "eval") == plan("eigen_benchmark", "eval")


def test_a_drives_end_has_no_neighbour(site, tmp_path):
    """eigen_full names the last frames of its drives; a frame of the split itself has to be there."""
    put_drive(site, frames=range(4))
    root = tmp_path / "kitti"
    for frames, code in (("1-3", 0), ("1-4", 2)):
        split = split_file(tmp_path, f"{DRIVE} l {frames}\n")
        line = ["--split", split, "--what", "train", "--data_path", str(root), "--site", site.address, "--fetch"]
        assert main(line) == code
        assert {f"{DRIVE}/image_02/data/{f:010d}.png" for f in range(4)} <= files_below(root)


def test_splits_that_have_nothing_to_be_planned(tmp_path):
    with pytest.raises(UserError, match="odometry layout"):
        plan("odom", "train")
    with pytest.raises(UserError, match="no part for --what train"):
        plan("eigen", "train")


def test_only_what_is_needed_travels(site, tmp_path, capsys):
    whole = put_drive(site, frames=range(60)).stat().st_size
    split = split_file(tmp_path, f"{DRIVE} l 2-3\n")
    root = tmp_path / "kitti"
    arguments = ["--split", split, "--what", "eval", "--data_path", str(root), "--site", site.address]
    assert main(arguments) == 0
    assert not root.exists() and "4 files needed, 4 not here" in capsys.readouterr().out
    assert main([*arguments, "--fetch"]) == 0
    images = {f"{DRIVE}/image_02/data/{f:010d}.png" for f in (2, 3)}
    scans = {f"{DRIVE}/velodyne_points/data/{f:010d}.bin" for f in (2, 3)}
    assert files_below(root) == images | scans | {f"{DATE}/calib_{n}.txt" for n in CALIBRATION}
    content = (root / DRIVE / "image_02" / "data" / "0000000003.png").read_bytes()
    assert content == bytes([2 * 60 + 3]) + CONTENT
    assert whole > 100_000
    asked = len(site.starts)
    assert main([*arguments, "--fetch"]) == 0 and len(site.starts) == asked  # everything is there


def test_what_lies_between_the_needed_files_is_left_out(site, tmp_path):
    names = [f"{i}.png" for i in range(8)]
    path = put_archive(site, "a.zip", names, zipfile.ZIP_STORED, CONTENT * 60)
    received = fetch(Archive("a.zip", ("0.png", "7.png")), tmp_path / "kitti", site.address)
    assert received < 0.5 * path.stat().st_size
    assert files_below(tmp_path / "kitti") == {"0.png", "7.png"}


def test_a_connection_that_breaks_is_taken_up(site, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_PAUSES", (0.0,))
    names = [f"{DRIVE}/image_02/data/{f:010d}.png" for f in range(8)]
    put_archive(site, "a.zip", names, zipfile.ZIP_STORED)
    site.budget = 30_000
    assert fetch(Archive("a.zip", tuple(names)), tmp_path / "kitti", site.address) > 80_000
    for number, name in enumerate(names):
        assert (tmp_path / "kitti" / name).read_bytes() == bytes([number]) + CONTENT
    assert any(start > 0 for start in site.starts)


def test_what_is_there_is_not_fetched_again(site, tmp_path):
    names = [f"{DRIVE}/image_02/data/{f:010d}.png" for f in range(4)]
    put_archive(site, "a.zip", names)
    archive, root = Archive("a.zip", tuple(names)), tmp_path / "kitti"
    (root / names[0]).parent.mkdir(parents=True)
    (root / names[0]).with_suffix(".jpg").write_bytes(b"converted")
    (root / names[1]).write_bytes(b"there")
    assert archive.lacking(root) == names[2:]
    fetch(archive, root, site.address)
    assert (root / names[1]).read_bytes() == b"there" and not (root / names[0]).exists()
    assert fetch(archive, root, site.address) == 0


def test_one_of_two_folders_inside(site, tmp_path):
    put_archive(site, "d.zip", ["val/drive/x.png", "train/other/y.png"])
    archive = Archive("d.zip", ("drive/x.png", "other/y.png"), ("train", "val"), "home")
    fetch(archive, tmp_path, site.address)
    assert (tmp_path / "home/val/drive/x.png").is_file() and (tmp_path / "home/train/other/y.png").is_file()
    assert archive.lacking(tmp_path) == []


def test_a_damaged_file_is_not_unpacked(site, tmp_path):
    path = put_archive(site, "a.zip", ["good.png", "bad.png"], zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[len(content) - len(CONTENT) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(UserError, match="a.zip.*bad.png"):
        fetch(Archive("a.zip", ("good.png", "bad.png")), tmp_path / "kitti", site.address)
    assert files_below(tmp_path / "kitti") == {"good.png"}


def test_servers_that_cannot_help(site, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_PAUSES", ())
    with pytest.raises(UserError, match="404"):
        fetch(Archive("no.zip", ("a.png",)), tmp_path, site.address)
    put_archive(site, "a.zip", ["a.png"])
    with pytest.raises(UserError, match="lacks 1 of the needed files, for instance b.png"):
        fetch(Archive("a.zip", ("a.png", "b.png")), tmp_path, site.address)
    assert (tmp_path / "a.png").is_file()
    (site.folder / "t.zip").write_bytes(b"no archive" * 50)
    with pytest.raises(UserError, match="not a ZIP"):
        fetch(Archive("t.zip", ("a2.png",)), tmp_path, site.address)
    site.ranges = False
    with pytest.raises(UserError, match="parts of files"):
        fetch(Archive("a.zip", ("c.png",)), tmp_path, site.address)
    with pytest.raises(UserError, match="same command goes on"):
        RemoteFile("http://127.0.0.1:9/none.zip")
    with pytest.raises(UserError, match="web address"):
        RemoteFile("file:///etc/passwd")


def test_the_site_is_kittis():
    assert SITE == "https://s3.eu-central-1.amazonaws.com/avg-kitti"

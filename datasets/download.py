"""What a split needs of KITTI, listed or fetched from KITTI's own site; only the files that are needed travel.

    python -m datasets.download --split eigen --what eval
    python -m datasets.download --split eigen --what eval --data_path kitti_data --fetch
    python -m datasets.download --split eigen_zhou --what train --data_path kitti_data --fetch

lists the archives, or takes the needed files out of them with HTTP Range requests: the colour images and, for
evaluation, the scans of the frames (or their improved depth maps). Started again it goes on with what is not there.
KITTI's data is licensed CC BY-NC-SA 3.0; with --fetch you agree to its terms.
"""

from __future__ import annotations

import io
import sys
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from datasets.core.splits import FrameRef, Part, has_part, load_split, split_name
from datasets.tools.command import Parser, as_command
from datasets.tools.remote import RemoteFile
from depth.support.files import write_file
from depth.types import UserError

What = Literal["eval", "train"]

SITE = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
_CALIBRATION = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt")
_CAMERA = {"l": "2", "r": "3"}
_MAX_MEMBER_BYTES = 1 << 28  # an image has one megabyte, a scan two
_BUFFER = 1 << 16
# Means of KITTI's files, for estimates.
_IMAGE_BYTES, _SCAN_BYTES, _DEPTH_BYTES = 850_000, 1_900_000, 250_000


@dataclass(frozen=True)
class Archive:
    """An archive and the files that are needed of it."""

    address: str  # below the site
    files: tuple[str, ...]  # names inside
    tops: tuple[str, ...] = ("",)  # folders inside in one of which each name stands
    home: str = ""  # folder below the data path into which it unpacks
    neighbours: frozenset[str] = frozenset()  # of the files, those that are not there at a drive's ends

    def names(self, file: str) -> list[str]:
        """What a file may be called inside."""
        return [f"{top}/{file}" if top else file for top in self.tops]

    def lacking(self, root: Path) -> list[str]:
        """The files that are not there yet; an image that was made a JPEG is."""
        return [f for f in self.files if not any(_is_there(root / self.home / name) for name in self.names(f))]


def plan(split: str, what: What, stereo: bool = False) -> list[Archive]:
    """The archives of KITTI's raw data that hold a split's frames, in order.

    Args:
        split: name, folder or file.
        what: "eval" takes the test part with its ground truth, "train" the other parts with the frames before and
            after.
        stereo: also the other camera's images.

    Raises:
        UserError: an unknown split, one without that part, or one of the odometry layout.
    """
    refs = _refs(split, what)
    improved = what == "eval" and split_name(split) == "eigen_benchmark"
    offsets = (0,) if what == "eval" else (0, -1, 1)
    files: dict[str, dict[str, None]] = {}  # drive -> files, in order and once
    named: set[str] = set()  # of the split's own frames
    for ref in refs:
        drive = files.setdefault(ref.folder, {})
        for side in (ref, ref.neighbour(0)) if stereo else (ref,):
            frames = [FrameRef(side.folder, side.frame + offset, side.side) for offset in offsets]
            drive.update(dict.fromkeys(_image(frame) for frame in frames if frame.frame >= 0))
            named.add(_image(side))
        if what == "eval" and not improved:
            scan = f"{ref.folder}/velodyne_points/data/{ref.frame:010d}.bin"
            drive[scan] = None
            named.add(scan)
    dates = dict.fromkeys(folder.split("/")[0] for folder in files)
    archives = [Archive(f"raw_data/{d}_calib.zip", tuple(f"{d}/{name}" for name in _CALIBRATION)) for d in dates]
    archives += [Archive(_drive_address(d), tuple(f), neighbours=_beyond(f, named)) for d, f in files.items()]
    if improved:
        maps = tuple(_depth_map(ref) for ref in refs)
        archives.append(Archive("data_depth_annotated.zip", maps, ("train", "val"), "data_depth_annotated"))
    return archives


def _beyond(files: Iterable[str], named: set[str]) -> frozenset[str]:
    """Of a drive's files, those of frames before its first named one or after its last."""
    frames = {int(Path(file).stem) for file in files if file in named}
    return frozenset(f for f in files if f not in named and not min(frames) < int(Path(f).stem) < max(frames))


def _refs(split: str, what: What) -> list[FrameRef]:
    parts: tuple[Part, ...] = ("test",) if what == "eval" else ("train", "val")
    refs = [ref for part in parts if has_part(split, part) for ref in load_split(split, part)]
    if not refs:
        raise UserError(f"--split {split} has no part for --what {what}")
    if any("/" not in ref.folder for ref in refs):
        raise UserError(
            f"--split {split} is of the odometry layout: unpack data_odometry_color.zip, data_odometry_calib.zip and "
            f"data_odometry_poses.zip ({SITE}) by hand"
        )
    return refs


def _drive_address(folder: str) -> str:
    drive = folder.split("/")[-1]
    return f"raw_data/{drive.removesuffix('_sync')}/{drive}.zip"


def _image(ref: FrameRef) -> str:
    return f"{ref.folder}/image_0{_CAMERA[ref.side]}/data/{ref.frame:010d}.png"


def _depth_map(ref: FrameRef) -> str:
    camera = f"image_0{_CAMERA[ref.side]}"
    return f"{ref.folder.split('/')[-1]}/proj_depth/groundtruth/{camera}/{ref.frame:010d}.png"


def _is_there(path: Path) -> bool:
    suffixes = (".png", ".jpg", ".jpeg") if path.suffix == ".png" else (path.suffix,)
    return any(path.with_suffix(each).is_file() for suffix in suffixes for each in (suffix, suffix.upper()))


def listing(archives: Iterable[Archive], root: Path, site: str) -> list[str]:
    """A line per archive with what is needed of it, and a line that adds up."""
    lines, needed, left, size = [], 0, 0, 0
    for archive in archives:
        lacking = archive.lacking(root)
        needed, left = needed + len(archive.files), left + len(lacking)
        size += sum(map(_expected_bytes, lacking))
        lines.append(f"{site}/{archive.address}  {len(archive.files):,} files needed, {len(lacking):,} not here")
    lines.append(f"{left:,} of {needed:,} files are to be fetched, about {size / 1e9:.1f} GB, into {root}")
    return lines


def _expected_bytes(file: str) -> int:
    if file.endswith(".bin"):
        return _SCAN_BYTES
    return _DEPTH_BYTES if "proj_depth" in file else _IMAGE_BYTES * file.endswith(".png")


def fetch(archive: Archive, root: Path, site: str) -> int:
    """Takes the lacking files out of an archive; returns how many bytes came over the line.

    Each file is checked (size and checksum of the archive's list) and appears whole or not at all.
    A neighbour that the archive has not got lies beyond the drive's end. Raises UserError where the server or the
    archive has not got another file, or a file is damaged.
    """
    lacking = archive.lacking(root)
    if not lacking:
        return 0
    url = f"{site}/{archive.address}"
    try:
        with RemoteFile(url) as remote, zipfile.ZipFile(io.BufferedReader(remote, _BUFFER)) as opened:
            members = {info.filename: info for info in opened.infolist()}
            chosen = [name for file in lacking for name in archive.names(file) if name in members]
            for name in tqdm(
                sorted(chosen, key=lambda name: members[name].header_offset),
                desc=archive.address.rpartition("/")[2],
                unit="file",
                disable=None,
            ):
                _unpack(opened, members[name], root / archive.home / name, url)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(f"{url}: not a ZIP archive, or a damaged one ({error}); the same command tries again") from None
    absent = [file for file in archive.lacking(root) if file not in archive.neighbours]
    if absent:
        raise UserError(f"{url} lacks {len(absent):,} of the needed files, for instance {absent[0]}")
    return remote.received


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path, url: str) -> None:
    if member.file_size > _MAX_MEMBER_BYTES:
        raise UserError(f"{url}: {member.filename} claims {member.file_size:,} bytes; that is not KITTI's")
    content = opened.read(member)
    if len(content) != member.file_size:
        raise UserError(f"{url}: {member.filename} has {len(content):,} of {member.file_size:,} bytes")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {place.parent}: {error.strerror or error}") from None
    write_file(place, content, flush=False)


@as_command("stopped; the same command goes on")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Parser(prog="python -m datasets.download", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--split", default="eigen", help="name, folder or file of a split (default eigen)")
    parser.add_argument("--what", choices=("eval", "train"), default="eval", help="test part, or train and val parts")
    parser.add_argument("--data_path", type=Path, default=Path("kitti_data"), help="where to (default kitti_data)")
    parser.add_argument("--stereo", action="store_true", help="also the other camera's images")
    parser.add_argument("--fetch", action="store_true", help="fetch what is not there; without, it is listed")
    parser.add_argument("--site", default=SITE, help=f"default {SITE}")
    options = parser.parse_args(arguments)
    archives = plan(options.split, options.what, options.stereo)
    print(*listing(archives, options.data_path, options.site), sep="\n")
    if not options.fetch:
        print("nothing was fetched; --fetch does it")
        return 0
    received = sum(fetch(archive, options.data_path, options.site) for archive in archives)
    print(f"done: all files are in {options.data_path}; {received / 1e6:,.0f} MB were fetched")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""KITTI's two layouts on disk: raw recordings and the odometry benchmark.

Every folder is listed once, so that tens of thousands of frames are looked up without a system call each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from datasets.core.images import image_size
from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from datasets.core.truth import GroundTruth
from datasets.kitti.calibration import CameraPair, read_odometry_cameras, read_raw_cameras, read_raw_velodyne
from datasets.kitti.ground_truth import DepthMapGroundTruth, VelodyneGroundTruth
from datasets.kitti.oxts import distance, read_times
from datasets.kitti.poses import poses_path, read_poses
from depth.types import UserError

_CAMERA = {"l": "2", "r": "3"}
_NUMBERED = re.compile(r"([0-9]{1,10})\.([A-Za-z]+)")
# The order of preference where a frame is there twice: PNG has no compression loss.
_IMAGE_SUFFIXES = ("png", "jpg", "jpeg")
_RAW_DRIVE = re.compile(r"([0-9]{4}_[0-9]{2}_[0-9]{2})_drive_[0-9]{4}_sync")


class _Frames(FrameSource):
    """What the two layouts share: folder listings by frame number, each read once, and the calibration's answers.

    See datasets.core.sources.FrameSource.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"the data path {self.root} is not a folder")
        self._listed: dict[tuple[str, tuple[str, ...]], dict[int, str]] = {}
        self._cameras: dict[str, CameraPair] = {}
        self._poses: dict[str, np.ndarray | None] = {}

    def has(self, ref: FrameRef) -> bool:
        """Whether the image is there, by the folder's listing."""
        return self._image(ref) is not None

    def image_path(self, ref: FrameRef) -> Path:
        """The image file. Raises UserError where it is not there."""
        path = self._image(ref)
        if path is None:
            raise UserError(f"no image for frame {ref.name}: {self.example_path(ref)} (or .jpg) is missing")
        return path

    def intrinsics(self, ref: FrameRef) -> tuple[np.ndarray, tuple[int, int]]:
        """K, float64 (3,3), pixels of the original image, and its (width, height). Raises UserError."""
        camera = self.cameras(ref).camera(ref.side)
        return camera.intrinsics, (camera.width, camera.height)

    def stereo_from(self, ref: FrameRef) -> np.ndarray:
        """other_from_this, float64 (4,4), metres. Raises UserError."""
        return self.cameras(ref).other_from_this(ref.side)

    def world_from_camera(self, ref: FrameRef) -> np.ndarray | None:
        """From the recording's file of poses, where there is one; the right camera's by the calibration."""
        if ref.folder not in self._poses:
            path = poses_path(self.root, ref.folder)
            self._poses[ref.folder] = read_poses(path) if path.is_file() else None
        poses = self._poses[ref.folder]
        if poses is None or not 0 <= ref.frame < len(poses):
            return None
        return poses[ref.frame] if ref.side == "l" else poses[ref.frame] @ self.stereo_from(ref)

    def cameras(self, ref: FrameRef) -> CameraPair:
        """The calibration of the recording. Raises UserError where it is missing or malformed."""
        raise NotImplementedError

    def example_path(self, ref: FrameRef) -> Path:
        """Where the image would be, for messages."""
        raise NotImplementedError

    def _image_folder(self, ref: FrameRef) -> str:
        """The folder of the image, relative to the root."""
        raise NotImplementedError

    def _image(self, ref: FrameRef) -> Path | None:
        return self._find(self._image_folder(ref), ref.frame, _IMAGE_SUFFIXES)

    def span(self, ref: FrameRef) -> tuple[int, int] | None:
        """The first and the last frame that are there of a drive's camera, None where none is."""
        listed = self._listing(self._image_folder(ref), _IMAGE_SUFFIXES)
        return (min(listed), max(listed)) if listed else None

    def _find(self, folder: str, frame: int, suffixes: tuple[str, ...]) -> Path | None:
        """The file of a frame in a folder below the root, or None."""
        name = self._listing(folder, suffixes).get(frame)
        return None if name is None else self.root / folder / name

    def _listing(self, folder: str, suffixes: tuple[str, ...]) -> dict[int, str]:
        """The files of a folder by their frames, listed once."""
        key = (folder, suffixes)
        if key not in self._listed:
            self._listed[key] = _list_frames(self.root / folder, suffixes)
        return self._listed[key]


class KittiRaw(_Frames):
    """<root>/<date>/<drive>/image_02/data/<frame>.png or .jpg, calibration in <root>/<date>. A FrameSource.

    `folder` of a FrameRef is "<date>/<drive>". Raises UserError where the root is no folder.
    """

    @classmethod
    def recognises(cls, root: Path, refs: Sequence[FrameRef]) -> bool:
        """Whatever no other reader claims."""
        return True

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        self._velodyne: dict[str, np.ndarray] = {}
        self._times: dict[str, list[float]] = {}

    def example_path(self, ref: FrameRef) -> Path:
        """Where the image would be, for messages."""
        return self.root / self._image_folder(ref) / f"{ref.frame:010d}.png"

    def archive(self, folder: str) -> str:
        """What is to be downloaded for a drive, for messages."""
        drive = PurePosixPath(folder).name
        known = _RAW_DRIVE.fullmatch(drive)
        if known is None:
            return f"expected {self.root / folder}"
        if (self.root / folder / "image_00").is_dir() and not (self.root / folder / "image_02").is_dir():
            return f"{self.root / folder} has the grey cameras alone (image_00): the colour images are in {drive}.zip"
        calibrated = (self.root / _date(folder) / "calib_cam_to_cam.txt").is_file()
        return f"download {drive}.zip" + ("" if calibrated else f" and {known[1]}_calib.zip") + " (KITTI raw data)"

    def cameras(self, ref: FrameRef) -> CameraPair:
        """The calibration of the frame's date. Raises UserError where it is missing or malformed."""
        date = _date(ref.folder)
        if date not in self._cameras:
            path = self.root / date / "calib_cam_to_cam.txt"
            self._cameras[date] = read_raw_cameras(self._calibration_file(path, date))
        return self._cameras[date]

    def reference_from_velodyne(self, ref: FrameRef) -> np.ndarray:
        """Reference camera (0, unrectified) from lidar, float64 (4,4), metres. Raises UserError as `cameras` does."""
        date = _date(ref.folder)
        if date not in self._velodyne:
            path = self.root / date / "calib_velo_to_cam.txt"
            self._velodyne[date] = read_raw_velodyne(self._calibration_file(path, date))
        return self._velodyne[date]

    def scan_path(self, ref: FrameRef) -> Path | None:
        """The lidar scan of a frame, None where it is not there."""
        return self._find(f"{ref.folder}/velodyne_points/data", ref.frame, ("bin",))

    def depth_map_path(self, ref: FrameRef) -> Path | None:
        """The improved (or, in the embedded world, the dense) depth map of a frame, None where it is not there.

        Looked for in the drive's own folder and where KITTI's archive of annotated depth unpacks:
        data_depth_annotated/, which has train/<drive> and val/<drive>.
        """
        camera = f"proj_depth/groundtruth/image_0{_CAMERA[ref.side]}"
        drive = PurePosixPath(ref.folder).name
        homes = [f"{top}{part}/{drive}" for top in ("", "data_depth_annotated/") for part in ("train", "val")]
        found = (self._find(f"{home}/{camera}", ref.frame, ("png",)) for home in (ref.folder, *homes))
        return next((path for path in found if path is not None), None)

    def travelled(self, ref: FrameRef, offset: int) -> float | None:
        """By the poses where there are any, else by the mean of both frames' speeds in oxts and the time between."""
        known = super().travelled(ref, offset)
        paths = [self._find(f"{ref.folder}/oxts/data", frame, ("txt",)) for frame in (ref.frame, ref.frame + offset)]
        if known is not None or None in paths:
            return known
        if ref.folder not in self._times:
            self._times[ref.folder] = read_times(self.root / ref.folder / "oxts" / "timestamps.txt")
        return distance(paths, (ref.frame, ref.frame + offset), self._times[ref.folder])

    def ground_truth(self, kind: str | None, cache: Path | None) -> GroundTruth:
        """ "velodyne", from the scans, is that of the eigen protocol, "improved" KITTI's annotated depth maps.

        "dense", the embedded world's own, is stored like those. `cache` is for what is made from scans.
        """
        kind = kind or ("dense" if (self.root / "world.json").is_file() else "velodyne")
        return VelodyneGroundTruth(self, cache) if kind == "velodyne" else DepthMapGroundTruth(self)

    def _image_folder(self, ref: FrameRef) -> str:
        return f"{ref.folder}/image_0{_CAMERA[ref.side]}/data"

    def _calibration_file(self, path: Path, date: str) -> Path:
        if not path.is_file():
            raise UserError(f"no calibration {path}: unpack {date or 'the date'}_calib.zip (KITTI raw data) there")
        return path


class KittiOdometry(_Frames):
    """<root>/sequences/<number>/image_2/<frame>.png or .jpg with calib.txt beside it. A FrameSource.

    `folder` of a FrameRef is the sequence's number. The root may also be the folder above dataset/, in which KITTI's
    archives have all, or sequences/ itself. Raises UserError where it is no folder.
    """

    def __init__(self, root: Path | str) -> None:
        super().__init__(odometry_home(Path(root)))

    @classmethod
    def recognises(cls, root: Path, refs: Sequence[FrameRef]) -> bool:
        """Whether the wanted folders are sequence numbers."""
        return all(ref.folder.isdecimal() for ref in refs)

    def example_path(self, ref: FrameRef) -> Path:
        """Where the image would be, for messages."""
        return self.root / self._image_folder(ref) / f"{ref.frame:06d}.png"

    def archive(self, folder: str) -> str:
        """What is to be downloaded for a sequence, for messages."""
        home = self.root / "sequences"
        if any(home.glob("*/image_0")) and not any(home.glob("*/image_2")):
            return f"{home} has the grey images alone (image_0): download data_odometry_color.zip (KITTI odometry)"
        return "download data_odometry_color.zip and data_odometry_calib.zip (KITTI odometry)"

    def cameras(self, ref: FrameRef) -> CameraPair:
        """The sequence's calibration; the image size, which it lacks, is that of the given frame. Raises UserError."""
        sequence = _sequence(ref.folder)
        if sequence not in self._cameras:
            path = self.root / sequence / "calib.txt"
            if not path.is_file():
                raise UserError(f"no calibration {path}: unpack data_odometry_calib.zip (KITTI odometry) there")
            self._cameras[sequence] = read_odometry_cameras(path, image_size(self.image_path(ref)))
        return self._cameras[sequence]

    def _image_folder(self, ref: FrameRef) -> str:
        return f"{_sequence(ref.folder)}/image_{_CAMERA[ref.side]}"


def odometry_home(root: Path) -> Path:
    """The folder with sequences/ and poses/: the root, dataset/ in it, or what is above it; else the root itself."""
    homes = (root, root / "dataset", *([root.absolute().parent] if root.absolute().name == "sequences" else []))
    return next((home for home in homes if (home / "sequences").is_dir()), root)


def _date(folder: str) -> str:
    """The folder above the drive, e.g. 2011_09_26: calibration belongs to a day."""
    return folder.rpartition("/")[0]


def _sequence(folder: str) -> str:
    """Monodepth2's files say "9" where the folder is called "09"."""
    return f"sequences/{int(folder):02d}" if folder.isdecimal() else f"sequences/{folder}"


def _list_frames(folder: Path, suffixes: tuple[str, ...]) -> dict[int, str]:
    """Frame number -> file name. An absent folder has no frames; an unreadable one is a UserError."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UserError(f"cannot list {folder}: {error.strerror or error}") from None
    frames: dict[int, str] = {}
    for suffix in reversed(suffixes):
        for name in sorted(names):  # of a.PNG and a.png the latter is taken
            match = _NUMBERED.fullmatch(name)
            if match is not None and match[2].lower() == suffix:
                frames[int(match[1])] = name
    return frames

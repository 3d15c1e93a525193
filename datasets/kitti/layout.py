"""KITTI's two layouts on disk: raw recordings and the odometry benchmark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from datasets.core.images import image_size
from datasets.core.splits import FrameRef
from datasets.core.truth import GroundTruth
from datasets.kitti.calibration import CameraPair, read_odometry_cameras, read_raw_cameras, read_raw_velodyne
from datasets.kitti.ground_truth import DepthMapGroundTruth, VelodyneGroundTruth
from datasets.kitti.listing import CAMERA, NumberedFrames
from datasets.kitti.oxts import distance, read_times
from depth.types import UserError

_RAW_DRIVE = re.compile(r"([0-9]{4}_[0-9]{2}_[0-9]{2})_drive_[0-9]{4}_sync")


class KittiRaw(NumberedFrames):
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
        camera = f"proj_depth/groundtruth/image_0{CAMERA[ref.side]}"
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

        "dense", the embedded world's own, is stored like those. "camera", to learn from, is that of the scans without
        the protocol's quirks, or the world's. `cache` is for what is made from scans.
        """
        if kind in (None, "camera") and (self.root / "world.json").is_file():
            kind = "dense"
        if kind in ("dense", "improved"):
            return DepthMapGroundTruth(self)
        return VelodyneGroundTruth(self, cache, published=kind != "camera")

    def _image_folder(self, ref: FrameRef) -> str:
        return f"{ref.folder}/image_0{CAMERA[ref.side]}/data"

    def _calibration_file(self, path: Path, date: str) -> Path:
        if not path.is_file():
            raise UserError(f"no calibration {path}: unpack {date or 'the date'}_calib.zip (KITTI raw data) there")
        return path


class KittiOdometry(NumberedFrames):
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
        return f"{_sequence(ref.folder)}/image_{CAMERA[ref.side]}"


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

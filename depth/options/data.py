"""Where the frames come from. Fields that are None depend on the dataset; depth.options.config.resolved fills them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from depth.options.fields import Integer, Number, Text, check

# Without video.
LABELLED_DATASETS = ("camvid", "cityscapes", "kitti_semantics", "vkitti2", "nyud", "ade20k", "coco_panoptic")

MOST_PITCH = 15.0  # degrees; beyond it more than half of a usual image lies outside what the camera saw


@dataclass(frozen=True)
class DataOptions:
    """Where the frames come from and what a sample is."""

    data_path: Text = None
    """Folder of KITTI's data, footage for --dataset video, a file for --dataset frames. Default: $KITTI_DATA, then
    ./kitti_data; where neither is, the embedded synthetic world is used and named in everything that is written."""
    dataset: Literal["kitti", "synthetic", "video", "frames", *LABELLED_DATASETS] = "kitti"
    """What the data is; synthetic is the embedded world, video is footage of your own: --data_path is then a video, a
    folder of images, or a folder of clips; frames is any data set in one file: --data_path is then a
    manifest (docs/MANIFEST.md). The others are labelled sets without video, for --tasks."""
    split: str = "eigen_zhou"
    """Name of a split in splits/, or a folder or file of your own; odom reads KITTI's odometry layout."""
    height: Integer = None
    """Rows of the network's input in pixels, a multiple of 32. Default: 192 (64 on the embedded world, 128 with labels;
    with video and frames, as the images' aspect asks for; with labelled sets, near their own)."""
    width: Integer = None
    """Columns of the network's input in pixels, a multiple of 32. Default: 640 (224 on the embedded world, 416 with
    labels; with video and frames, as the images' aspect asks for; with labelled sets, near their own)."""
    frame_ids: tuple[int, ...] = (0, -1, 1)
    """Frames of a sample as offsets in time; 0, the target, comes first."""
    intrinsics: Text = None
    """video: JSON file {"width", "height", "fx", "fy", "cx", "cy"} in pixels of the original image."""
    fov: Number = None
    """video: horizontal field of view in degrees, where there is no --intrinsics."""
    poses: Literal["network", "from_file"] = "network"
    """Whence the motion between frames: the pose network, or from_file: a manifest's "pose", KITTI odometry's poses, a
    drive's poses.txt. Depths are then in metres, and there is no pose network."""
    learn_intrinsics: bool = False
    """Learns the camera's intrinsics with the poses, instead of taking them from a file or the calibration."""
    keep_still: bool = False
    """video: keeps the frames in which the camera stands or turns on the spot."""
    use_stereo: bool = False
    """Adds the other camera as a source, with the real baseline in metres; --frame_ids 0 leaves it alone."""
    pitch_jitter: Number = None
    """Turns the cameras of each training sample up or down by up to so many degrees, all alike, as if they had been
    mounted otherwise. Default: 0 (2.2 on the embedded world, whose cameras differ by that, from video alone)."""
    skip_missing: bool = False
    """Goes on with the frames that are there, and prints how much that is, instead of stopping with a list."""
    on_bad_sample: Literal["stop", "skip"] = "stop"
    """What becomes of a training frame that cannot be read: stop with its name, or skip takes another one, says so,
    counts, and stops above 1 % of an epoch."""
    num_workers: Integer = None
    """Loader processes. Default: one a core but one, at most 16."""
    cache: Text = None
    """Folder in which the frames are kept decoded and at training size, 0.37 MB each at 640x192; written before the
    first epoch, and used again while split, size and files stay. Default: frames are decoded each time."""
    cache_dir: Text = None
    """Folder for the embedded world, for ground truth made from scans, and for the frames of videos. Default:
    $DEJAVU_CACHE, then ~/.cache/dejavu-depth."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            check(
                value is None or (value >= 64 and value % 32 == 0),
                f"--{name} {value} is not a multiple of 32, or below 64",
            )
        check(len(self.frame_ids) > 0 and self.frame_ids[0] == 0, "--frame_ids begins with 0, the target")
        check(len(set(self.frame_ids)) == len(self.frame_ids), f"--frame_ids {self.frame_ids} names a frame twice")
        check(len(self.frame_ids) > 1 or self.use_stereo, "--frame_ids 0 alone needs --use_stereo")
        check(self.num_workers is None or self.num_workers >= 0, "--num_workers is 0 or more")
        check(0 <= (self.pitch_jitter or 0) <= MOST_PITCH, f"--pitch_jitter lies between 0 and {MOST_PITCH:g} degrees")
        check(not (self.pitch_jitter and self.learn_intrinsics), "--pitch_jitter needs the intrinsics to be known")
        self._check_camera()

    def _check_camera(self) -> None:
        video = self.dataset == "video"
        check(not video or self.data_path is not None, "--dataset video needs --data_path: a video or a folder")
        check(self.dataset != "frames" or self.data_path is not None, "--dataset frames needs --data_path: a manifest")
        check(not (video and self.use_stereo), "--dataset video has one camera: --use_stereo needs KITTI's layout")
        check(video or not (self.intrinsics or self.fov is not None), "--intrinsics and --fov need --dataset video")
        given = (self.intrinsics is not None) + (self.fov is not None) + self.learn_intrinsics
        check(given <= 1, "--intrinsics, --fov and --learn_intrinsics exclude each other")
        known = self.poses == "from_file"
        check(not (known and self.learn_intrinsics), "--poses from_file leaves no network to learn the intrinsics from")
        check(not (known and video), "--poses from_file needs KITTI's layout or a manifest: a video has no poses")
        check(not self.learn_intrinsics or len(self.frame_ids) > 1, "--learn_intrinsics needs sources in time")

"""Small hand-made folders in KITTI's layouts for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

DATE = "2011_09_26"
DRIVE = f"{DATE}/{DATE}_drive_0001_sync"
WIDTH, HEIGHT = 40, 24

# Focal length 20, the left camera at the reference, the right one 0.5 m to its right.
CAM_TO_CAM = f"""calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
R_rect_00: 1 0 0 0 1 0 0 0 1
S_rect_02: {WIDTH} {HEIGHT}
P_rect_02: 20 0 19.5 0 0 20 11.5 0 0 0 1 0
S_rect_03: {WIDTH} {HEIGHT}
P_rect_03: 20 0 19.5 -10 0 20 11.5 0 0 0 1 0
"""

# Camera x, y, z are lidar -y, -z, x; the camera is 0.3 m in front of the lidar.
VELO_TO_CAM = "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 -0.3\n"


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Random uint8 (H,W,3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_raw(root: Path, frames: range = range(5), sides: str = "lr", suffix: str = "png") -> Path:
    """A KITTI raw folder with one drive; the picture of frame f is picture(f), of its right camera picture(100 + f)."""
    (root / DATE).mkdir(parents=True, exist_ok=True)
    (root / DATE / "calib_cam_to_cam.txt").write_text(CAM_TO_CAM)
    (root / DATE / "calib_velo_to_cam.txt").write_text(VELO_TO_CAM)
    for side in sides:
        folder = root / DRIVE / ("image_02" if side == "l" else "image_03") / "data"
        folder.mkdir(parents=True, exist_ok=True)
        for frame in frames:
            image = Image.fromarray(picture(frame + (0 if side == "l" else 100)))
            image.save(folder / f"{frame:010d}.{suffix}", **({"quality": 95} if suffix == "jpg" else {}))
    return root


def write_scan(root: Path, frame: int, points: list[tuple[float, float, float]]) -> Path:
    """A lidar scan of the drive with these points."""
    path = root / DRIVE / "velodyne_points" / "data" / f"{frame:010d}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.array([(*point, 0.5) for point in points], dtype="<f4").tofile(path)
    return path


def write_odometry(root: Path, sequence: str = "09", frames: range = range(3)) -> Path:
    """A KITTI odometry folder with one sequence."""
    folder = root / "sequences" / sequence
    for camera in ("image_2", "image_3"):
        (folder / camera).mkdir(parents=True, exist_ok=True)
        for frame in frames:
            Image.fromarray(picture(frame)).save(folder / camera / f"{frame:06d}.png")
    rows = ["P0: 20 0 19.5 0 0 20 11.5 0 0 0 1 0", "P1: 20 0 19.5 -9 0 20 11.5 0 0 0 1 0"]
    rows += ["P2: 20 0 19.5 1 0 20 11.5 0 0 0 1 0", "P3: 20 0 19.5 -8 0 20 11.5 0 0 0 1 0"]
    (folder / "calib.txt").write_text("\n".join(rows) + "\n")
    return root

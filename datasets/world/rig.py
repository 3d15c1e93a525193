"""The sensors on the car: pinhole cameras 0..3, a scanner and an IMU, with KITTI's calibration files.

The numbers are ours. Frames as in KITTI: camera x right, y down, z forward; scanner and IMU x forward,
y left, z up. Cameras 2 and 3 are rectified: they differ from camera 0 by a shift along x only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FOCAL_PER_WIDTH = 0.58  # horizontal field of view 81.5 degrees, close to KITTI's
CENTRE_X, CENTRE_Y = 0.491, 0.461  # off the middle on purpose: a flip that forgets cx must show
CAMERA_X = (0.0, 0.537, -0.060, 0.480)  # metres to the right of camera 0; cameras 2 and 3 are 0.54 apart


def rotation(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Rz(yaw) Ry(pitch) Rx(roll), angles in radians -> (3,3) float64 (KITTI's oxts convention)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return rz @ ry @ rx


def rigid(rot: np.ndarray, shift: np.ndarray | tuple[float, float, float]) -> np.ndarray:
    """(4,4) transform x -> rot x + shift."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rot, shift
    return out


_AXES = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # camera axes from scanner axes
R_RECT = rotation(0.004, 0.009, -0.007)
CAM0_FROM_VELO = rigid(rotation(0.006, -0.008, 0.005) @ _AXES, (-0.004, -0.076, -0.272))
VELO_FROM_IMU = rigid(rotation(0.010, -0.002, 0.001), (-0.810, 0.320, -0.800))


@dataclass(frozen=True)
class Rig:
    """The sensors for one native image size."""

    height: int  # pixels
    width: int  # pixels

    @property
    def intrinsics(self) -> np.ndarray:
        """K of all rectified cameras, (3,3), pixels; pixel centres lie at integer coordinates."""
        focal = FOCAL_PER_WIDTH * self.width
        return np.array(
            [[focal, 0, CENTRE_X * self.width - 0.5], [0, focal, CENTRE_Y * self.height - 0.5], [0, 0, 1.0]]
        )

    def camera_from_velo(self, camera: int) -> np.ndarray:
        """(4,4) rectified camera `camera` from scanner."""
        shift = rigid(np.eye(3), (-CAMERA_X[camera], 0, 0))
        return shift @ rigid(R_RECT, (0, 0, 0)) @ CAM0_FROM_VELO

    def camera_from_imu(self, camera: int) -> np.ndarray:
        """(4,4) rectified camera `camera` from IMU."""
        return self.camera_from_velo(camera) @ VELO_FROM_IMU

    def calibration_files(self) -> dict[str, str]:
        """File name -> text of the three calibration files of a KITTI date folder."""
        lines = ["calib_time: 01-Jan-2000 12:00:00", "corner_dist: 1.000000e-01"]
        for camera, offset in enumerate(CAMERA_X):
            projection = self.intrinsics @ np.hstack([np.eye(3), [[-offset], [0], [0]]])
            # Unrectified cameras are parallel to camera 0, so one rectifying rotation serves them all.
            entries = {
                "S": np.array([self.width, self.height]),
                "K": self.intrinsics,
                "D": np.zeros(5),
                "R": np.eye(3),
                "T": R_RECT.T @ [-offset, 0, 0],
                "S_rect": np.array([self.width, self.height]),
                "R_rect": R_RECT,
                "P_rect": projection,
            }
            lines += [f"{key}_{camera:02d}: {_numbers(value)}" for key, value in entries.items()]
        return {
            "calib_cam_to_cam.txt": "\n".join(lines) + "\n",
            "calib_velo_to_cam.txt": _rigid_text(CAM0_FROM_VELO) + "delta_f: 0.0 0.0\ndelta_c: 0.0 0.0\n",
            "calib_imu_to_velo.txt": _rigid_text(VELO_FROM_IMU),
        }


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.12e}" for value in np.ravel(values))


def _rigid_text(transform: np.ndarray) -> str:
    rot, shift = _numbers(transform[:3, :3]), _numbers(transform[:3, 3])
    return f"calib_time: 01-Jan-2000 12:00:00\nR: {rot}\nT: {shift}\n"

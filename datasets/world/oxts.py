"""The IMU's records in KITTI's oxts format, from a ride."""

from __future__ import annotations

import numpy as np

from datasets.world.street import Ride

_EARTH_RADIUS = 6378137.0  # metres, as KITTI's development kit has it
_LATITUDE, _LONGITUDE, _ALTITUDE = 49.0, 8.4, 115.0  # degrees, degrees, metres of the world's origin
_GRAVITY = 9.81


def record(ride: Ride, time: float) -> str:
    """One line of 30 values: position, attitude, velocities, accelerations, turn rates, quality.

    Latitude and longitude are the inverse Mercator projection of the world's x (east) and y (north), scaled
    at the latitude of the ride's first frame, which is the scale that KITTI's users take.
    """
    pose, attitude = ride.world_from_imu(time), _attitude(ride, time)
    velocity, acceleration = _derivatives(ride, time)
    step = 1e-3
    rates = (_attitude(ride, time + step) - _attitude(ride, time - step)) / (2 * step)
    own = pose[:3, :3].T  # vehicle axes from world axes
    level = _yaw_only(attitude[2])
    # Small roll and pitch: the turn rates about the vehicle's axes are taken as the angles' derivatives.
    values = [
        *_geographic(ride, pose),
        *attitude,
        velocity[1],
        velocity[0],
        *(level @ velocity),
        *(own @ (acceleration + [0, 0, _GRAVITY])),
        *(level @ (acceleration + [0, 0, _GRAVITY])),
        *rates,
        *rates,
        0.01,
        0.01,
    ]
    return " ".join(f"{value:.14g}" for value in values) + " 4 10 5 5 0\n"


def _attitude(ride: Ride, time: float) -> np.ndarray:
    """Roll, pitch, yaw in radians."""
    r = ride.world_from_imu(time)[:3, :3]
    return np.array([np.arctan2(r[2, 1], r[2, 2]), -np.arcsin(r[2, 0]), np.arctan2(r[1, 0], r[0, 0])])


def _derivatives(ride: Ride, time: float) -> tuple[np.ndarray, np.ndarray]:
    """Velocity (m/s) and acceleration (m/s^2) in world axes, by central differences."""
    step = 1e-2
    before, now, after = (ride.world_from_imu(time + k * step)[:3, 3] for k in (-1, 0, 1))
    return (after - before) / (2 * step), (after - 2 * now + before) / step**2


def _yaw_only(yaw: float) -> np.ndarray:
    """(3,3) from world axes to level axes: forward, left, up."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def _geographic(ride: Ride, pose: np.ndarray) -> tuple[float, float, float]:
    """Latitude, longitude (degrees) and altitude (metres)."""
    first = ride.world_from_imu(0.0)[:3, 3]
    scale = np.cos(np.radians(_LATITUDE)) * _EARTH_RADIUS
    east, north, _ = pose[:3, 3] - first
    northing = np.log(np.tan(np.pi / 4 + np.radians(_LATITUDE) / 2)) + north / scale
    latitude = np.degrees(2 * np.arctan(np.exp(northing)) - np.pi / 2)
    return latitude, _LONGITUDE + np.degrees(east / scale), _ALTITUDE + pose[2, 3]

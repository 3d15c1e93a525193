"""The street: a curved centreline, kerbs, side streets; and the car's path along it.

World axes: x runs roughly along the street, z is up, the road is the plane z = 0. Street coordinates
of a ground point are (lateral, x): lateral is the offset to the left of the centreline in metres,
taken along y and scaled by the cosine of the heading there, which is exact on straights and smooth
everywhere, so that it can define kerbs and lane markings in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.world.rig import rigid, rotation

FRAME_SECONDS = 0.1


@dataclass(frozen=True)
class Street:
    """Shape of one street, metres and radians."""

    amplitude: float  # of the sinusoidal centreline
    wave_number: float  # 1/m
    phase: float
    half_width: float  # of the road
    sidewalk: float  # width of either sidewalk
    kerb: float  # height of the sidewalk above the road
    side_streets: tuple[tuple[int, float, float], ...]  # (+1 left or -1 right, from x, to x)
    dash: float  # period of the centre line's dashes; 0: no markings

    def centre(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centreline y and slope dy/dx at x, same shape and dtype."""
        angle = x * self.wave_number + self.phase
        y = (np.sin(angle) - float(np.sin(self.phase))) * self.amplitude
        return y, np.cos(angle) * (self.amplitude * self.wave_number)

    def lateral(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lateral coordinate in metres (left positive) and the centreline's slope at x."""
        centre, slope = self.centre(x)
        return (y - centre) / np.sqrt(1 + slope * slope), slope

    def kerb_distance(self, x: np.ndarray, lateral: np.ndarray) -> np.ndarray:
        """Negative on the road (side streets included), positive on sidewalks and beyond; metres."""
        distance = np.abs(lateral) - self.half_width
        for side, start, stop in self.side_streets:
            outside = np.maximum(start - x, x - stop)
            distance = np.where(lateral * side > 0, np.minimum(distance, outside), distance)
        return distance

    def place(self, x: float, lateral: float) -> tuple[np.ndarray, float]:
        """World (x, y) and street heading (radians) of street coordinates."""
        y, slope = self.centre(np.float64(x))
        return np.array([x, y + lateral * np.sqrt(1 + slope * slope)]), float(np.arctan(slope))

    def beside_side_street(self, x: float, side: int, margin: float) -> bool:
        """Whether x lies within `margin` metres of a side street on that side."""
        return any(s == side and start - margin < x < stop + margin for s, start, stop in self.side_streets)


@dataclass(frozen=True)
class Ride:
    """How the car drives down its street; all functions of time in seconds."""

    street: Street
    speed: float  # m/s, mean
    speed_swing: float  # relative
    lateral: float  # of the lane, metres
    weave: float  # metres
    height: float  # of the IMU above the road, metres
    pitch: float  # radians, mean, positive nose down
    sway: float  # radians, amplitude of roll and pitch
    phase: float

    def _x(self, time: float) -> float:
        swing = self.speed_swing * (np.sin(0.9 * time + self.phase) - np.sin(self.phase)) / 0.9
        # Dividing by the slope's mean effect is not needed: x advances a little slower in curves only.
        return self.speed * (time + swing)

    def _position(self, time: float) -> np.ndarray:
        x = self._x(time)
        lateral = self.lateral + self.weave * np.sin(1.3 * time + 2 * self.phase)
        (x, y), _ = self.street.place(x, lateral)
        return np.array([x, y, self.height + 0.012 * np.sin(5.1 * time + self.phase)])

    def world_from_imu(self, time: float) -> np.ndarray:
        """(4,4) pose at `time` seconds; the heading is the direction of travel."""
        step = self._position(time + 1e-3) - self._position(time - 1e-3)
        roll = self.sway * np.sin(3.7 * time + 3 * self.phase)
        pitch = self.pitch + self.sway * np.sin(4.3 * time + 5 * self.phase)
        return rigid(rotation(roll, pitch, np.arctan2(step[1], step[0])), self._position(time))

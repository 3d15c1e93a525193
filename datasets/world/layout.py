"""One drive: a street of a random style, everything in it, the car's ride and the other traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from datasets.world import objects
from datasets.world.street import FRAME_SECONDS, Ride, Street
from datasets.world.styles import STYLES, Style
from datasets.world.surfaces import Class, Material, Scene, Surfaces, build_scene

_BEGIN = -24.0  # metres along x; the car starts near 0


@dataclass(frozen=True)
class Mover:
    """A car that moves along its lane at constant speed."""

    seed: int  # of its looks
    start: float  # x at time 0, metres
    lateral: float
    speed: float  # m/s along x, negative for oncoming traffic


@dataclass(frozen=True)
class DriveWorld:
    """All that a drive shows; `scene(time)` gives the tables for one instant."""

    street: Street
    ride: Ride
    ground: tuple[Material, ...]
    still: Surfaces
    movers: tuple[Mover, ...]
    sun: np.ndarray
    crossings: tuple[float, ...]

    def scene(self, time: float) -> Scene:
        """The surfaces at `time` seconds. Their ids are the same at all times."""
        now = Surfaces(list(self.still.faces), list(self.still.quadrics), self.still.things)
        for mover in self.movers:
            xy, heading = self.street.place(mover.start + mover.speed * time, mover.lateral)
            turned = heading if mover.speed > 0 else heading + np.pi
            objects.car(now, np.random.default_rng(mover.seed), (xy, turned), Class.MOVING_CAR)
        return build_scene(self.ground, now, self.sun)


def build_drive(rng: np.random.Generator, style_index: int, frames: int) -> DriveWorld:
    """Draws a drive of `frames` frames. The style cycles with `style_index`, so that every split has all of them."""
    style = list(STYLES.values())[style_index % len(STYLES)]
    speed = rng.uniform(5.5, 11.0)
    reach = speed * frames * FRAME_SECONDS * 1.1
    end = reach + float(np.exp(rng.uniform(*np.log(style.view))))
    street = _street(rng, style, end)
    parking = {side: rng.uniform(*style.parked) * (street.half_width > 3.2) for side in (1, -1)}
    still = Surfaces()
    for side in (1, -1):
        _buildings(still, rng, style, street, side, end)
        _furniture(still, rng, style, street, side, end)
        _parked_cars(still, rng, street, side, end, parking[side])
    _end_of_street(still, rng, street, end)
    _hills(still, rng, end)
    free = street.half_width - 2.3 * (max(parking.values()) > 0)
    lane = -free / 2 if free > 2.4 else 0.0
    ride = _ride(rng, street, speed, lane)
    movers = _traffic(rng, style, ride, free, end)
    bearing = rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(bearing), np.sin(bearing), 0.9])
    crossings = tuple(x - 2.5 for _, x, _ in street.side_streets if rng.random() < 0.6)
    return DriveWorld(street, ride, _ground(rng), still, movers, sun / np.linalg.norm(sun), crossings)


def _street(rng: np.random.Generator, style: Style, end: float) -> Street:
    sides = []
    for side in (1, -1):
        for _ in range(rng.integers(0, 3)):
            start = rng.uniform(2, max(end - 10, 6))
            sides.append((side, start, start + rng.uniform(4, 9)))
    wave = 2 * np.pi / rng.uniform(75, 170)
    slope = rng.uniform(0.15, 0.75) if rng.random() < 0.65 else 0.0
    marked = rng.random() < 0.7
    return Street(
        amplitude=slope / wave,
        wave_number=wave,
        phase=rng.uniform(0, 2 * np.pi),
        half_width=rng.uniform(*style.half_width),
        sidewalk=rng.uniform(*style.sidewalk),
        kerb=rng.uniform(0.09, 0.18),
        side_streets=tuple(sides),
        dash=rng.uniform(5, 9) if marked else 0.0,
    )


def _ride(rng: np.random.Generator, street: Street, speed: float, lane: float) -> Ride:
    return Ride(
        street=street,
        speed=speed,
        speed_swing=rng.uniform(0, 0.08),
        lateral=lane,
        weave=rng.uniform(0, 0.25),
        height=rng.uniform(0.75, 1.15),
        pitch=np.radians(rng.uniform(-2.2, 2.2)),
        sway=np.radians(rng.uniform(0.05, 0.35)),
        phase=rng.uniform(0, 2 * np.pi),
    )


def _ground(rng: np.random.Generator) -> tuple[Material, ...]:
    """Road, kerb, sidewalk, terrain."""
    grey = rng.uniform(0.28, 0.5)
    asphalt = objects.toned(rng, (grey, grey, grey * 1.03), 0.1)
    patches = (rng.uniform(1.2, 2.6), rng.uniform(3, 9))
    road = Material(asphalt, objects.toned(rng, asphalt, 0.3), 0.085, asphalt, patches, (0.97, 0.99), 0.22)
    stone = objects.toned(rng, (0.62, 0.6, 0.57), 0.2)
    kerb = Material(stone, objects.toned(rng, stone, 0.2), 0.08, objects.toned(rng, stone, 0.3), (9, 1), (1, 0.9), 0.2)
    slab = objects.toned(rng, (0.58, 0.54, 0.5), 0.25)
    slabs = (rng.uniform(0.5, 1.2), rng.uniform(0.6, 1.8))
    walk = Material(objects.toned(rng, slab, 0.4), slab, 0.08, slab, slabs, (0.9, 0.92), 0.25)
    grass = objects.leaves(rng) if rng.random() < 0.7 else objects.plain(rng, objects.toned(rng, slab, 0.3), 0.13)
    return tuple(replace(m, shaded=False) for m in (road, kerb, walk, grass))


def _buildings(s: Surfaces, rng: np.random.Generator, style: Style, street: Street, side: int, end: float) -> None:
    gap, walls = rng.uniform(*style.gap), rng.uniform(*style.walls)
    setback = rng.uniform(*style.setback)
    x = _BEGIN
    while x < end + 4:
        length = rng.uniform(*style.length)
        if street.amplitude > 0:
            length = min(length, 11.0)  # long fronts would cut the corner of a curve
        middle = x + length / 2
        x += length + (rng.uniform(0, 1.5) if rng.random() < 0.4 else 0)
        if street.beside_side_street(middle, side, length / 2):
            continue
        verge = street.half_width + street.sidewalk
        if rng.random() < walls:
            at = _facing_road(street, middle, side, verge + 0.4)
            objects.wall(s, rng, at, length, rng.uniform(0.7, 2.3))
        if rng.random() < gap:
            continue
        at = _facing_road(street, middle, side, verge + max(0.7, setback + rng.uniform(-1, 1.5)))
        kind = objects.house if rng.random() < style.houses else objects.block
        _, slope = street.centre(np.float64(middle))
        kind(s, rng, at, length * float(np.hypot(1, slope)), rng.uniform(6, 12), rng.uniform(*style.height))


def _facing_road(street: Street, x: float, side: int, distance: float) -> objects.At:
    """A place whose local -y axis looks at the road."""
    xy, heading = street.place(x, side * distance)
    return xy, heading if side > 0 else heading + np.pi


def _furniture(s: Surfaces, rng: np.random.Generator, style: Style, street: Street, side: int, end: float) -> None:
    """Trees, poles and boxes on the sidewalk, and trees behind it."""
    trees, poles, crates = rng.uniform(*style.trees), rng.uniform(0.1, 0.5), rng.uniform(0, 0.3)
    for x in np.arange(_BEGIN, end, 4.5):
        x = x + rng.uniform(-1, 1)
        if street.beside_side_street(x, side, 1.0):
            continue
        inner = street.half_width + 0.45
        draw = rng.random()
        (xy, heading) = at = street.place(x, side * (inner + rng.uniform(0, 0.4) * max(street.sidewalk - 1, 0)))
        away = heading + side * np.pi / 2
        if draw < trees and street.sidewalk > 1.3:
            objects.tree(s, rng, at, away, street.kerb, rng.uniform(3.2, 8))
        elif draw < trees + poles:
            objects.pole(s, rng, at, away, street.kerb, rng.choice([0.9, 2.6, 3.2, 5.5, 7.0]))
        elif draw < trees + poles + crates:
            size = (rng.uniform(0.5, 2.2), rng.uniform(0.4, 1.0), rng.uniform(0.5, 2.2))
            place = street.place(x, side * (street.half_width + max(0.8, street.sidewalk - 0.2)))
            objects.crate(s, rng, place, size, street.kerb)
        if rng.random() < trees * 0.7 and style.setback[1] > 3:
            far = street.half_width + street.sidewalk + rng.uniform(1.5, max(2.0, style.setback[1]))
            objects.tree(s, rng, street.place(x + 2, side * far), away, street.kerb, rng.uniform(3, 10))


def _parked_cars(s: Surfaces, rng: np.random.Generator, street: Street, side: int, end: float, share: float) -> None:
    x = _BEGIN
    while x < end - 4:
        x += rng.uniform(5.6, 7.0)
        if rng.random() < share and not street.beside_side_street(x, side, 3.5):
            xy, heading = street.place(x, side * (street.half_width - 1.2))
            objects.car(s, rng, (xy, heading + np.pi * (rng.random() < 0.5) + rng.normal(0, 0.02)), Class.CAR)


def _end_of_street(s: Surfaces, rng: np.random.Generator, street: Street, end: float) -> None:
    """What closes the view: buildings, a wall, trees, or nothing."""
    kind = rng.choice(["block", "house", "wall", "trees", "open"], p=[0.4, 0.15, 0.2, 0.1, 0.15])
    reach = street.half_width + street.sidewalk + 12
    lateral = -reach
    while lateral < reach and kind != "open":
        length = rng.uniform(6, 15)
        xy, heading = street.place(end + rng.uniform(0, 1.5), lateral + length / 2)
        at = xy, heading - np.pi / 2
        if kind in ("block", "house"):
            build = objects.block if kind == "block" else objects.house
            build(s, rng, at, length, 9.0, rng.uniform(3.5, 14) if kind == "block" else rng.uniform(3, 5))
        elif kind == "wall":
            objects.wall(s, rng, at, length, rng.uniform(1.5, 4))
        else:
            objects.tree(s, rng, at, heading, 0.0, rng.uniform(4, 9))
        lateral += length if kind != "trees" else length / 3


def _hills(s: Surfaces, rng: np.random.Generator, end: float) -> None:
    """A closed ring of distant woods, so that no view runs on for ever."""
    count, middle = 14, np.array([end / 2, 0.0])
    radius = max(rng.uniform(110, 150), end / 2 + 50)
    corners = [middle + radius * np.array([np.cos(t), np.sin(t)]) for t in 2 * np.pi * np.arange(count + 1) / count]
    heights = rng.uniform(5, 22, count)
    heights = np.append(heights, heights[0])
    for i in range(count):
        left, right = corners[i + 1], corners[i]
        quad = [[*left, 0], [*right, 0], [*right, heights[i]], [*left, heights[i + 1]]]
        material = replace(objects.leaves(rng), shaded=False)
        s.polygon(np.array(quad), material, Class.HILL)


def _traffic(rng: np.random.Generator, style: Style, ride: Ride, free: float, end: float) -> tuple[Mover, ...]:
    """Cars ahead in the same lane, and oncoming ones where the road has two lanes."""
    two_way = ride.lateral < 0
    movers, ahead = [], rng.uniform(12, 26)
    for _ in range(rng.integers(int(style.traffic[0]), int(style.traffic[1]) + 1)):
        seed = int(rng.integers(2**31))
        if two_way and rng.random() < 0.5:
            movers.append(Mover(seed, rng.uniform(12, max(14, min(75, end - 4))), -ride.lateral, -rng.uniform(4, 11)))
        elif ahead < end - 25:
            movers.append(Mover(seed, ahead, ride.lateral, ride.speed * rng.uniform(0.95, 1.15)))
            ahead += rng.uniform(10, 25)
    return tuple(movers)

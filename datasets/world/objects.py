"""The things that stand in a street: houses, cars, trees, poles, boxes, walls. All sizes in metres."""

from __future__ import annotations

import colorsys

import numpy as np

from datasets.world.surfaces import Class, Material, Quadric, Surfaces

Colour = tuple[float, float, float]
At = tuple[np.ndarray, float]  # world (x, y) and heading in radians

GLASS = Material((0.16, 0.19, 0.24), (0.34, 0.38, 0.44), 0.10)
RUBBER = Material((0.10, 0.10, 0.11), (0.22, 0.22, 0.23), 0.10)
SHADOW = Material((0.13, 0.13, 0.14), (0.19, 0.19, 0.20), 0.10)


def paint(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    """A random colour of any hue."""
    return colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(*saturation), rng.uniform(*value))


def plaster(rng: np.random.Generator) -> Colour:
    """A colour that houses have: mostly sand, brick and cream, sometimes any pale one."""
    if rng.random() < 0.3:
        return paint(rng, (0.0, 0.3), (0.4, 0.9))
    return colorsys.hsv_to_rgb(rng.uniform(0.01, 0.15), rng.uniform(0.08, 0.6), rng.uniform(0.4, 0.92))


def toned(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """A colour near `colour`: brightness changed by up to `spread`, each channel a little."""
    factor = rng.uniform(1 - spread, 1 + spread) * rng.uniform(0.94, 1.06, 3)
    return tuple(float(v) for v in np.clip(np.array(colour) * factor, 0.03, 0.97))


def leaves(rng: np.random.Generator) -> Material:
    """Foliage: two greens in strong contrast."""
    base = toned(rng, (0.24, 0.40, 0.15), 0.3)
    return Material(base, toned(rng, (0.42, 0.52, 0.20), 0.3), 0.17)


def facade(rng: np.random.Generator) -> Material:
    """A plastered or brick wall with a grid of windows."""
    wall = plaster(rng)
    dark = rng.random() < 0.8
    pane = toned(rng, (0.2, 0.24, 0.3) if dark else (0.8, 0.82, 0.8), 0.4)
    cells = (rng.uniform(2.6, 3.8), rng.uniform(1.5, 4.0))
    duty = (rng.uniform(0.4, 0.65), rng.uniform(0.35, 0.65))
    return Material(wall, toned(rng, wall, 0.35), rng.uniform(0.06, 0.11), pane, cells, duty, rng.uniform(0.2, 0.8))


def masonry(rng: np.random.Generator) -> Material:
    """A wall of blocks or planks in visibly different tones, or a poster wall."""
    base = plaster(rng) if rng.random() < 0.7 else paint(rng, (0.2, 0.8), (0.35, 0.85))
    block = toned(rng, base, 0.3)
    cells = (rng.uniform(0.3, 1.6), rng.uniform(0.4, 3.0))
    return Material(base, toned(rng, base, 0.4), 0.10, block, cells, (0.88, 0.9), rng.uniform(0.15, 0.6))


def plain(rng: np.random.Generator, colour: Colour, noise: float = 0.08) -> Material:
    """One colour with stains and grain."""
    return Material(colour, toned(rng, colour, 0.35), noise)


def block(s: Surfaces, rng: np.random.Generator, at: At, length: float, depth: float, height: float) -> None:
    """A flat-roofed building; the front is the local y = 0 side and looks along -y."""
    box = (-length / 2, length / 2, 0.0, depth)
    wall = facade(rng)
    s.frustum(at, box, box, (0, height), (wall, plain(rng, (0.4, 0.4, 0.4))), Class.BUILDING)
    _shop_front(s, rng, at, length, rng.uniform(2.4, 3.6))
    if rng.random() < 0.5:
        inset = (-length * 0.3, length * 0.3, depth * 0.2, depth * 0.8)
        s.frustum(at, inset, inset, (height, height + rng.uniform(1.5, 4)), (masonry(rng), GLASS), Class.BUILDING)


def house(s: Surfaces, rng: np.random.Generator, at: At, length: float, depth: float, height: float) -> None:
    """A house with a gable roof; the front as in `block`."""
    box = (-length / 2, length / 2, 0.0, depth)
    s.frustum(at, box, box, (0, height), (facade(rng), GLASS), Class.BUILDING)
    eaves = 0.4
    low = (-length / 2 - eaves, length / 2 + eaves, -eaves, depth + eaves)
    tiles = toned(rng, (0.5, 0.27, 0.2) if rng.random() < 0.7 else (0.3, 0.32, 0.36), 0.3)
    roof = Material(tiles, toned(rng, tiles, 0.3), 0.1, toned(rng, tiles, 0.4), (0.5, 0.6), (0.8, 0.85), 0.35)
    if rng.random() < 0.5:
        ridge = (low[0] * 0.85, low[1] * 0.85, depth / 2, depth / 2)
    else:
        ridge = (0.0, 0.0, low[2] * 0.9, low[3] * 0.95)
    s.frustum(at, low, ridge, (height - 0.2, height + rng.uniform(0.3, 0.5) * depth), (roof, roof), Class.BUILDING)


def _shop_front(s: Surfaces, rng: np.random.Generator, at: At, length: float, height: float) -> None:
    """A thin storey before the wall: shop windows, doors or posters."""
    if rng.random() < 0.3:
        return
    frame = paint(rng, (0.1, 0.7), (0.2, 0.8))
    pane = toned(rng, (0.3, 0.33, 0.36), 0.6)
    cells = (height, rng.uniform(1.2, 3.5))
    strip = Material(frame, toned(rng, frame, 0.4), 0.1, pane, cells, (0.75, rng.uniform(0.6, 0.85)), 0.8)
    half = length / 2 * rng.uniform(0.6, 0.98)
    box = (-half, half, -rng.uniform(0.08, 0.4), 0.0)
    s.frustum(at, box, box, (0.0, height), (strip, plain(rng, frame)), Class.BUILDING)


def wall(s: Surfaces, rng: np.random.Generator, at: At, length: float, height: float) -> None:
    """A garden wall, a fence or a hedge along the local x axis."""
    half = length / 2
    if rng.random() < 0.4:
        low, high = (-half, half, 0.0, 1.2), (-half, half, 0.15, 1.0)
        green = leaves(rng)
        s.frustum(at, low, high, (0.0, height), (green, green), Class.VEGETATION)
    else:
        box = (-half, half, 0.0, 0.25)
        stone = masonry(rng)
        s.frustum(at, box, box, (0.0, height), (stone, stone), Class.WALL)


def crate(s: Surfaces, rng: np.random.Generator, at: At, size: tuple[float, float, float], base: float) -> None:
    """A box, bin, kiosk or container of (length, width, height) on ground of height `base`."""
    length, width, height = size
    box = (-length / 2, length / 2, -width / 2, width / 2)
    side = masonry(rng) if rng.random() < 0.6 else plain(rng, paint(rng, (0.3, 0.9), (0.3, 0.9)), 0.11)
    lid = plain(rng, paint(rng, (0.1, 0.6), (0.3, 0.8)))
    s.frustum(at, box, box, (base, base + height), (side, lid), Class.BOX, s.begin_thing())


def tree(s: Surfaces, rng: np.random.Generator, at: At, away: float, base: float, size: float) -> None:
    """A trunk and one to three round crowns; `size` is the height."""
    (x, y), _ = at
    trunk = plain(rng, toned(rng, (0.36, 0.28, 0.2), 0.3), 0.14)
    fork = size * rng.uniform(0.3, 0.5)
    radius = rng.uniform(0.09, 0.22)
    s.quadrics.append(
        Quadric(np.array([x, y, base]), radius, 1e4, base, base + fork + 0.8, away, trunk, Class.VEGETATION)
    )
    green = leaves(rng)
    for i in range(rng.integers(1, 4)):
        reach = (size - fork) / 2 * rng.uniform(0.75, 1.0)
        shift = rng.uniform(-0.5, 0.5, 2) * reach * min(i, 1)
        centre = np.array([x + shift[0], y + shift[1], base + fork + reach * rng.uniform(0.9, 1.1)])
        flat = reach * rng.uniform(0.7, 1.1)
        s.quadrics.append(
            Quadric(centre, flat, reach, centre[2] - reach, centre[2] + reach, away, green, Class.VEGETATION)
        )


def pole(s: Surfaces, rng: np.random.Generator, at: At, away: float, base: float, height: float) -> None:
    """A lamp post, a bollard or a traffic sign; its sign faces the local -x direction."""
    (x, y), heading = at
    radius = rng.uniform(0.06, 0.13)
    colour = toned(rng, (0.45, 0.46, 0.48), 0.5)
    metal = Material(colour, toned(rng, colour, 0.4), 0.12, toned(rng, (0.8, 0.3, 0.2), 0.3), (1.1, 50), (0.3, 1), 0.2)
    s.quadrics.append(Quadric(np.array([x, y, base]), radius, 1e4, base, base + height, away, metal, Class.POLE))
    if height > 2 and rng.random() < 0.6:
        wide, tall = rng.uniform(0.25, 0.7, 2)
        bottom = base + height - 2 * tall - 0.1
        board = masonry(rng) if rng.random() < 0.5 else plain(rng, paint(rng, (0.6, 1), (0.5, 0.9)))
        box = (-radius - 0.06, -radius, -wide, wide)
        s.frustum(((x, y), heading), box, box, (bottom, bottom + 2 * tall), (board, board), Class.POLE)


def car(s: Surfaces, rng: np.random.Generator, at: At, kind: Class) -> None:
    """A car, van or lorry heading along the local x axis, with a contact shadow, which is no part of the thing."""
    thing = s.begin_thing()
    type_ = rng.choice(["car", "van", "lorry"], p=[0.74, 0.2, 0.06])
    length, width, belt, roof = {
        "car": (rng.uniform(3.7, 4.7), rng.uniform(1.65, 1.85), rng.uniform(0.85, 1.0), rng.uniform(1.4, 1.6)),
        "van": (rng.uniform(4.6, 5.8), rng.uniform(1.85, 2.05), rng.uniform(1.1, 1.25), rng.uniform(1.9, 2.5)),
        "lorry": (rng.uniform(7.0, 9.0), rng.uniform(2.2, 2.45), rng.uniform(1.2, 1.4), rng.uniform(2.9, 3.4)),
    }[str(type_)]
    colour = paint(rng, (0.0, 0.9), (0.2, 0.95))
    accent = toned(rng, colour, 0.25)
    body = Material(colour, toned(rng, colour, 0.3), 0.08, accent, (0.55, 1.3), (0.7, 0.93), 0.15)
    x0, x1, y0, y1 = hull = (-length / 2, length / 2, -width / 2, width / 2)
    shadow = np.array([[x0, y0, 0.01], [x1, y0, 0.01], [x1, y1, 0.01], [x0, y1, 0.01]])
    s.polygon(s.to_world(at, shadow), SHADOW, Class.ROAD if kind == Class.CAR else kind)
    s.frustum(at, hull, hull, (0.2, belt), (body, plain(rng, colour)), kind, thing)
    if type_ == "car":
        low = (x0 + 0.12 * length, x1 - 0.26 * length, y0 + 0.04, y1 - 0.04)
        high = (x0 + 0.22 * length, x1 - 0.42 * length, y0 + 0.2, y1 - 0.2)
        s.frustum(at, low, high, (belt, roof), (GLASS, plain(rng, colour)), kind, thing)
    else:
        cab = masonry(rng) if type_ == "lorry" else body
        low = (x0, x1 - 0.16 * length, y0, y1)
        high = (x0, x1 - 0.2 * length, y0 + 0.05, y1 - 0.05)
        s.frustum(at, low, high, (belt, roof), (cab, plain(rng, colour)), kind, thing)
    for x in (x0 + 0.19 * length, x1 - 0.19 * length):
        for side in (y0 - 0.015, y1 + 0.015):
            s.polygon(s.to_world(at, _wheel(x, side, 0.17 * roof + 0.06)), RUBBER, kind, thing)


def _wheel(x: float, y: float, radius: float) -> np.ndarray:
    """An octagon in the plane of y, counter-clockwise seen from outside the car."""
    angle = (np.arange(8) + 0.5) * np.pi / 4
    turn = np.cos(angle) if y < 0 else -np.cos(angle)
    return np.stack([x + radius * turn, np.full(8, y), radius + radius * np.sin(angle)], 1)

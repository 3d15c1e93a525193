"""Surfaces of a scene: convex planar faces and upright quadrics, with materials, as tables for the caster."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum

import numpy as np

MAX_VERTICES = 8


class Class(IntEnum):
    """Class ids as they are written."""

    SKY = 0
    ROAD = 1
    KERB = 2
    SIDEWALK = 3
    TERRAIN = 4
    BUILDING = 5
    WALL = 6
    POLE = 7
    VEGETATION = 8
    BOX = 9
    CAR = 10
    MOVING_CAR = 11
    HILL = 12


# Surface ids: 0 is the sky, the ground's four come next, then all faces, then all quadrics.
ROAD, KERB, SIDEWALK, TERRAIN = 1, 2, 3, 4
FIRST_FACE = 5


@dataclass(frozen=True)
class Material:
    """How a surface looks. Lengths in metres, colours are R, G, B in [0,1] before shading."""

    colour: tuple[float, float, float]
    stain: tuple[float, float, float]  # a second colour, in large blotches
    noise: float = 0.1  # relative amplitude of each octave of noise
    cell_colour: tuple[float, float, float] = (0.0, 0.0, 0.0)  # windows, slabs
    cells: tuple[float, float] = (1.0, 1.0)  # their period across and along
    duty: tuple[float, float] = (0.0, 0.0)  # the share of a period they take; 0: none
    variation: float = 0.0  # relative brightness differences between cells
    shaded: bool = True  # False: the same brightness whatever the normal


@dataclass(frozen=True)
class Face:
    """A convex planar polygon, counter-clockwise seen from outside; its first edge is the `along` axis."""

    vertices: np.ndarray  # (3..8, 3) metres
    material: Material
    kind: Class
    thing: int = 0  # which car or box it belongs to, from 1; 0 for all else


@dataclass(frozen=True)
class Quadric:
    """An upright ellipsoid, or a vertical cylinder where half_height is infinite; cut to [bottom, top]."""

    centre: np.ndarray  # (3,) metres
    radius: float
    half_height: float
    bottom: float
    top: float
    away: float  # heading (radians) away from the road: the texture's seam lies there
    material: Material
    kind: Class


@dataclass
class Surfaces:
    """A growing list of surfaces."""

    faces: list[Face] = field(default_factory=list)
    quadrics: list[Quadric] = field(default_factory=list)
    things: int = 0  # so many cars and boxes have been begun

    def begin_thing(self) -> int:
        """A number for a new car or box, from 1."""
        self.things += 1
        return self.things

    def polygon(self, vertices: np.ndarray, material: Material, kind: Class, thing: int = 0) -> None:
        """Adds a face from (n,3) vertices; degenerate ones are left out. `thing` as in `Face`."""
        normal = np.cross(vertices[1] - vertices[0], vertices[-1] - vertices[0])
        if np.linalg.norm(normal) > 1e-6:
            self.faces.append(Face(vertices, material, kind, thing))

    def frustum(
        self,
        at: tuple[np.ndarray, float],
        bottom: tuple[float, float, float, float],
        top: tuple[float, float, float, float],
        heights: tuple[float, float],
        materials: tuple[Material, Material],
        kind: Class,
        thing: int = 0,
    ) -> None:
        """Adds four sides and a top between two rectangles.

        Args:
            at: world (x, y) of the local origin, and the heading of the local x axis in radians.
            bottom, top: local (x0, x1, y0, y1) in metres; top may be a line (a gable roof).
            heights: of bottom and top above the road, metres.
            materials: of the sides and of the top.
            kind: class of all faces.
            thing: as in `Face`.
        """
        low = self.to_world(at, _corners(bottom, heights[0]))
        high = self.to_world(at, _corners(top, heights[1]))
        for i in range(4):
            j = (i + 1) % 4
            side = [low[i], low[j], high[j]] if np.allclose(high[i], high[j]) else [low[i], low[j], high[j], high[i]]
            self.polygon(np.array(side), materials[0], kind, thing)
        self.polygon(high, materials[1], kind, thing)

    @staticmethod
    def to_world(at: tuple[np.ndarray, float], local: np.ndarray) -> np.ndarray:
        """(n,3) local points to world: turned by the heading, shifted by (x, y)."""
        (x, y), heading = at
        c, s = np.cos(heading), np.sin(heading)
        return np.stack(
            [x + c * local[:, 0] - s * local[:, 1], y + s * local[:, 0] + c * local[:, 1], local[:, 2]], axis=1
        )


def _corners(rectangle: tuple[float, float, float, float], z: float) -> np.ndarray:
    x0, x1, y0, y1 = rectangle
    return np.array([[x1, y0, z], [x1, y1, z], [x0, y1, z], [x0, y0, z]])


@dataclass(frozen=True)
class MaterialTable:
    """Materials per surface id, float32, already shaded for planar surfaces."""

    colour: np.ndarray  # (3,N)
    stain: np.ndarray  # (3,N)
    cell_colour: np.ndarray  # (3,N)
    noise: np.ndarray  # (N,)
    cells: np.ndarray  # (2,N)
    duty: np.ndarray  # (2,N)
    variation: np.ndarray  # (N,)


@dataclass(frozen=True)
class Scene:
    """Everything the caster and the shader need, for one instant."""

    vertices: np.ndarray  # (F,8,3) float64, the last vertex repeated
    counts: np.ndarray  # (F,) vertices per face
    normals: np.ndarray  # (F,3) float64, outward
    across: np.ndarray  # (F,3) texture axis a
    along: np.ndarray  # (F,3) texture axis b
    quadrics: tuple[Quadric, ...]
    materials: MaterialTable
    kinds: np.ndarray  # (N,) uint8 class per surface id
    things: np.ndarray  # (N,) uint16 car or box per surface id; 0 for all else
    sun: np.ndarray  # (3,) unit vector towards the light

    @property
    def first_quadric(self) -> int:
        """Surface id of the first quadric."""
        return FIRST_FACE + len(self.vertices)


def lambert(normals: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """Brightness of a surface in [0.4, 1] from its unit normal (...,3); constant over time and view."""
    return 0.55 + 0.45 * np.maximum(normals @ sun, 0) - 0.15 * np.maximum(-(normals @ sun), 0)


def build_scene(ground: tuple[Material, ...], surfaces: Surfaces, sun: np.ndarray) -> Scene:
    """Tables from a list of surfaces and the four ground materials (road, kerb, sidewalk, terrain)."""
    faces, quadrics = surfaces.faces, surfaces.quadrics
    padded = [np.vstack([f.vertices, np.repeat(f.vertices[-1:], MAX_VERTICES - len(f.vertices), 0)]) for f in faces]
    vertices = np.array(padded).reshape(-1, MAX_VERTICES, 3)
    along = vertices[:, 1] - vertices[:, 0]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    last = np.array([f.vertices[-1] for f in faces]).reshape(-1, 3) - vertices[:, 0]
    normals = np.cross(along, last)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    sky = Material((0, 0, 0), (0, 0, 0))
    materials = [sky, *ground, *(f.material for f in faces), *(q.material for q in quadrics)]
    light = np.ones(len(materials))
    light[FIRST_FACE : FIRST_FACE + len(faces)] = lambert(normals, sun)
    light[[not m.shaded for m in materials]] = 1
    kinds = [Class.SKY, Class.ROAD, Class.KERB, Class.SIDEWALK, Class.TERRAIN]
    kinds += [f.kind for f in faces] + [q.kind for q in quadrics]
    things = [0] * FIRST_FACE + [f.thing for f in faces] + [0] * len(quadrics)
    return Scene(
        vertices,
        np.array([len(f.vertices) for f in faces], dtype=int),
        normals,
        np.cross(normals, along),
        along,
        tuple(quadrics),
        _material_table(materials, light),
        np.array(kinds, np.uint8),
        np.array(things, np.uint16),
        sun,
    )


def _material_table(materials: list[Material], light: np.ndarray) -> MaterialTable:
    columns = {f.name: np.array([getattr(m, f.name) for m in materials], np.float32).T for f in fields(MaterialTable)}
    for name in ("colour", "stain", "cell_colour"):
        columns[name] = columns[name] * light.astype(np.float32)
    return MaterialTable(**{name: np.ascontiguousarray(column) for name, column in columns.items()})

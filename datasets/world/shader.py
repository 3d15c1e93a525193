"""Colours of what the rays hit: materials, filtered textures, markings and the sky."""

from __future__ import annotations

import numpy as np

from datasets.world.caster import Hits, RayGrid
from datasets.world.street import Street
from datasets.world.surfaces import FIRST_FACE, ROAD, Scene, lambert
from datasets.world.textures import band, blotches, cell_values, noise, stripes

_CHUNK = 8192  # samples at a time: the working arrays stay in the cache
_SHARPNESS = 1.2  # of a pixel: the box filter of stripes; a little more than a pixel, as a lens would
_MARKING = np.array([0.93, 0.92, 0.86], np.float32)
_SKY_LOW, _SKY_HIGH = np.array([[0.86, 0.9, 0.95], [0.45, 0.62, 0.88]], np.float32)

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # a, b in metres, their footprints; (n,) each


class Shader:
    """Shades the hits of a camera in one scene."""

    def __init__(self, scene: Scene, street: Street, grid: RayGrid, pixel: float, crossings: tuple[float, ...]):
        """`pixel` is the angle one pixel spans (1 / focal length); crossings are the x of zebra crossings."""
        self.scene, self.street, self.grid, self.pixel, self.crossings = scene, street, grid, pixel, crossings
        to_first = scene.vertices[:, 0] - grid.origin
        # Per face: the texture axes, minus the texture coordinates of the origin's foot, the plane's distance.
        feet = [np.einsum("fk,fk->f", axes, to_first) for axes in (scene.across, scene.along, scene.normals)]
        self.planes = np.array([*scene.across.T, *scene.along.T, *feet], np.float32)
        shapes = [[*q.centre, q.radius, q.half_height, q.away] for q in scene.quadrics]
        self.shapes = np.array(shapes, np.float32).reshape(-1, 6).T

    def shade(self, hits: Hits, wanted: np.ndarray) -> np.ndarray:
        """Colours (R,C,3) float32 in [0,1] of the wanted samples (R,C) bool; 0 elsewhere."""
        surface, inverse = hits.surface.ravel(), hits.inverse.ravel()
        directions = self.grid.directions.reshape(3, -1)
        out = np.zeros((surface.size, 3), np.float32)
        first_quadric = self.scene.first_quadric
        for shade, low, high in (
            (self._sky, 0, 1),
            (self._ground, 1, FIRST_FACE),
            (self._faces, FIRST_FACE, first_quadric),
            (self._quadrics, first_quadric, first_quadric + self.shapes.shape[1]),
        ):
            samples = np.flatnonzero(wanted.ravel() & (surface >= low) & (surface < high))
            for start in range(0, len(samples), _CHUNK):
                chunk = samples[start : start + _CHUNK]
                t = 1 / np.maximum(inverse[chunk], np.float32(1e-4))
                out[chunk] = shade(surface[chunk], t, np.take(directions, chunk, axis=1))
        return np.clip(out, 0, 1).reshape(*self.grid.shape, 3)

    def _faces(self, surface: np.ndarray, t: np.ndarray, d: np.ndarray) -> np.ndarray:
        plane = [np.take(row, surface - FIRST_FACE) for row in self.planes]
        step_a = t * (plane[0] * d[0] + plane[1] * d[1] + plane[2] * d[2])
        step_b = t * (plane[3] * d[0] + plane[4] * d[1] + plane[5] * d[2])
        # A ray that meets the plane at tangent x off its foot covers sqrt(1 + x^2) times the frontal footprint.
        fa = t * self.pixel * np.sqrt(1 + (step_a / plane[8]) ** 2)
        fb = t * self.pixel * np.sqrt(1 + (step_b / plane[8]) ** 2)
        at = step_a - plane[6], step_b - plane[7], fa, fb
        return self._material(surface, at, self._grain(surface, at))

    def _ground(self, surface: np.ndarray, t: np.ndarray, d: np.ndarray) -> np.ndarray:
        """In street coordinates: a is lateral, b is x."""
        ox, oy, oz = (float(v) for v in self.grid.origin)
        dx, dy = t * d[0], t * d[1]
        lateral, slope = self.street.lateral(ox + dx, oy + dy)
        scale = 1 / np.sqrt(1 + slope * slope)
        fa = t * self.pixel * np.sqrt(1 + ((dy - slope * dx) * scale / oz) ** 2)
        fb = t * self.pixel * np.sqrt(1 + ((dx + slope * dy) * scale / oz) ** 2)
        at = lateral, ox + dx, fa, fb
        # Long streaks: what remains to be seen of a road at grazing angles.
        grain = self._grain(surface, at) + 0.8 * noise(*at, _offset(surface) + 0.57, 4, 2)
        colour = self._material(surface, at, grain)
        return self._markings(colour, surface == ROAD, at)

    def _quadrics(self, surface: np.ndarray, t: np.ndarray, d: np.ndarray) -> np.ndarray:
        cx, cy, cz, radius, half_height, away = np.take(self.shapes, surface - self.scene.first_quadric, axis=1)
        ox, oy, oz = (float(v) for v in self.grid.origin)
        x, y, z = ox + t * d[0] - cx, oy + t * d[1] - cy, oz + t * d[2] - cz
        normal = np.stack([x / radius**2, y / radius**2, z / half_height**2], 1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        facing = -np.einsum("nk,kn->n", normal, d)
        turn = np.remainder(np.arctan2(y, x) - away, 2 * np.float32(np.pi))
        footprint = t * self.pixel / np.maximum(facing, 0.15)
        at = turn * radius, z, footprint, footprint
        colour = self._material(surface, at, self._grain(surface, at))
        return colour * lambert(normal, self.scene.sun.astype(np.float32))[:, None]

    def _grain(self, surface: np.ndarray, at: Coordinates) -> np.ndarray:
        offset = _offset(surface)
        return noise(*at, offset, 0, 4) + 0.8 * noise(*at, offset + 0.31, 2, 4)

    def _material(self, surface: np.ndarray, at: Coordinates, grain: np.ndarray) -> np.ndarray:
        """Wall and stain, cells upon them, grain over all: (n,3)."""
        table, (a, b, fa, fb), offset = self.scene.materials, at, _offset(surface)
        stain = blotches(*at, offset + 0.11, 4.0) + blotches(*at, offset + 0.23, 1.6)
        stain = np.clip(0.5 + 0.5 * stain, 0, 1)
        (period_a, period_b), (duty_a, duty_b) = (np.take(v, surface, axis=1) for v in (table.cells, table.duty))
        cover = stripes(a, period_a, duty_a, fa * _SHARPNESS) * stripes(b, period_b, duty_b, fb * _SHARPNESS)
        resolved = np.clip(np.minimum(period_a / fa, period_b / fb) * 0.5 - 1, 0, 1)
        cell = 1 + cell_values(a / period_a, b / period_b, surface) * resolved * np.take(table.variation, surface)
        gain = 1 + grain * np.take(table.noise, surface)
        out = np.empty((len(surface), 3), np.float32)
        for k in range(3):
            wall = np.take(table.colour[k], surface)
            wall = wall + (np.take(table.stain[k], surface) - wall) * stain
            pane = np.take(table.cell_colour[k], surface) * cell
            out[:, k] = (wall + (pane - wall) * cover) * gain
        return out

    def _markings(self, colour: np.ndarray, road: np.ndarray, at: Coordinates) -> np.ndarray:
        """Centre line, edge lines and zebra crossings over the road's colour (n,3)."""
        a, b, fa, fb = at
        sharp_a, sharp_b = fa * _SHARPNESS, fb * _SHARPNESS
        paint = np.zeros_like(a)
        if self.street.dash > 0:
            dashes = band(a, 0.0, 0.16, sharp_a) * stripes(b, self.street.dash, 0.5, sharp_b)
            paint = dashes + band(np.abs(a), self.street.half_width - 0.35, 0.14, sharp_a)
        for x in self.crossings:
            paint = np.maximum(paint, band(b, x, 3.0, sharp_b) * stripes(a, 1.0, 0.5, sharp_a))
        paint = np.where(road, paint, 0)[:, None] * 0.8
        worn = 0.7 + 0.5 * colour.mean(1, keepdims=True)
        return colour + (_MARKING * worn - colour) * paint

    def _sky(self, surface: np.ndarray, t: np.ndarray, d: np.ndarray) -> np.ndarray:
        """A gradient and clouds, infinitely far: a function of the direction alone."""
        rise = d[2] / np.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2)
        pixel = np.full_like(rise, self.pixel * 2.5)
        clouds = noise(rise * 6, np.arctan2(d[1], d[0]) * 2.5, pixel * 2.4, pixel, np.zeros_like(rise), 0, 4)
        high = np.clip(rise * 2.2, 0, 1)[:, None]
        return _SKY_LOW + (_SKY_HIGH - _SKY_LOW) * high + 0.035 * clouds[:, None]


def _offset(surface: np.ndarray) -> np.ndarray:
    """A shift in [0,1) per surface id, so that equal materials differ."""
    return (surface * 0.37 % 1).astype(np.float32)

"""Band-limited procedural textures: every component fades out before the sampling could alias it.

Coordinates are metres on a surface: `a` across and `b` along, the direction in which streets foreshorten.
Footprints are the metres of a or b that one pixel covers.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_TILE = 256  # texels
_CYCLES = 32  # features across a tile
_RESOLVED = 3.4  # pixels per wavelength below which a component is not shown; it is full at twice that
_COARSEST = 3.5  # log2 of the longest wavelength in metres


@lru_cache(maxsize=1)
def _tile() -> np.ndarray:
    """Periodic isotropic band-pass noise (256,256) float32, zero mean, unit deviation, within +-2."""
    white = np.fft.fft2(np.random.default_rng(20).standard_normal((_TILE, _TILE)))
    frequency = np.fft.fftfreq(_TILE, 1 / _TILE)
    radius = np.hypot(frequency[:, None], frequency[None])
    band = np.exp(-(((radius - _CYCLES) / (0.3 * _CYCLES)) ** 2))
    noise = np.fft.ifft2(white * band).real
    return np.clip(noise / noise.std(), -2, 2).astype(np.float32)


def _lookup(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The tile at (a, b) in tile units, any real numbers; (n,) float32 each, n < 2^15."""
    # OpenCV keeps integer parts of map coordinates in 16 bits, so the period is taken off first.
    x = (a - np.floor(a)) * _TILE
    y = (b - np.floor(b)) * _TILE
    return cv2.remap(_tile(), x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)[0]


def noise(
    a: np.ndarray,
    b: np.ndarray,
    footprint_a: np.ndarray,
    footprint_b: np.ndarray,
    offset: np.ndarray,
    stretch: int,
    octaves: int,
) -> np.ndarray:
    """Sum of the `octaves` finest resolved octaves of noise, (n,) float32, deviation about sqrt(octaves).

    Wavelengths are 2^j metres across and 2^(j + stretch) along. Which j are shown depends on the
    footprint; the finest and the coarsest fade in and out smoothly.

    Args:
        a, b: coordinates in metres, (n,) float32.
        footprint_a, footprint_b: metres per pixel, (n,) float32, positive.
        offset: random shift per surface in [0,1), (n,) float32.
        stretch: log2 of the elongation along b.
        octaves: how many.
    """
    finest = np.maximum(np.log2(footprint_a), np.log2(footprint_b) - stretch) + float(np.log2(_RESOLVED))
    level = np.ceil(finest)
    fade = level - finest
    fade = fade * fade * (3 - 2 * fade)
    scale = np.exp2(-level) * (1 / _CYCLES)
    total = np.zeros_like(a)
    for step in range(octaves + 1):
        weight = fade if step == 0 else 1 - fade if step == octaves else 1
        weight = weight * (level + step <= _COARSEST)
        shift = offset + (level + step) * 0.618
        total += weight * _lookup(a * scale + shift, b * (scale * 0.5**stretch) + shift * 1.7)
        scale = scale * 0.5
    return total


def blotches(
    a: np.ndarray, b: np.ndarray, footprint_a: np.ndarray, footprint_b: np.ndarray, offset: np.ndarray, size: float
) -> np.ndarray:
    """One octave of noise of wavelength `size` metres, (n,) float32, faded where it is not resolved."""
    wavelength = size / np.maximum(footprint_a, footprint_b)
    fade = np.clip(wavelength * (1 / _RESOLVED) - 1, 0, 1)
    scale = 1 / (size * _CYCLES)
    return fade * _lookup(a * scale + offset, b * scale + offset * 1.7)


def stripes(
    position: np.ndarray, period: np.ndarray | float, duty: np.ndarray | float, footprint: np.ndarray
) -> np.ndarray:
    """Coverage in [0,1] of stripes [k period, (k + duty) period), box-filtered over `footprint` metres."""
    half = np.maximum(footprint / period * 0.5, 1e-3)
    centre = position / period
    upper, lower = centre + half, centre - half
    base_upper, base_lower = np.floor(upper), np.floor(lower)
    whole = (base_upper - base_lower) * duty
    parts = np.minimum(upper - base_upper, duty) - np.minimum(lower - base_lower, duty)
    return (whole + parts) / (2 * half)


def band(position: np.ndarray, centre: float, width: float, footprint: np.ndarray) -> np.ndarray:
    """Coverage in [0,1] of one stripe of `width` metres around `centre`, box-filtered over `footprint`."""
    half = np.maximum(footprint * 0.5, 1e-3)
    left = np.maximum(position - half, centre - width / 2)
    right = np.minimum(position + half, centre + width / 2)
    return np.clip((right - left) / (2 * half), 0, 1)


@lru_cache(maxsize=1)
def _cell_table() -> np.ndarray:
    return np.random.default_rng(21).uniform(-1, 1, 4096).astype(np.float32)


def cell_values(a: np.ndarray, b: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """A random value in [-1,1] per integer cell of (a, b) and surface id; (n,) float32."""
    column = np.floor(a).astype(np.int32) * 73
    row = np.floor(b).astype(np.int32) * 1117
    return np.take(_cell_table(), (column + row + surface * 397) & 4095)

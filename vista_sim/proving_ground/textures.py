"""Seamless textures made of filtered noise: asphalt, grass, dirt, bark, leaves, brick, plaster.

Images are float32 RGB in [0, 1] unless said otherwise; every texture repeats without a seam.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def noise(
    rng: np.random.Generator, size: int, beta: float, low: float = 1.0, high: float = math.inf
) -> Image:
    """Seamless noise (size, size) of zero mean and unit deviation.

    Its amplitude falls as frequency^-beta between `low` and `high` cycles per image.
    """
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    spectrum *= _amplitudes(size, beta, low, high) if size <= 256 else _band(size, beta, low, high)
    field = np.fft.irfft2(spectrum, (size, size))
    return np.asarray(field / field.std(), dtype=np.float32)


def _band(size: int, beta: float, low: float, high: float) -> NDArray[np.float64]:
    """Amplitudes of the frequencies of `noise`, (size, size // 2 + 1)."""
    fy = np.fft.fftfreq(size)[:, None] * size
    fx = np.fft.rfftfreq(size)[None] * size
    f = np.hypot(fx, fy)
    f[0, 0] = 1.0
    weight = f**-beta * (f >= low) / (1 + (f / high) ** 6 if math.isfinite(high) else 1.0)
    weight[0, 0] = 0.0
    return weight


_amplitudes = lru_cache(maxsize=32)(_band)  # of small textures, of which a world has hundreds


def smoothstep(low: float, high: float, x: Image) -> Image:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def blend(a: Image, b: Image, weight: Image) -> Image:
    """Mix images: a where weight (h, w) is 0, b where it is 1."""
    wide = cv2.merge([weight] * 3)  # NumPy is slow where the last axis is short
    return np.asarray(a + (b - a) * wide, dtype=np.float32)


def tinted(rgb: tuple[float, float, float], value: Image) -> Image:
    """The colour rgb scaled by value (h, w)."""
    return cv2.merge([np.float32(part) * value.astype(np.float32, copy=False) for part in rgb])


def pyramid(image: Image) -> list[Image]:
    """The image, then halved (area averaged) down to 4 pixels."""
    levels = [np.ascontiguousarray(image, dtype=np.float32)]
    while min(levels[-1].shape[:2]) > 4:
        h, w = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA))
    return levels


def to_bytes(image: Image) -> NDArray[np.uint8]:
    """An image in [0, 1] as uint8."""
    return np.asarray(np.clip(image * 255.0 + 0.5, 0, 255), dtype=np.uint8)


def _wrapped_strokes(
    rng: np.random.Generator, size: int, count: int, length: tuple[float, float], width: int
) -> Image:
    """Signed short strokes with wrap-around, (size, size) in about [-1, 1]."""
    canvas = np.zeros((size, size), np.float32)
    start = rng.uniform(0, size, (count, 2))
    angle = rng.normal(math.pi / 2, 0.7, count)
    reach = rng.uniform(*length, count)[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    tone = rng.uniform(-1, 1, count)
    for a, d, value in zip(start, reach, tone, strict=True):
        for shift in ((0, 0), (size, 0), (0, size), (-size, 0), (0, -size)):
            p, q = a + shift, a + shift + d
            if -20 < p[0] < size + 20 and -20 < p[1] < size + 20:
                ends = [tuple(round(c * 16) for c in e) for e in (p, q)]
                cv2.line(canvas, ends[0], ends[1], float(value), width, cv2.LINE_AA, 4)
    return canvas


def grass(rng: np.random.Generator, size: int = 1024) -> Image:
    """Meadow: blades, tufts, dry spots. Meant for 2 cm a texel."""
    tuft = noise(rng, size, 0.9, 12, 160)
    fine = noise(rng, size, 0.2, 60)
    strokes = _wrapped_strokes(rng, size, size * size // 110, (4, 11), 1)
    value = 1.0 + 0.19 * tuft + 0.06 * fine + 0.22 * strokes
    dry = smoothstep(0.5, 1.9, noise(rng, size, 1.2, 5, 90) + 0.5 * fine)
    colour = blend(
        tinted((0.30, 0.37, 0.15), value),
        tinted((0.50, 0.45, 0.26), value),
        np.asarray(0.75 * dry, np.float32),
    )
    flower = rng.random((size, size)) > 0.9993
    colour[flower] = rng.uniform(0.55, 0.9, (int(flower.sum()), 1))
    return np.clip(colour, 0.02, 1.0)


def dirt(rng: np.random.Generator, size: int = 512) -> Image:
    """Earth and gravel: clods with lit and shaded sides."""
    height = noise(rng, size, 0.9, 10, 180)
    light = np.roll(height, 2, 0) - np.roll(height, -1, 1)
    value = 1.0 + 0.14 * noise(rng, size, 1.1, 3, 60) + 0.16 * light + 0.07 * noise(rng, size, 0.0)
    stone = smoothstep(1.5, 2.0, noise(rng, size, 0.4, 30, 120))
    colour = blend(tinted((0.42, 0.34, 0.25), value), tinted((0.60, 0.57, 0.52), value), stone)
    return np.clip(colour, 0.02, 1.0)


def gravel(rng: np.random.Generator, size: int = 512) -> Image:
    """Pale crushed stone, for shoulders and parking bays."""
    height = noise(rng, size, 0.5, 30, 200)
    light = np.roll(height, 1, 0) - np.roll(height, -1, 1)
    value = 1.0 + 0.17 * light + 0.12 * noise(rng, size, 1.0, 3, 40)
    return np.clip(tinted((0.50, 0.47, 0.42), np.asarray(value, np.float32)), 0.02, 1.0)


def asphalt(rng: np.random.Generator, size: int = 1024) -> Image:
    """Gray value (size, size) about 1: grain, aggregate, blotches. Meant for 1.5 cm a texel."""
    grain = noise(rng, size, 0.0) * 0.07
    aggregate = smoothstep(1.2, 2.4, noise(rng, size, 0.3, 60)) * 0.30
    pits = smoothstep(1.4, 2.4, noise(rng, size, 0.5, 40)) * -0.28
    blotch = noise(rng, size, 1.1, 4, 110) * 0.085
    return np.asarray(1.0 + grain + aggregate + pits + blotch, np.float32)


def paving(rng: np.random.Generator, size: int = 512, across: int = 12) -> Image:
    """Stone slabs with joints, `across` slabs a side, rows shifted by half."""
    cell = size / across
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    row = np.floor(y / cell).astype(int)
    xs = x / cell + 0.5 * (row % 2)
    column = np.floor(xs).astype(int) % across
    tone = rng.normal(1.0, 0.09, (across, across))[row % across, column]
    edge = np.minimum(np.minimum(xs % 1, 1 - xs % 1), np.minimum(y / cell % 1, 1 - y / cell % 1))
    joint = 1 - smoothstep(0.02, 0.06, np.asarray(edge, np.float32))
    value = tone * (1 + 0.06 * noise(rng, size, 0.5, 10) + 0.05 * noise(rng, size, 1.2, 2, 20))
    value = value * (1 - 0.45 * joint)
    return np.clip(tinted((0.56, 0.54, 0.50), np.asarray(value, np.float32)), 0.02, 1.0)


def leaves(rng: np.random.Generator, rgb: tuple[float, float, float], size: int = 256) -> Image:
    """Foliage: dark gaps, leaf clusters lit from above, mixed hues."""
    clump = noise(rng, size, 1.1, 4, 50)
    leaf = noise(rng, size, 0.4, 24, 90)
    light = np.roll(leaf, 2, 0) - leaf
    value = 0.85 + 0.20 * clump + 0.14 * light + 0.10 * leaf
    gap = smoothstep(0.9, 1.8, -clump - 0.5 * leaf)
    value = value * (1 - 0.5 * gap)
    hue = noise(rng, size, 0.7, 6, 60)
    colour = tinted(rgb, np.asarray(value, np.float32))
    colour = colour * (1 + hue[..., None] * np.array([0.14, 0.03, -0.05], np.float32))
    return np.clip(colour, 0.015, 1.0).astype(np.float32)


def bark(rng: np.random.Generator, size: int = 128) -> Image:
    """Trunks: furrows along the second half of the image axes (vertical)."""
    field = cv2.resize(noise(rng, size, 0.6, 4)[: size // 6], (size, size))
    value = 1.0 + 0.28 * field + 0.08 * noise(rng, size, 0.0)
    return np.clip(tinted((0.34, 0.28, 0.22), np.asarray(value, np.float32)), 0.02, 1.0)


def planks(rng: np.random.Generator, rgb: tuple[float, float, float], size: int = 128) -> Image:
    """Weathered boards side by side (vertical)."""
    count = 8
    tone = rng.normal(1.0, 0.15, count)[np.arange(size) * count // size][None]
    seam = (np.arange(size) * count % size < count * 2)[None]
    streak = cv2.resize(noise(rng, size, 0.4)[: size // 8], (size, size))
    value = tone * (1 + 0.13 * streak + 0.05 * noise(rng, size, 0.0)) * (1 - 0.5 * seam)
    return np.clip(tinted(rgb, np.asarray(value, np.float32)), 0.02, 1.0)


def brick(
    rng: np.random.Generator, rgb: tuple[float, float, float], size: int = 256, rows: int = 16
) -> Image:
    """Running bond with pale joints; bricks are about two and a half times as long as high."""
    columns = max(2, round(rows / 2.5))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    row = np.floor(y * rows).astype(int)
    u = x * columns + 0.5 * (row % 2)
    column = np.floor(u).astype(int) % columns
    tone = rng.normal(1.0, 0.16, (rows, columns))[row, column]
    hue = rng.normal(0.0, 0.06, (rows, columns))[row, column]
    v = (y * rows) % 1
    joint = np.maximum((u % 1) < 0.05, v < 0.14).astype(np.float32)
    value = tone * (1 + 0.07 * noise(rng, size, 0.2) + 0.06 * noise(rng, size, 1.2, 1, 12))
    colour = tinted(rgb, np.asarray(value, np.float32))
    colour[..., 0] *= 1 + hue
    mortar = tinted((0.60, 0.57, 0.53), np.asarray(1 + 0.06 * noise(rng, size, 0.2), np.float32))
    return np.clip(blend(colour, mortar, joint), 0.02, 1.0)


def plaster(rng: np.random.Generator, rgb: tuple[float, float, float], size: int = 256) -> Image:
    """Rendered wall: grain, blotches, streaks of rain."""
    streak = cv2.resize(noise(rng, size, 0.8)[: size // 6], (size, size))
    value = (
        1.0
        + 0.045 * noise(rng, size, 0.1)
        + 0.06 * noise(rng, size, 1.2, 1, 30)
        + 0.05 * streak
        + 0.05 * noise(rng, size, 0.6, 10, 60)
    )
    return np.clip(tinted(rgb, np.asarray(value, np.float32)), 0.02, 1.0)


def roof_tiles(
    rng: np.random.Generator, rgb: tuple[float, float, float], size: int = 256, rows: int = 22
) -> Image:
    """Overlapping tiles: rows shaded towards their lower edge, mossy spots."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    row = np.floor(y * rows).astype(int)
    u = x * rows + 0.5 * (row % 2)
    tone = rng.normal(1.0, 0.11, (rows, rows))[row, np.floor(u).astype(int) % rows]
    shade = 0.72 + 0.40 * np.abs(np.sin(math.pi * u)) * (1 - 0.5 * ((y * rows) % 1) ** 3)
    moss = smoothstep(0.8, 2.0, noise(rng, size, 1.1, 2, 30))
    value = np.asarray(tone * shade * (1 + 0.06 * noise(rng, size, 0.0)), np.float32)
    return np.clip(blend(tinted(rgb, value), tinted((0.30, 0.32, 0.20), value), moss), 0.02, 1.0)

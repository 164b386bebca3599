"""Trees, shrubs and hedges: blobs and leaf cards in foliage textures."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground import textures
from vista_sim.proving_ground.meshes import MeshBuilder, Rect
from vista_sim.proving_ground.prototype import BURIED, Generator, Prototype, blank_atlas, put

LEAVES: Rect = (0.0, 0.0, 0.75, 1.0)
BARK: Rect = (0.78, 0.0, 1.0, 1.0)
GREENS = (
    (0.27, 0.36, 0.13),
    (0.22, 0.32, 0.12),
    (0.34, 0.38, 0.14),
    (0.42, 0.34, 0.12),
    (0.20, 0.30, 0.17),
)


def _cards(
    b: MeshBuilder,
    rng: Generator,
    center: NDArray[np.float64],
    radii: tuple[float, float, float],
    count: int,
    size: float,
) -> None:
    """Leafy triangles that stick out of an ellipsoid and give it a ragged outline."""
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    at = center + direction * np.array(radii) * rng.uniform(0.85, 1.12, (count, 1))
    normal = direction + 0.6 * rng.standard_normal((count, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    e1 = np.cross(normal, rng.standard_normal((count, 3)))
    e1 /= np.linalg.norm(e1, axis=1, keepdims=True)
    e2 = np.cross(normal, e1)
    reach = size * rng.uniform(0.6, 1.4, (count, 1))
    points = np.stack(
        [
            at + reach * e1,
            at - 0.5 * reach * e1 + 0.8 * reach * e2,
            at - 0.5 * reach * e1 - 0.8 * reach * e2,
        ],
        axis=1,
    )
    u = rng.uniform(LEAVES[0], LEAVES[2] - 0.12, (count, 1)) + np.array([0.0, 0.1, 0.05])
    v = rng.uniform(0.0, 0.86, (count, 1)) + np.array([0.0, 0.04, 0.12])
    # Lit like the crown they belong to: one normal for the whole card, pointing outwards.
    shade = np.repeat(direction[:, None], 3, axis=1)
    b.add(points, shade, np.stack([u, v], -1), np.arange(3 * count))


def tree(rng: Generator, name: str) -> Prototype:
    """A broad-leaved tree: trunk, boughs, a crown of blobs and leaf cards."""
    height = float(rng.uniform(6.0, 12.0))
    trunk = float(rng.uniform(0.24, 0.36)) * height
    spread = float(rng.uniform(0.24, 0.36)) * height
    atlas = blank_atlas(256)
    green = np.array(GREENS[rng.integers(len(GREENS))]) * rng.uniform(0.85, 1.15)
    put(atlas, textures.leaves(rng, tuple(green), 192), LEAVES)
    put(atlas, textures.bark(rng, 256), BARK)
    thick = 0.022 * height + 0.06
    blobs = []
    count = int(rng.integers(5, 8))
    for i in range(count):
        angle = 2 * math.pi * i / count + rng.uniform(-0.4, 0.4)
        out = spread * rng.uniform(0.35, 0.6)
        z = trunk + (height - trunk) * rng.uniform(0.28, 0.72)
        r = spread * rng.uniform(0.48, 0.66)
        center = np.array([out * math.cos(angle), out * math.sin(angle), z])
        blobs.append((center, (r, r, r * rng.uniform(0.7, 0.95))))
    top = np.array([0.0, 0.0, height - 0.42 * spread])
    blobs.append((top, (0.6 * spread, 0.6 * spread, 0.45 * spread)))
    meshes = []
    for fine in (True, False):
        b = MeshBuilder()
        b.cylinder((0, 0, -BURIED), (0, 0, trunk + 0.25 * height), (thick, 0.55 * thick), BARK)
        for center, radii in blobs:
            if fine:
                start = (0, 0, trunk * 0.9)
                b.cylinder(start, center, (0.45 * thick, 0.15 * thick), BARK, sides=4)
                b.blob(center, radii, LEAVES, rng, 0.10, 5, 8)
                _cards(b, rng, center, radii, 46, 0.30 + 0.02 * height)
            else:
                b.blob(center, radii, LEAVES, rng, 0.14, 4, 6)
                _cards(b, rng, center, radii, 12, 0.55 + 0.03 * height)
        meshes.append(b.build())
    return Prototype(
        name,
        tuple(meshes),
        atlas,
        0.018,
        spread,
        height,
        (2 * thick, 2 * thick),
        330.0,
        crown=(trunk, spread),
    )


def conifer(rng: Generator, name: str) -> Prototype:
    """A spruce: trunk and stacked skirts of needles."""
    height = float(rng.uniform(7.0, 14.0))
    spread = float(rng.uniform(0.16, 0.22)) * height
    bottom = 0.12 * height
    atlas = blank_atlas(256)
    green = np.array((0.15, 0.24, 0.13)) * rng.uniform(0.8, 1.25)
    put(atlas, textures.leaves(rng, tuple(green), 192), LEAVES)
    put(atlas, textures.bark(rng, 256), BARK)
    meshes = []
    for fine in (True, False):
        b = MeshBuilder()
        b.cylinder((0, 0, -BURIED), (0, 0, 0.8 * height), (0.022 * height, 0.03), BARK, sides=6)
        layers = 9 if fine else 5
        for i in range(layers):
            f = i / layers
            low = bottom + (height - bottom) * f
            high = min(low + 1.9 * (height - bottom) / layers, height)
            radius = spread * (1 - f) + 0.12
            b.cylinder((0, 0, low), (0, 0, high), (radius, 0.06), LEAVES, sides=9)
            _cards(
                b,
                rng,
                np.array([0.0, 0.0, low + 0.15]),
                (radius, radius, 0.3),
                30 if fine else 9,
                0.36 if fine else 0.7,
            )
        meshes.append(b.build())
    return Prototype(
        name,
        tuple(meshes),
        atlas,
        0.018,
        spread,
        height,
        (0.5, 0.5),
        330.0,
        crown=(bottom, spread),
    )


def bush(rng: Generator, name: str) -> Prototype:
    """A shrub up to 1.6 m high."""
    height, radius = float(rng.uniform(0.6, 1.6)), float(rng.uniform(0.5, 1.1))
    atlas = blank_atlas(256)
    green = np.array(GREENS[rng.integers(len(GREENS))]) * rng.uniform(0.8, 1.2)
    put(atlas, textures.leaves(rng, tuple(green), 192), LEAVES)
    put(atlas, textures.bark(rng, 256), BARK)
    meshes = []
    for fine in (True, False):
        b = MeshBuilder()
        for _ in range(3 if fine else 1):
            center = np.array([*rng.uniform(-0.3, 0.3, 2) * radius, 0.42 * height])
            radii = (0.75 * radius, 0.75 * radius, 0.55 * height)
            b.blob(center, radii, LEAVES, rng, 0.12, 4, 7)
            _cards(b, rng, center, radii, 40 if fine else 16, 0.20 if fine else 0.34)
        meshes.append(b.build())
    return Prototype(
        name, tuple(meshes), atlas, 0.01, radius, height, (1.6 * radius, 1.6 * radius), 170.0
    )


def hedge(rng: Generator, name: str) -> Prototype:
    """Four metres of clipped hedge."""
    height, thick = float(rng.uniform(0.9, 1.7)), float(rng.uniform(0.6, 0.9))
    atlas = blank_atlas(256)
    put(atlas, textures.leaves(rng, GREENS[rng.integers(2)], 192), LEAVES)
    put(atlas, textures.bark(rng, 256), BARK)
    meshes = []
    for fine in (True, False):
        b = MeshBuilder()
        b.box((0, 0, -BURIED), (4.02, thick, height + BURIED), (0.0, 0.0, 0.75, 0.5))
        for x in np.linspace(-1.8, 1.8, 5):
            _cards(
                b,
                rng,
                np.array([x, 0, height / 2]),
                (0.55, thick / 2 + 0.03, height / 2),
                36 if fine else 8,
                0.16 if fine else 0.25,
            )
        meshes.append(b.build())
    return Prototype(
        name, tuple(meshes), atlas, 4 / 192, 2.2, height, (4.0, thick), 200.0, tilts=True
    )

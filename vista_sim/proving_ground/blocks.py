"""Blocks of flats as they line the streets of cities."""

from __future__ import annotations

import math

from vista_sim.proving_ground import textures
from vista_sim.proving_ground.buildings import BRICKS, WALLS, facade
from vista_sim.proving_ground.meshes import MeshBuilder, Rect
from vista_sim.proving_ground.prototype import BURIED, Generator, Prototype, blank_atlas, put, tiled

FRONT: Rect = (0.0, 0.5, 1.0, 1.0)
SIDE: Rect = (0.0, 0.2, 1.0, 0.5)
WALL: Rect = (0.0, 0.0, 0.5, 0.19)
PLINTH: Rect = (0.52, 0.0, 1.0, 0.19)
FLOOR = 2.8  # m, as `facade` draws them


def block(rng: Generator, name: str) -> Prototype:
    """A flat-roofed block of three to six floors, with balconies on most."""
    width, depth = float(rng.uniform(13.0, 24.0)), float(rng.uniform(9.0, 12.0))
    floors = int(rng.integers(3, 7))
    height = FLOOR * floors + 0.9
    if rng.random() < 0.35:
        skin = textures.brick(rng, BRICKS[rng.integers(len(BRICKS))], 256, 32)
    else:
        skin = textures.plaster(rng, WALLS[rng.integers(len(WALLS))], 256)
    tone = float(rng.uniform(0.3, 0.62))
    plinth = textures.plaster(rng, (tone, 0.97 * tone, 0.92 * tone), 128)
    atlas = blank_atlas(768)
    put(atlas, facade(rng, skin, width, height, floors, door=True), FRONT)
    put(atlas, facade(rng, skin, depth, height, floors, door=False), SIDE)
    put(atlas, tiled(skin, 128, 256), WALL)
    put(atlas, plinth, PLINTH)
    b = MeshBuilder()
    b.box((0, 0, 0), (width, depth, height), (SIDE, FRONT, SIDE, FRONT), PLINTH)
    b.box((0, 0, -2 * BURIED), (width + 0.08, depth + 0.08, 2 * BURIED + 0.5), PLINTH)
    b.box((0, 0, height - 0.25), (width + 0.3, depth + 0.3, 0.45), PLINTH)
    if rng.random() < 0.65:
        _balconies(b, rng, width, depth, floors)
    radius = 0.5 * math.hypot(width, depth) + 1.2
    return Prototype(name, (b.build(),), atlas, width / 768, radius, height, (width, depth), 420.0)


def _balconies(b: MeshBuilder, rng: Generator, width: float, depth: float, floors: int) -> None:
    """Columns of balconies on the front, from the first floor up."""
    count = int(rng.integers(1, 4))
    wide = min(float(rng.uniform(2.4, 5.0)), 0.8 * width / count)
    skin = WALL if rng.random() < 0.5 else PLINTH
    for i in range(count):
        x = width * ((i + 0.5) / count - 0.5)
        for floor in range(1, floors):
            b.box((x, -depth / 2 - 0.5, FLOOR * floor + 0.3), (wide, 1.0, 1.05), skin)

"""Houses, workshops and garden walls."""

from __future__ import annotations

import math

import cv2
import numpy as np

from vista_sim.proving_ground import textures
from vista_sim.proving_ground.meshes import MeshBuilder, Rect
from vista_sim.proving_ground.prototype import BURIED, Generator, Prototype, blank_atlas, put, tiled
from vista_sim.proving_ground.textures import Image

FRONT: Rect = (0.0, 0.625, 1.0, 1.0)
SIDE: Rect = (0.0, 0.25, 1.0, 0.625)
ROOF: Rect = (0.0, 0.0, 0.74, 0.25)
WALL: Rect = (0.76, 0.0, 1.0, 0.25)

WALLS = (
    (0.78, 0.72, 0.60),
    (0.72, 0.70, 0.66),
    (0.74, 0.60, 0.45),
    (0.62, 0.66, 0.62),
    (0.80, 0.78, 0.74),
    (0.70, 0.55, 0.48),
)
BRICKS = ((0.50, 0.27, 0.20), (0.56, 0.36, 0.26), (0.44, 0.32, 0.28))
ROOFS = ((0.48, 0.24, 0.17), (0.36, 0.22, 0.19), (0.33, 0.34, 0.37), (0.52, 0.30, 0.20))


def house(rng: Generator, name: str) -> Prototype:
    """A gabled house of one to three floors."""
    width, depth = float(rng.uniform(8.5, 15.0)), float(rng.uniform(7.5, 10.5))
    floors = int(rng.integers(1, 4))
    wall = 2.8 * floors + 0.5
    rise = float(rng.uniform(0.33, 0.52)) * depth
    if rng.random() < 0.45:
        skin = textures.brick(rng, BRICKS[rng.integers(len(BRICKS))], 256, 32)
    else:
        skin = textures.plaster(rng, WALLS[rng.integers(len(WALLS))], 256)
    atlas = blank_atlas(512)
    put(atlas, facade(rng, skin, width, wall, floors, door=True), FRONT)
    put(atlas, facade(rng, skin, depth, wall, floors, door=False), SIDE)
    tiles = textures.roof_tiles(rng, ROOFS[rng.integers(len(ROOFS))], 256, 24)
    put(atlas, tiled(tiles, 256, 768), ROOF)
    put(atlas, tiled(skin, 128, 128), WALL)

    b = MeshBuilder()
    b.box((0, 0, 0), (width, depth, wall), (SIDE, FRONT, SIDE, FRONT), WALL)
    b.box((0, 0, -BURIED * 2), (width + 0.06, depth + 0.06, BURIED * 2 + 0.25), WALL)
    hx, hy, over = width / 2, depth / 2, 0.45
    slope = rise / hy
    for side in (-1.0, 1.0):
        eave = side * (hy + over)
        low = wall - slope * over
        corners = [
            (side * (hx + over), eave, low),
            (side * -(hx + over), eave, low),
            (side * -(hx + over), 0, wall + rise),
            (side * (hx + over), 0, wall + rise),
        ]
        b.quad(corners, ROOF)
        lift = [(x, y, z - 0.18) for x, y, z in corners]  # the roof has a thickness
        b.quad([lift[0], lift[1], corners[1], corners[0]], (0.1, 0.02, 0.6, 0.04))
    for side in (-1.0, 1.0):
        x = side * hx
        uv = [(WALL[0], WALL[1]), (WALL[2], WALL[1]), ((WALL[0] + WALL[2]) / 2, WALL[3])]
        b.triangle([(x, -side * hy, wall), (x, side * hy, wall), (x, 0, wall + rise)], uv)
    chimney = float(rng.uniform(-0.3, 0.3)) * width
    b.box((chimney, 0.4, wall + rise - 1.2), (0.7, 0.7, 2.1), WALL)
    if rng.random() < 0.6:  # a porch before the door
        b.box((0.0, -hy - 0.7, -0.3), (2.2, 1.4, 0.5), WALL)
        b.box((0.0, -hy - 0.7, 2.5), (2.4, 1.5, 0.16), (0.1, 0.05, 0.4, 0.10))
    return Prototype(
        name,
        (b.build(),),
        atlas,
        width / 512,
        0.5 * math.hypot(width, depth) + 0.5,
        wall + rise,
        (width, depth),
        380.0,
    )


def facade(
    rng: Generator, skin: Image, width: float, height: float, floors: int, door: bool
) -> Image:
    """A wall with windows, (192, 512, 3), `width` by `height` m."""
    h, w = 384, 1024
    sy, sx = h / height, w / width
    scale = skin.shape[0] / 2.6  # the skin's image is 2.6 m wide
    wall = tiled(skin, round(height * scale) + 1, round(width * scale) + 1)
    image = np.asarray(cv2.resize(wall, (w, h), interpolation=cv2.INTER_AREA))
    image *= (1 - 0.16 * np.linspace(0, 1, h, dtype=np.float32) ** 3)[:, None, None]

    def rect(x0: float, z0: float, x1: float, z1: float, rgb: object, grain: float = 0.0) -> None:
        r0, r1 = round(h - z1 * sy), round(h - z0 * sy)
        c0, c1 = round(x0 * sx), round(x1 * sx)
        r0, r1, c0, c1 = max(r0, 0), min(r1, h), max(c0, 0), min(c1, w)
        if r1 > r0 and c1 > c0:
            patch = np.broadcast_to(np.asarray(rgb, np.float32), (r1 - r0, c1 - c0, 3)).copy()
            patch *= 1 + grain * rng.standard_normal((r1 - r0, c1 - c0, 1)).astype(np.float32)
            image[r0:r1, c0:c1] = patch

    rect(0, 0, width, 0.45, (0.42, 0.40, 0.38), 0.08)
    frame = rng.choice([0.85, 0.30, 0.6]) * np.array([1.0, 0.98, 0.95])
    shutter = rng.uniform(0.15, 0.55, 3) if rng.random() < 0.5 else None
    count = max(2, int(width / rng.uniform(2.3, 3.2)))
    for floor in range(floors):
        base = 0.5 + 2.8 * floor
        for i in range(count):
            x = width * (i + 0.5) / count
            if door and floor == 0 and i == count // 2:
                rect(x - 0.62, 0.1, x + 0.62, 2.35, frame, 0.02)
                tone = rng.uniform(0.12, 0.45, 3)
                rect(x - 0.5, 0.1, x + 0.5, 2.25, tone, 0.06)
                rect(x - 0.3, 1.3, x + 0.3, 2.0, (0.15, 0.18, 0.2), 0.1)
                continue
            if rng.random() < 0.06:
                continue
            z0, z1 = base + 0.75, base + 2.1
            if shutter is not None:
                for edge in (-0.98, 0.62):
                    rect(x + edge, z0, x + edge + 0.36, z1, shutter, 0.12)
            rect(x - 0.62, z0 - 0.08, x + 0.62, z1 + 0.08, frame, 0.03)
            glass = np.array([0.10, 0.13, 0.17]) * rng.uniform(0.6, 1.8)
            for side in (-1, 1):
                a, c = (x - 0.53, x - 0.03) if side < 0 else (x + 0.03, x + 0.53)
                rect(a, z0, c, z1, glass, 0.12)
                rect(a, z0 + 0.7, c, z1, glass + rng.uniform(0.05, 0.25), 0.08)
                if rng.random() < 0.4:
                    rect(a, z0, c, z0 + rng.uniform(0.3, 1.2), (0.7, 0.68, 0.62), 0.05)
            rect(x - 0.72, z0 - 0.2, x + 0.72, z0 - 0.08, (0.62, 0.6, 0.57), 0.05)
    for _ in range(3):  # rain pipes and stains
        x = rng.uniform(0.2, width - 0.2)
        if rng.random() < 0.4:
            rect(x, 0, x + 0.09, height, (0.35, 0.34, 0.33), 0.05)
    return image


def hall(rng: Generator, name: str) -> Prototype:
    """A flat-roofed workshop of corrugated sheet and brick."""
    width, depth, wall = (float(rng.uniform(*r)) for r in ((16, 28), (10, 14), (4.5, 7.0)))
    skin = textures.planks(rng, tuple(rng.uniform(0.4, 0.65) + rng.uniform(-0.06, 0.06, 3)), 256)
    base = textures.brick(rng, BRICKS[rng.integers(len(BRICKS))], 256, 32)
    atlas = blank_atlas(512)
    for rect_, length in ((FRONT, width), (SIDE, depth)):
        image = facade(rng, skin, length, wall, 1, door=rect_ is FRONT)
        lower = tiled(base, 120, 1024)
        row = 384 - 120
        keep = np.abs(image[row:] - image[row:].mean((0, 1))).sum(-1) > 0.5
        image[row:] = np.where(keep[..., None], image[row:], lower)
        put(atlas, image, rect_)
    put(atlas, textures.gravel(rng, 256), ROOF)
    put(atlas, tiled(skin, 128, 128), WALL)
    b = MeshBuilder()
    b.box((0, 0, -BURIED * 2), (width, depth, wall + BURIED * 2), (SIDE, FRONT, SIDE, FRONT), ROOF)
    b.box((0, 0, wall - 0.3), (width + 0.12, depth + 0.12, 0.7), WALL, ROOF)
    return Prototype(
        name,
        (b.build(),),
        atlas,
        width / 512,
        0.5 * math.hypot(width, depth) + 0.3,
        wall,
        (width, depth),
        380.0,
    )


def wall(rng: Generator, name: str) -> Prototype:
    """Four metres of garden wall with a coping."""
    height = float(rng.uniform(0.8, 1.7))
    atlas = blank_atlas(256)
    if rng.random() < 0.5:
        skin = textures.brick(rng, BRICKS[rng.integers(len(BRICKS))], 256, 14)
    else:
        skin = textures.paving(rng, 256, 7) * np.array([0.95, 0.88, 0.78], np.float32)
    put(atlas, tiled(skin, 256, 512), (0.0, 0.25, 1.0, 1.0))
    put(atlas, textures.plaster(rng, (0.5, 0.48, 0.45), 128), (0.0, 0.0, 1.0, 0.24))
    b = MeshBuilder()
    b.box((0, 0, -BURIED), (4.02, 0.30, height + BURIED), (0.0, 0.25, 1.0, 1.0))
    b.box((0, 0, height), (4.04, 0.40, 0.09), (0.0, 0.02, 1.0, 0.06), (0.0, 0.0, 1.0, 0.2))
    return Prototype(name, (b.build(),), atlas, 4 / 256, 2.1, height, (4.0, 0.4), 200.0, tilts=True)

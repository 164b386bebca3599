"""What stands beside the road: prototypes of houses, trees, cars, fences and small things.

Local frame of a prototype: x along its long side, y towards its back, z up, origin on the
ground below its middle. Houses, cars and lamps face -y (the road).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground import textures
from vista_sim.proving_ground.meshes import Mesh, MeshBuilder, Rect
from vista_sim.proving_ground.textures import Image

Generator = np.random.Generator
BURIED = 0.4  # m that walls and posts go below the ground, so that slopes show no gap


@dataclass(frozen=True, eq=False)
class Prototype:
    """One model that may stand in many places.

    meshes: fine and coarse; texture: RGB in [0, 1], first row on top; texel: m; radius: m on
    the ground; height: m; reach: m from which it is drawn; crown: (bottom height, radius) of
    a tree's crown.
    """

    name: str
    meshes: tuple[Mesh, ...]
    texture: Image
    texel: float
    radius: float
    height: float
    footprint: tuple[float, float]
    reach: float
    crown: tuple[float, float] | None = None
    tilts: bool = False  # follows the slope of the ground


def _atlas(size: int) -> Image:
    return np.full((size, size, 3), 0.4, np.float32)


def _put(atlas: Image, image: Image, rect: Rect) -> None:
    """Scale an image into a rectangle (u0, v0, u1, v1) of an atlas."""
    h, w = atlas.shape[:2]
    c0, c1 = round(rect[0] * w), round(rect[2] * w)
    r0, r1 = round((1 - rect[3]) * h), round((1 - rect[1]) * h)
    atlas[r0:r1, c0:c1] = cv2.resize(image, (c1 - c0, r1 - r0), interpolation=cv2.INTER_AREA)


def _tiled(image: Image, height: int, width: int) -> Image:
    return np.tile(image, (-(-height // image.shape[0]), -(-width // image.shape[1]), 1))[
        :height, :width
    ].copy()


# Houses ---------------------------------------------------------------------------------

FRONT: Rect = (0.0, 0.625, 1.0, 1.0)
SIDE: Rect = (0.0, 0.25, 1.0, 0.625)
ROOF: Rect = (0.0, 0.0, 0.74, 0.25)
WALL: Rect = (0.76, 0.0, 1.0, 0.25)

WALLS = ((0.78, 0.72, 0.60), (0.72, 0.70, 0.66), (0.74, 0.60, 0.45), (0.62, 0.66, 0.62),
         (0.80, 0.78, 0.74), (0.70, 0.55, 0.48))
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
    atlas = _atlas(512)
    _put(atlas, _facade(rng, skin, width, wall, floors, door=True), FRONT)
    _put(atlas, _facade(rng, skin, depth, wall, floors, door=False), SIDE)
    tiles = textures.roof_tiles(rng, ROOFS[rng.integers(len(ROOFS))], 256, 24)
    _put(atlas, _tiled(tiles, 256, 768), ROOF)
    _put(atlas, _tiled(skin, 128, 128), WALL)

    b = MeshBuilder()
    b.box((0, 0, 0), (width, depth, wall), (SIDE, FRONT, SIDE, FRONT), WALL)
    b.box((0, 0, -BURIED * 2), (width + 0.06, depth + 0.06, BURIED * 2 + 0.25), WALL)
    hx, hy, over = width / 2, depth / 2, 0.45
    slope = rise / hy
    for side in (-1.0, 1.0):
        eave = side * (hy + over)
        low = wall - slope * over
        corners = [
            (side * (hx + over), eave, low), (side * -(hx + over), eave, low),
            (side * -(hx + over), 0, wall + rise), (side * (hx + over), 0, wall + rise),
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
        name, (b.build(),), atlas, width / 512, 0.5 * math.hypot(width, depth) + 0.5,
        wall + rise, (width, depth), 380.0,
    )


def _facade(
    rng: Generator, skin: Image, width: float, height: float, floors: int, door: bool
) -> Image:
    """A wall with windows, (192, 512, 3), `width` by `height` m."""
    h, w = 384, 1024
    sy, sx = h / height, w / width
    scale = skin.shape[0] / 2.6  # the skin's image is 2.6 m wide
    wall = _tiled(skin, round(height * scale) + 1, round(width * scale) + 1)
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
    atlas = _atlas(512)
    for rect_, length in ((FRONT, width), (SIDE, depth)):
        image = _facade(rng, skin, length, wall, 1, door=rect_ is FRONT)
        lower = _tiled(base, 120, 1024)
        row = 384 - 120
        keep = np.abs(image[row:] - image[row:].mean((0, 1))).sum(-1) > 0.5
        image[row:] = np.where(keep[..., None], image[row:], lower)
        _put(atlas, image, rect_)
    _put(atlas, textures.gravel(rng, 256), ROOF)
    _put(atlas, _tiled(skin, 128, 128), WALL)
    b = MeshBuilder()
    b.box((0, 0, -BURIED * 2), (width, depth, wall + BURIED * 2), (SIDE, FRONT, SIDE, FRONT), ROOF)
    b.box((0, 0, wall), (width + 0.3, depth + 0.3, 0.35), WALL, ROOF)
    return Prototype(
        name, (b.build(),), atlas, width / 512, 0.5 * math.hypot(width, depth) + 0.3, wall,
        (width, depth), 380.0,
    )


# Plants ---------------------------------------------------------------------------------

LEAVES: Rect = (0.0, 0.0, 0.75, 1.0)
BARK: Rect = (0.78, 0.0, 1.0, 1.0)
GREENS = ((0.27, 0.36, 0.13), (0.22, 0.32, 0.12), (0.34, 0.38, 0.14), (0.42, 0.34, 0.12),
          (0.20, 0.30, 0.17))


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
    points = np.stack([at + reach * e1, at - 0.5 * reach * e1 + 0.8 * reach * e2,
                       at - 0.5 * reach * e1 - 0.8 * reach * e2], axis=1)
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
    atlas = _atlas(256)
    green = np.array(GREENS[rng.integers(len(GREENS))]) * rng.uniform(0.85, 1.15)
    _put(atlas, textures.leaves(rng, tuple(green), 192), LEAVES)
    _put(atlas, textures.bark(rng, 256), BARK)
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
        name, tuple(meshes), atlas, 0.018, spread, height, (2 * thick, 2 * thick), 330.0,
        crown=(trunk, spread),
    )


def conifer(rng: Generator, name: str) -> Prototype:
    """A spruce: trunk and stacked skirts of needles."""
    height = float(rng.uniform(7.0, 14.0))
    spread = float(rng.uniform(0.16, 0.22)) * height
    bottom = 0.12 * height
    atlas = _atlas(256)
    green = np.array((0.15, 0.24, 0.13)) * rng.uniform(0.8, 1.25)
    _put(atlas, textures.leaves(rng, tuple(green), 192), LEAVES)
    _put(atlas, textures.bark(rng, 256), BARK)
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
            _cards(b, rng, np.array([0.0, 0.0, low + 0.15]), (radius, radius, 0.3),
                   30 if fine else 9, 0.36 if fine else 0.7)
        meshes.append(b.build())
    return Prototype(
        name, tuple(meshes), atlas, 0.018, spread, height, (0.5, 0.5), 330.0,
        crown=(bottom, spread),
    )


def bush(rng: Generator, name: str) -> Prototype:
    """A shrub up to 1.6 m high."""
    height, radius = float(rng.uniform(0.6, 1.6)), float(rng.uniform(0.5, 1.1))
    atlas = _atlas(256)
    green = np.array(GREENS[rng.integers(len(GREENS))]) * rng.uniform(0.8, 1.2)
    _put(atlas, textures.leaves(rng, tuple(green), 192), LEAVES)
    _put(atlas, textures.bark(rng, 256), BARK)
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
    atlas = _atlas(256)
    _put(atlas, textures.leaves(rng, GREENS[rng.integers(2)], 192), LEAVES)
    _put(atlas, textures.bark(rng, 256), BARK)
    meshes = []
    for fine in (True, False):
        b = MeshBuilder()
        b.box((0, 0, -BURIED), (4.02, thick, height + BURIED), (0.0, 0.0, 0.75, 0.5))
        for x in np.linspace(-1.8, 1.8, 5):
            _cards(b, rng, np.array([x, 0, height / 2]), (0.55, thick / 2 + 0.03, height / 2),
                   36 if fine else 8, 0.16 if fine else 0.25)
        meshes.append(b.build())
    return Prototype(
        name, tuple(meshes), atlas, 4 / 192, 2.2, height, (4.0, thick), 200.0, tilts=True
    )


# Things ---------------------------------------------------------------------------------

CAR_PROFILE = np.array(
    [(-2.10, 0.24), (-2.14, 0.62), (-2.02, 0.92), (-1.62, 1.02), (-1.18, 1.40), (-0.55, 1.47),
     (0.25, 1.43), (1.02, 1.00), (1.70, 0.88), (2.06, 0.70), (2.14, 0.46), (2.08, 0.24)]
)
CAR_COLOURS = ((0.62, 0.63, 0.65), (0.16, 0.17, 0.19), (0.74, 0.74, 0.73), (0.45, 0.10, 0.09),
               (0.12, 0.20, 0.38), (0.30, 0.33, 0.31), (0.52, 0.44, 0.32), (0.10, 0.28, 0.22))


def car(rng: Generator, name: str) -> Prototype:
    """A parked car: a profile drawn out to the width, painted sides, four wheels."""
    scale = np.array([rng.uniform(0.92, 1.08), rng.uniform(0.96, 1.12)])
    profile = CAR_PROFILE * scale
    if rng.random() < 0.4:  # an estate: the roof goes on to the tail
        profile[2:5] = np.array([(-2.06, 0.95), (-1.98, 1.12), (-1.78, 1.38)]) * scale
    colour = np.array(CAR_COLOURS[rng.integers(len(CAR_COLOURS))]) * rng.uniform(0.85, 1.15)
    atlas = _atlas(256)
    side: Rect = (0.0, 0.55, 1.0, 1.0)
    strip: Rect = (0.0, 0.0, 0.72, 0.53)
    wheel: Rect = (0.76, 0.28, 1.0, 0.53)
    tyre: Rect = (0.76, 0.0, 1.0, 0.25)
    _put(atlas, _car_side(rng, profile, colour), side)
    _put(atlas, _car_strip(rng, profile, colour), strip)
    _put(atlas, _hubcap(rng), wheel)
    _put(atlas, textures.plaster(rng, (0.07, 0.07, 0.075), 64), tyre)
    half = 0.88
    y = np.where(profile[:, 1] > 1.02 * scale[1], 0.68, half)
    lo, hi = profile.min(0), profile.max(0)
    b = MeshBuilder()
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    along = along / along[-1]
    for i in range(len(profile) - 1):
        (x0, z0), (x1, z1) = profile[i], profile[i + 1]
        rect = (strip[0], strip[3] * along[i], strip[2], strip[3] * along[i + 1])
        b.quad([(x0, y[i], z0), (x0, -y[i], z0), (x1, -y[i + 1], z1), (x1, y[i + 1], z1)], rect)
    middle = np.array([0.0, 0.62 * scale[1]])
    fan = np.vstack([middle, profile])
    ys = np.concatenate([[half], y])
    uv = np.column_stack(
        [(fan[:, 0] - lo[0]) / (hi[0] - lo[0]),
         side[1] + (side[3] - side[1]) * (fan[:, 1] - lo[1]) / (hi[1] - lo[1])]
    )
    index = [[0, i, i % (len(profile)) + 1] for i in range(1, len(profile) + 1)]
    for sign in (-1.0, 1.0):
        points = np.column_stack([fan[:, 0], sign * ys, fan[:, 1]])
        b.add(points, np.tile([0, sign, 0.15], (len(points), 1)), uv, index)
    for x in (-1.32 * scale[0], 1.36 * scale[0]):
        for sign in (-1.0, 1.0):
            b.cylinder((x, sign * 0.60, 0.32), (x, sign * 0.90, 0.32), (0.325, 0.325), tyre, 12,
                       cap=True, cap_rect=wheel)
    return Prototype(
        name, (b.build(),), atlas, 4.3 / 256, 2.3, 1.5, (4.25 * scale[0], 1.76), 220.0, tilts=True
    )


def _car_side(rng: Generator, profile: NDArray[np.float64], colour: NDArray[np.float64]) -> Image:
    h, w = 240, 720
    image = np.empty((h, w, 3), np.float32)
    image[:] = colour
    image *= (0.72 + 0.34 * np.linspace(1, 0, h, dtype=np.float32))[:, None, None]
    lo, hi = profile.min(0), profile.max(0)

    def px(points: object) -> NDArray[np.int32]:
        p = np.asarray(points, float)
        q = np.column_stack(
            [(p[:, 0] - lo[0]) / (hi[0] - lo[0]) * w, (1 - (p[:, 1] - lo[1]) / (hi[1] - lo[1])) * h]
        )
        return np.round(q).astype(np.int32).reshape(-1, 1, 2)

    sx, sz = hi[0] / 2.14, hi[1] / 1.47
    belt, roof = 1.0 * sz, 1.36 * sz
    tail = float(profile[4, 0])
    glass = [(tail + 0.12, belt), (tail + 0.32, roof), (0.16 * sx, roof), (0.84 * sx, belt)]
    cv2.fillPoly(image, [px(glass)], (0.07, 0.09, 0.11))
    shine = [(tail + 0.5, belt), (tail + 0.7, roof), (tail + 1.1, roof), (tail + 0.9, belt)]
    cv2.fillPoly(image, [px(shine)], (0.30, 0.34, 0.38))
    for x in (-0.35 * sx, tail + 0.45):
        cv2.line(image, *(tuple(map(int, c[0])) for c in px([(x, belt), (x, roof)])),
                 tuple(map(float, colour * 0.6)), 10)
    for x in (-0.40 * sx, 0.78 * sx, -1.05 * sx):
        cv2.line(image, *(tuple(map(int, c[0])) for c in px([(x, 0.36), (x, belt)])),
                 tuple(map(float, colour * 0.35)), 3)
    for x in (-0.62 * sx, 0.45 * sx):
        cv2.fillPoly(image, [px([(x, 0.86), (x + 0.16, 0.86), (x + 0.16, 0.90), (x, 0.90)])],
                     tuple(map(float, colour * 0.4)))
    cv2.fillPoly(image, [px([(lo[0], 0.24), (hi[0], 0.24), (hi[0], 0.36), (lo[0], 0.36)])],
                 (0.08, 0.08, 0.085))
    for x in (-1.32 * sx, 1.36 * sx):
        at = px([(x, 0.34)])[0, 0]
        cv2.ellipse(image, tuple(map(int, at)),
                    (int(0.40 / (hi[0] - lo[0]) * w), int(0.40 / (hi[1] - lo[1]) * h)),
                    0, 0, 360, (0.035, 0.035, 0.04), -1)
    for x, rgb in ((hi[0] - 0.14, (0.85, 0.85, 0.8)), (lo[0] + 0.08, (0.55, 0.06, 0.05))):
        cv2.fillPoly(image, [px([(x - 0.1, 0.62), (x + 0.1, 0.62), (x + 0.1, 0.78),
                                 (x - 0.1, 0.78)])], rgb)
    image *= 1 + 0.03 * rng.standard_normal((h, w, 1)).astype(np.float32)
    return np.clip(image, 0.02, 1.0)


def _car_strip(rng: Generator, profile: NDArray[np.float64], colour: NDArray[np.float64]) -> Image:
    """Tail, rear window, roof, windscreen, bonnet and nose, from the lowest row up."""
    h, w = 512, 184
    image = np.empty((h, w, 3), np.float32)
    image[:] = colour
    step = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    row = (h - step / step[-1] * h).round().astype(int)

    def band(i0: float, i1: float, c0: float, c1: float, rgb: object) -> None:
        r = np.interp([i0, i1], np.arange(len(row)), row).round().astype(int)
        image[r[1] : r[0], round(c0 * w) : round(c1 * w)] = rgb

    band(3.1, 4.0, 0.08, 0.92, (0.08, 0.10, 0.12))
    band(3.4, 3.8, 0.2, 0.5, (0.25, 0.29, 0.33))
    band(6.05, 6.95, 0.07, 0.93, (0.08, 0.10, 0.12))
    band(6.2, 6.7, 0.5, 0.8, (0.30, 0.34, 0.38))
    band(7.0, 7.05, 0.0, 1.0, colour * 0.4)
    band(1.0, 1.7, 0.02, 0.2, (0.55, 0.06, 0.05))
    band(1.0, 1.7, 0.8, 0.98, (0.55, 0.06, 0.05))
    band(0.9, 1.2, 0.35, 0.65, (0.85, 0.85, 0.75))
    band(0.0, 0.45, 0.0, 1.0, (0.09, 0.09, 0.09))
    band(9.0, 9.9, 0.02, 0.25, (0.85, 0.85, 0.80))
    band(9.0, 9.9, 0.75, 0.98, (0.85, 0.85, 0.80))
    band(9.2, 10.4, 0.3, 0.7, (0.10, 0.10, 0.11))
    band(10.3, 10.8, 0.35, 0.65, (0.85, 0.85, 0.75))
    band(10.8, 11.0, 0.0, 1.0, (0.09, 0.09, 0.09))
    image *= 1 + 0.03 * rng.standard_normal((h, w, 1)).astype(np.float32)
    return np.clip(image, 0.02, 1.0)


def _hubcap(rng: Generator) -> Image:
    y, x = np.mgrid[-1:1:64j, -1:1:64j]  # type: ignore[misc]
    r, a = np.hypot(x, y), np.arctan2(y, x)
    spokes = 0.5 + 0.3 * np.cos(a * int(rng.integers(5, 8)))
    value = np.where(r < 0.68, spokes * (r > 0.12) + 0.25 * (r <= 0.12), 0.06)
    return np.repeat(np.asarray(value, np.float32)[..., None], 3, axis=-1)


def fence(rng: Generator, name: str) -> Prototype:
    """Four metres of fence: rails, pickets or boards, by chance."""
    kind = int(rng.integers(3))
    atlas = _atlas(128)
    rgb = ((0.46, 0.38, 0.30), (0.70, 0.68, 0.64), (0.38, 0.30, 0.22))[int(rng.integers(3))]
    _put(atlas, textures.planks(rng, rgb, 128), (0.0, 0.0, 1.0, 1.0))
    board: Rect = (0.02, 0.0, 0.10, 1.0)
    b = MeshBuilder()
    height = (1.1, 1.0, 1.6)[kind]
    for x in (-2.0, 0.0):
        b.box((x, 0, -BURIED), (0.13, 0.13, height + 0.12 + BURIED), board)
    if kind == 0:
        for z in (0.3, 0.62, 0.94):
            b.box((0, -0.07, z), (4.05, 0.05, 0.13), (0.0, 0.1, 0.9, 0.2))
    elif kind == 1:
        for z in (0.25, 0.75):
            b.box((0, -0.06, z), (4.05, 0.04, 0.09), (0.0, 0.1, 0.9, 0.2))
        for i in range(20):
            x = -1.9 + 0.2 * i
            b.box((x, -0.1, 0.1), (0.10, 0.025, height - 0.1), (i % 8 / 8, 0, i % 8 / 8 + 0.12, 1))
    else:
        b.box((0, -0.05, 0.05), (4.02, 0.05, height), (0.0, 0.0, 1.0, 1.0))
    return Prototype(
        name, (b.build(),), atlas, 0.02, 2.1, height, (4.0, 0.15), 170.0, tilts=True
    )


def wall(rng: Generator, name: str) -> Prototype:
    """Four metres of garden wall with a coping."""
    height = float(rng.uniform(0.8, 1.7))
    atlas = _atlas(256)
    if rng.random() < 0.5:
        skin = textures.brick(rng, BRICKS[rng.integers(len(BRICKS))], 256, 14)
    else:
        skin = textures.paving(rng, 256, 7) * np.array([0.95, 0.88, 0.78], np.float32)
    _put(atlas, _tiled(skin, 256, 512), (0.0, 0.25, 1.0, 1.0))
    _put(atlas, textures.plaster(rng, (0.5, 0.48, 0.45), 128), (0.0, 0.0, 1.0, 0.24))
    b = MeshBuilder()
    b.box((0, 0, -BURIED), (4.02, 0.30, height + BURIED), (0.0, 0.25, 1.0, 1.0))
    b.box((0, 0, height), (4.04, 0.40, 0.09), (0.0, 0.02, 1.0, 0.06), (0.0, 0.0, 1.0, 0.2))
    return Prototype(
        name, (b.build(),), atlas, 4 / 256, 2.1, height, (4.0, 0.4), 200.0, tilts=True
    )


def lamp(rng: Generator, name: str) -> Prototype:
    """A street lamp of 6 m; its arm reaches towards -y."""
    atlas = _atlas(64)
    _put(atlas, textures.plaster(rng, (0.42, 0.44, 0.45), 64), (0.0, 0.0, 1.0, 0.8))
    _put(atlas, textures.plaster(rng, (0.8, 0.8, 0.75), 64), (0.0, 0.82, 1.0, 1.0))
    b = MeshBuilder()
    b.cylinder((0, 0, -BURIED), (0, 0, 1.1), (0.11, 0.11), (0, 0, 1, 0.3))
    b.cylinder((0, 0, 1.1), (0, 0, 6.0), (0.075, 0.05), (0, 0, 1, 0.8))
    b.cylinder((0, 0, 5.9), (0, -1.2, 6.15), (0.045, 0.04), (0, 0, 1, 0.3), sides=5)
    b.box((0, -1.35, 6.08), (0.22, 0.6, 0.12), (0, 0.82, 1, 1))
    return Prototype(name, (b.build(),), atlas, 0.03, 0.3, 6.0, (0.2, 0.2), 190.0)


def pole(rng: Generator, name: str) -> Prototype:
    """A wooden utility pole with a cross-arm along y."""
    atlas = _atlas(128)
    _put(atlas, textures.bark(rng, 128), (0.0, 0.0, 1.0, 1.0))
    height = float(rng.uniform(7.0, 8.5))
    b = MeshBuilder()
    b.cylinder((0, 0, -BURIED), (0, 0, height), (0.14, 0.10), (0, 0, 1, 1))
    b.box((0, 0, height - 0.7), (0.12, 1.9, 0.12), (0, 0.4, 1, 0.5))
    for y in (-0.85, -0.4, 0.4, 0.85):
        b.cylinder((0, y, height - 0.6), (0, y, height - 0.38), (0.05, 0.04), (0, 0, 0.2, 0.1), 5)
    return Prototype(name, (b.build(),), atlas, 0.03, 0.3, height, (0.25, 0.25), 220.0)


def post(rng: Generator, name: str) -> Prototype:
    """A delineator: white with a slanting black band."""
    atlas = _atlas(64)
    image = textures.plaster(rng, (0.85, 0.85, 0.83), 64)
    image[10:24] = 0.06
    _put(atlas, image, (0.0, 0.0, 1.0, 1.0))
    b = MeshBuilder()
    b.box((0, 0, -0.2), (0.12, 0.10, 1.2), (0, 0, 1, 1))
    return Prototype(name, (b.build(),), atlas, 0.02, 0.15, 1.0, (0.12, 0.1), 120.0)


def sign(rng: Generator, name: str) -> Prototype:
    """A traffic sign on a steel pole; its face looks along -x."""
    atlas = _atlas(128)
    face = np.full((128, 128, 3), 0.85, np.float32)
    kind = int(rng.integers(3))
    rgb = ((0.65, 0.08, 0.07), (0.08, 0.20, 0.50), (0.75, 0.60, 0.10))[kind]
    if kind == 0:
        cv2.circle(face, (64, 64), 50, rgb, 18)
        cv2.rectangle(face, (48, 36), (56, 92), (0.08, 0.08, 0.08), -1)
        cv2.rectangle(face, (68, 36), (88, 92), (0.08, 0.08, 0.08), 8)
    elif kind == 1:
        face[6:122, 6:122] = rgb
        cv2.rectangle(face, (44, 28), (54, 100), (0.9, 0.9, 0.9), -1)
        cv2.rectangle(face, (44, 28), (84, 64), (0.9, 0.9, 0.9), 10)
    else:
        corners = np.array([(64, 8), (8, 116), (120, 116)]).reshape(-1, 1, 2)
        cv2.fillPoly(face, [corners], rgb)
        cv2.fillPoly(face, [(corners - (64, 80)) * 2 // 3 + (64, 80)], (0.12, 0.12, 0.12))
    _put(atlas, face, (0.0, 0.3, 0.7, 1.0))
    _put(atlas, textures.plaster(rng, (0.48, 0.49, 0.50), 64), (0.0, 0.0, 1.0, 0.28))
    _put(atlas, textures.plaster(rng, (0.40, 0.41, 0.42), 64), (0.72, 0.3, 1.0, 1.0))
    b = MeshBuilder()
    metal: Rect = (0.0, 0.0, 1.0, 0.26)
    b.cylinder((0.04, 0, -BURIED), (0.04, 0, 2.75), (0.035, 0.035), metal, sides=6)
    b.quad([(-0.01, 0.33, 2.1), (-0.01, -0.33, 2.1), (-0.01, -0.33, 2.76), (-0.01, 0.33, 2.76)],
           (0.01, 0.31, 0.69, 0.99))
    b.quad([(0.005, -0.33, 2.1), (0.005, 0.33, 2.1), (0.005, 0.33, 2.76), (0.005, -0.33, 2.76)],
           (0.74, 0.32, 0.98, 0.98))
    return Prototype(name, (b.build(),), atlas, 0.01, 0.35, 2.8, (0.1, 0.66), 150.0)


def rock(rng: Generator, name: str) -> Prototype:
    """A boulder or a heap of earth."""
    atlas = _atlas(128)
    grey = rng.random() < 0.5
    skin = textures.gravel(rng, 128) if grey else textures.dirt(rng, 128)
    _put(atlas, skin, (0.0, 0.0, 1.0, 1.0))
    r = float(rng.uniform(0.35, 0.9))
    b = MeshBuilder()
    b.blob((0, 0, 0.2 * r), (r, 0.8 * r, 0.7 * r), (0, 0, 1, 1), rng, 0.14, 5, 9)
    return Prototype(name, (b.build(),), atlas, 0.02, r, 0.9 * r, (2 * r, 1.6 * r), 130.0)


def hay_bale(rng: Generator, name: str) -> Prototype:
    """A round bale lying on its side."""
    atlas = _atlas(128)
    straw = textures.bark(rng, 128) * np.array([1.9, 1.85, 1.3], np.float32)
    _put(atlas, np.clip(straw.transpose(1, 0, 2), 0, 0.9), (0.0, 0.0, 1.0, 1.0))
    b = MeshBuilder()
    for a, c in ((-0.6, 0.6), (0.6, -0.6)):
        b.cylinder((a, 0, 0.68), (c, 0, 0.68), (0.7, 0.7), (0, 0, 1, 0.6), 14, cap=True,
                   cap_rect=(0, 0, 1, 1))
    return Prototype(name, (b.build(),), atlas, 0.015, 0.95, 1.4, (1.2, 1.4), 220.0)

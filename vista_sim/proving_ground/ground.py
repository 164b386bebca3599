"""The ground as drawable pieces: road strips and square tiles, finer near the camera.

Which pieces are drawn, and at what texture size, depends on the camera's place alone, so a
picture does not depend on what was drawn before.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground.meshes import Mesh, grid_mesh
from vista_sim.proving_ground.road import Road, Terrain
from vista_sim.proving_ground.surface import Surface
from vista_sim.proving_ground.textures import Image, to_bytes

STRIP_NEAR, STRIP_FAR = 4.0, 32.0  # m of road in one piece, near and far
STRIP_REACH = 420.0  # m from the camera to the farthest piece of road
TILE_SIZES = (16.0, 64.0, 256.0)  # m
TILE_REACH = 800.0  # m
TILE_SINK = (0.05, 0.08, 0.25)  # m below the terrain, so that finer pieces lie on coarser ones
EYE_HEIGHT = 1.5  # m; only texture sizes depend on it
CACHE_BYTES = 96 * 2**20  # of finest strips, while coarser ones are made of them
TEXTURE_BYTES = 512 * 2**20  # of textures, for whoever comes by the same road again


@dataclass(frozen=True)
class Piece:
    """A piece of ground: its key, where it is, and its texture's (rows, columns)."""

    key: tuple[object, ...]
    center: tuple[float, float]
    radius: float
    texture: tuple[int, int]


class KeptImages:
    """Images by a key, made when first asked for; the least recently used go first.

    Args:
        most: bytes that they may take.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._images: OrderedDict[object, NDArray[Any]] = OrderedDict()
        self._bytes = 0

    def get(self, key: object, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The image of a key."""
        image = self._images.get(key)
        if image is None:
            image = self._images[key] = make()
            self._bytes += image.nbytes
            while self._bytes > self._most:
                self._bytes -= self._images.popitem(last=False)[1].nbytes
        else:
            self._images.move_to_end(key)
        return image


def power_of_two(value: float, low: int, high: int) -> int:
    """The power of two nearest to a value, within bounds."""
    return int(min(max(2 ** round(math.log2(max(value, 1e-9))), low), high))


class Ground:
    """Chooses pieces around a camera and makes their meshes and textures."""

    def __init__(self, road: Road, surface: Surface) -> None:
        self.road = road
        self.terrain: Terrain = road.terrain
        self.surface = surface
        self._bases = KeptImages(CACHE_BYTES)
        self._textures = KeptImages(TEXTURE_BYTES)
        starts = np.arange(math.floor(road.start / STRIP_FAR), math.ceil(road.end / STRIP_FAR))
        self._blocks = STRIP_FAR * starts[1:-1]
        self._block_xy = road.point(self._blocks + STRIP_FAR / 2)

    def pieces(self, xy: NDArray[np.float64], focal: float) -> list[Piece]:
        """Pieces around a camera at xy (m) whose drawn image has this focal length (px)."""
        return self._strips(xy, focal) + self._tiles(xy, focal)

    def mesh(self, key: tuple[object, ...]) -> Mesh:
        """Mesh in world coordinates."""
        if key[0] == "strip":
            return self._strip_mesh(*key[1:])  # type: ignore[arg-type]
        return self._tile_mesh(*key[1:])  # type: ignore[arg-type]

    def image(self, piece: Piece) -> NDArray[np.uint8]:
        """Texture (rows, columns, 3), first row on top (largest v)."""
        return self._textures.get((piece.key, piece.texture), lambda: self._image(piece))

    def _image(self, piece: Piece) -> NDArray[np.uint8]:
        kind, a, b, *rest = piece.key
        rows, columns = piece.texture
        if kind == "strip":
            base = self._strip_base(float(a), float(b), rows, columns)  # type: ignore[arg-type]
            if base.shape[:2] != (rows, columns):
                base = cv2.resize(base, (columns, rows), interpolation=cv2.INTER_AREA)
        else:
            base = self.surface.tile(float(a), float(b), float(rest[0]), rows)  # type: ignore
        return to_bytes(base[::-1])

    def _strip_base(self, s0: float, length: float, rows: int, columns: int) -> Image:
        """The strip's texture at one of two finenesses, from which the others are shrunk."""
        if length == STRIP_NEAR:
            fine = rows > 128 or columns > 512
            count, width = (256, 1024) if fine else (128, 512)
        else:
            count, width = 256, 256
        return self._bases.get(
            (s0, length, count), lambda: self.surface.strip(s0, s0 + length, count, width)
        )

    def _strips(self, xy: NDArray[np.float64], focal: float) -> list[Piece]:
        result = []
        distance = np.linalg.norm(self._block_xy - xy, axis=1)
        for index in np.flatnonzero(distance < STRIP_REACH + STRIP_FAR):
            s0 = float(self._blocks[index])
            far = max(float(distance[index]) - STRIP_FAR / 2, 0.0)
            if far > 28.0:
                result.append(self._strip(xy, focal, s0, STRIP_FAR))
            else:
                count = round(STRIP_FAR / STRIP_NEAR)
                for i in range(count):
                    result.append(self._strip(xy, focal, s0 + i * STRIP_NEAR, STRIP_NEAR))
        return result

    def _strip(self, xy: NDArray[np.float64], focal: float, s0: float, length: float) -> Piece:
        center = self.road.point(s0 + length / 2)
        gap = float(np.linalg.norm(center - xy)) - 0.25 * length
        distance = max(gap, 2.0)
        half_width = self.surface.half_width
        columns = power_of_two(2 * half_width * focal / distance, 32, 1024)
        rows = power_of_two(1.4 * length * focal * EYE_HEIGHT / distance**2, 4, 256)
        radius = math.hypot(length / 2 + 1.0, half_width + 0.5)
        key = ("strip", s0, length)
        return Piece(key, (float(center[0]), float(center[1])), radius, (rows, columns))

    def _tiles(self, xy: NDArray[np.float64], focal: float) -> list[Piece]:
        result: list[Piece] = []
        size = TILE_SIZES[-1]
        x0, y0 = np.floor((xy - TILE_REACH) / size)
        x1, y1 = np.ceil((xy + TILE_REACH) / size)
        for i in range(int(x0), int(x1)):
            for j in range(int(y0), int(y1)):
                self._split(result, xy, focal, i * size, j * size, len(TILE_SIZES) - 1)
        return result

    def _split(
        self,
        result: list[Piece],
        xy: NDArray[np.float64],
        focal: float,
        x0: float,
        y0: float,
        level: int,
    ) -> None:
        size = TILE_SIZES[level]
        dx = max(x0 - xy[0], 0.0, xy[0] - x0 - size)
        dy = max(y0 - xy[1], 0.0, xy[1] - y0 - size)
        distance = math.hypot(dx, dy)
        if distance > TILE_REACH:
            return
        if level and distance < 0.75 * size:
            part = TILE_SIZES[level - 1]
            for i in range(round(size / part)):
                for j in range(round(size / part)):
                    self._split(result, xy, focal, x0 + i * part, y0 + j * part, level - 1)
            return
        d = max(distance + 0.15 * size, 3.0)
        texel = d / focal * max(1.0, 0.5 * math.sqrt(d / EYE_HEIGHT))
        count = power_of_two(1.2 * size / texel, 32, 512)
        center = (x0 + size / 2, y0 + size / 2)
        result.append(Piece(("tile", x0, y0, size), center, size * 0.75, (count, count)))

    def _strip_mesh(self, s0: float, length: float) -> Mesh:
        w = self.surface.half_width
        lateral, rise = self.surface.cross_section()
        count = 5 if length == STRIP_NEAR else 17
        s = np.linspace(s0, s0 + length, count)
        points = self.road.surface(s[:, None], lateral[None])
        points[..., 2] += rise
        normals = self.terrain.normal(points[..., 0], points[..., 1])
        u = (w - lateral) / (2 * w)
        # Grid rows run along s and columns to the right: turned, so that faces look up.
        return grid_mesh(points, normals, u, (s - s0) / length)

    def _tile_mesh(self, x0: float, y0: float, size: float) -> Mesh:
        level = TILE_SIZES.index(size)
        count = (5, 9, 17)[level]
        x = np.linspace(0.0, size, count)
        skirt = np.concatenate([[0.0], x, [size]])
        gx, gy = np.meshgrid(x0 + skirt, y0 + skirt)
        z = self.terrain.height(gx, gy) - TILE_SINK[level]
        z[[0, -1]] -= 0.02 * size
        z[:, [0, -1]] -= 0.02 * size
        normals = self.terrain.normal(gx, gy)
        unit = np.concatenate([[0.0], x / size, [1.0]])
        return grid_mesh(np.stack([gx, gy, z], -1), normals, unit, unit)

"""What every model of the roadside has, and how its texture atlas is put together.

Local frame of a model: x along its long side, y towards its back, z up, origin on the ground
below its middle. Houses, cars and lamps face -y (the road).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vista_sim.proving_ground.meshes import Mesh, Rect
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

    @property
    def size(self) -> tuple[float, float, float]:
        """Length, width and height of the mesh above the ground, m."""
        low, high = (f(self.meshes[0].vertices, axis=0) for f in (np.min, np.max))
        return float(high[0] - low[0]), float(high[1] - low[1]), float(high[2])


def blank_atlas(size: int) -> Image:
    """A gray square image (size, size, 3) to put textures into."""
    return np.full((size, size, 3), 0.4, np.float32)


def put(atlas: Image, image: Image, rect: Rect) -> None:
    """Scale an image into a rectangle (u0, v0, u1, v1) of an atlas."""
    h, w = atlas.shape[:2]
    c0, c1 = round(rect[0] * w), round(rect[2] * w)
    r0, r1 = round((1 - rect[3]) * h), round((1 - rect[1]) * h)
    atlas[r0:r1, c0:c1] = cv2.resize(image, (c1 - c0, r1 - r0), interpolation=cv2.INTER_AREA)


def tiled(image: Image, height: int, width: int) -> Image:
    """The image repeated to (height, width, 3)."""
    return np.tile(image, (-(-height // image.shape[0]), -(-width // image.shape[1]), 1))[
        :height, :width
    ].copy()

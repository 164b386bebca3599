"""Plain boxes among the things of the world: bodies that a view is given, as they really look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground.meshes import MeshBuilder
from vista_sim.proving_ground.placing import Item
from vista_sim.proving_ground.prototype import Prototype
from vista_sim.transforms import quaternion_from_matrix

REACH = 400.0  # m from which it is drawn

Size = tuple[float, float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Box:
    """A box of one colour.

    Attributes:
        pose: (4, 4) T_scene_box; its origin is on the ground below its middle, z up.
        size: length, width and height, m.
        colour: RGB in full light, 0 to 255.
    """

    pose: NDArray[np.float64]
    size: Size
    colour: Colour

    def item(self, number: int) -> Item:
        """The box as a thing to draw, one of several."""
        quaternion = [float(q) for q in quaternion_from_matrix(self.pose[:3, :3])]
        x, y, z = (float(v) for v in self.pose[:3, 3])
        model = prototype(self.size, self.colour)
        mesh, texture = ("box", self.size), ("box", self.colour)
        key = ("box", number, self.size)
        return Item(key, (x, y), model.radius, ([x, y, z], quaternion), model, mesh, texture)


@lru_cache(maxsize=256)
def prototype(size: Size, colour: Colour) -> Prototype:
    """The model of a box."""
    builder = MeshBuilder()
    builder.box((0.0, 0.0, 0.0), size, (0.0, 0.0, 1.0, 1.0))
    texture = np.empty((8, 8, 3), np.float32)
    texture[:] = np.array(colour) / 255.0
    radius = 0.5 * math.hypot(size[0], size[1])
    return Prototype(
        "box", (builder.build(),), texture, 1.0, radius, size[2], (size[0], size[1]), REACH
    )

"""Triangle meshes with texture coordinates, put together from simple solids.

A texture atlas is addressed by rectangles (u0, v0, u1, v1) in [0, 1]; v = 0 is the lowest row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Rect = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mesh:
    """vertices (V, 3) m, normals (V, 3), uvs (V, 2), indices (T, 3)."""

    vertices: Array
    normals: Array
    uvs: Array
    indices: NDArray[np.int64]

    @property
    def triangles(self) -> int:
        return len(self.indices)


class MeshBuilder:
    """Collects parts of a mesh."""

    def __init__(self) -> None:
        self._vertices: list[Array] = []
        self._normals: list[Array] = []
        self._uvs: list[Array] = []
        self._indices: list[NDArray[np.int64]] = []
        self._count = 0

    def add(
        self, vertices: ArrayLike, normals: ArrayLike, uvs: ArrayLike, indices: ArrayLike
    ) -> None:
        """Add triangles; each is wound so that its front is where its vertices' normals point.

        The renderer draws fronts only.
        """
        p = np.asarray(vertices, dtype=np.float64).reshape(-1, 3)
        n = np.asarray(normals, dtype=np.float64).reshape(-1, 3)
        index = np.asarray(indices, dtype=np.int64).reshape(-1, 3)
        a, b, c = (p[index[:, i]] for i in range(3))
        facing = np.einsum("ij,ij->i", np.cross(b - a, c - a), n[index].sum(axis=1))
        index = np.where(facing[:, None] < 0, index[:, ::-1], index)
        self._vertices.append(p)
        self._normals.append(n)
        self._uvs.append(np.asarray(uvs, dtype=np.float64).reshape(-1, 2))
        self._indices.append(index + self._count)
        self._count += len(p)

    def build(self) -> Mesh:
        """The mesh, its texture coordinates kept inside [0, 1), where nothing wraps."""
        uvs = np.clip(np.concatenate(self._uvs), 1e-5, 1 - 1e-5)
        return Mesh(
            np.concatenate(self._vertices),
            np.concatenate(self._normals),
            uvs,
            np.concatenate(self._indices),
        )

    def quad(self, corners: ArrayLike, rect: Rect) -> None:
        """Four corners: lower left, lower right, upper right, upper left of the texture."""
        p = np.asarray(corners, dtype=np.float64)
        normal = np.cross(p[1] - p[0], p[3] - p[0])
        normal = normal / max(float(np.linalg.norm(normal)), 1e-12)
        u0, v0, u1, v1 = rect
        uvs = [[u0, v0], [u1, v0], [u1, v1], [u0, v1]]
        self.add(p, np.tile(normal, (4, 1)), uvs, [[0, 1, 2], [0, 2, 3]])

    def triangle(self, corners: ArrayLike, uvs: ArrayLike) -> None:
        p = np.asarray(corners, dtype=np.float64)
        normal = np.cross(p[1] - p[0], p[2] - p[0])
        normal = normal / max(float(np.linalg.norm(normal)), 1e-12)
        self.add(p, np.tile(normal, (3, 1)), uvs, [[0, 1, 2]])

    def box(
        self,
        center: tuple[float, float, float],
        size: tuple[float, float, float],
        sides: Rect | tuple[Rect, Rect, Rect, Rect],
        top: Rect | None = None,
        yaw: float = 0.0,
    ) -> None:
        """A box standing on `center`. Sides in the order +x, +y, -x, -y; top like the first."""
        rects = sides if isinstance(sides[0], tuple) else (sides,) * 4
        hx, hy, h = size[0] / 2, size[1] / 2, size[2]
        c, s = math.cos(yaw), math.sin(yaw)
        ring = np.array([[hx, -hy], [hx, hy], [-hx, hy], [-hx, -hy]]) @ np.array([[c, s], [-s, c]])
        low = np.column_stack([ring + center[:2], np.full(4, center[2])])
        high = low + np.array([0.0, 0.0, h])
        for i in range(4):
            j = (i + 1) % 4
            rect: Rect = rects[i]
            self.quad([low[i], low[j], high[j], high[i]], rect)
        self.quad([high[3], high[0], high[1], high[2]], top or rects[0])

    def cylinder(
        self,
        base: ArrayLike,
        top: ArrayLike,
        radius: tuple[float, float],
        rect: Rect,
        sides: int = 7,
        cap: bool = False,
        cap_rect: Rect | None = None,
    ) -> None:
        """A tapered cylinder from `base` to `top`; `cap` closes the top."""
        base, top = np.asarray(base, dtype=np.float64), np.asarray(top, dtype=np.float64)
        axis = (top - base) / max(float(np.linalg.norm(top - base)), 1e-12)
        other = np.array([1.0, 0, 0]) if abs(axis[0]) < 0.8 else np.array([0, 1.0, 0])
        e1 = np.cross(axis, other)
        e1 /= np.linalg.norm(e1)
        e2 = np.cross(axis, e1)
        angle = np.linspace(0, 2 * math.pi, sides + 1)
        direction = np.cos(angle)[:, None] * e1 + np.sin(angle)[:, None] * e2
        low, high = base + radius[0] * direction, top + radius[1] * direction
        u = rect[0] + (rect[2] - rect[0]) * angle / (2 * math.pi)
        uvs = np.concatenate(
            [
                np.column_stack([u, np.full_like(u, rect[1])]),
                np.column_stack([u, np.full_like(u, rect[3])]),
            ]
        )
        n = sides + 1
        index = []
        for i in range(sides):
            index += [[i, i + 1, n + i + 1], [i, n + i + 1, n + i]]
        self.add(np.concatenate([low, high]), np.concatenate([direction] * 2), uvs, index)
        if cap:
            u0, v0, u1, v1 = cap_rect or rect
            middle = np.array([(u0 + u1) / 2, (v0 + v1) / 2])
            half = np.array([(u1 - u0) / 2, (v1 - v0) / 2])
            ring = middle + half * np.column_stack([np.cos(angle), np.sin(angle)])
            self.add(
                np.concatenate([[top], high]),
                np.tile(axis, (n + 1, 1)),
                np.concatenate([[middle], ring]),
                [[0, i + 1, i + 2] for i in range(sides)],
            )

    def blob(
        self,
        center: ArrayLike,
        radii: tuple[float, float, float],
        rect: Rect,
        rng: np.random.Generator,
        rough: float = 0.15,
        rings: int = 5,
        sectors: int = 8,
    ) -> None:
        """A bumpy ellipsoid, its texture wrapped around it."""
        phi = np.linspace(-math.pi / 2, math.pi / 2, rings + 1)
        theta = np.linspace(0, 2 * math.pi, sectors + 1)
        bump = 1 + rough * rng.standard_normal((rings + 1, sectors + 1))
        bump[:, -1] = bump[:, 0]
        bump[0], bump[-1] = bump[0, 0], bump[-1, 0]
        unit = np.stack(
            [
                np.cos(phi)[:, None] * np.cos(theta),
                np.cos(phi)[:, None] * np.sin(theta),
                np.repeat(np.sin(phi)[:, None], sectors + 1, 1),
            ],
            axis=-1,
        )
        p = np.asarray(center) + unit * bump[..., None] * np.array(radii)
        u = rect[0] + (rect[2] - rect[0]) * np.repeat(theta[None], rings + 1, 0) / (2 * math.pi)
        v = rect[1] + (rect[3] - rect[1]) * np.repeat(phi[:, None] / math.pi + 0.5, sectors + 1, 1)
        n = sectors + 1
        index = []
        for i in range(rings):
            for j in range(sectors):
                a = i * n + j
                index += [[a, a + 1, a + n + 1], [a, a + n + 1, a + n]]
        self.add(p, unit, np.stack([u, v], -1), index)


def grid_mesh(points: Array, normals: Array, u: Array, v: Array) -> Mesh:
    """A mesh over a grid of points (n, m, 3); u (m,) and v (n,) are texture coordinates."""
    n, m = points.shape[:2]
    a = (np.arange(n - 1)[:, None] * m + np.arange(m - 1)[None]).ravel()
    indices = np.concatenate(
        [np.stack([a, a + 1, a + m + 1], -1), np.stack([a, a + m + 1, a + m], -1)]
    )
    uvs = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    return Mesh(
        points.reshape(-1, 3),
        normals.reshape(-1, 3),
        np.clip(uvs, 1e-6, 1 - 1e-6),
        indices.astype(np.int64),
    )

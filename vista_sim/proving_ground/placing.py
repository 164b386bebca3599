"""Puts models beside the road where there is room, with the shadows they cast."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground.prototype import Prototype
from vista_sim.proving_ground.road import Road
from vista_sim.proving_ground.sky import Weather
from vista_sim.proving_ground.surface import Decal
from vista_sim.transforms import quaternion_from_matrix

FREE = 1.1  # m beside the road on which nothing stands


@dataclass(frozen=True, eq=False)
class Item:
    """One thing in its place; the mesh and texture to draw it with depend on the camera."""

    key: Hashable
    center: tuple[float, float]
    radius: float
    pose: tuple[list[float], list[float]]  # position, quaternion x y z w
    prototype: Prototype
    mesh: Hashable = None
    texture: Hashable = None


class Placer:
    """Finds room for models.

    Args:
        free: m beside the road on which nothing stands.
        overhang: m that high crowns may reach over that and the road.

    Attributes:
        items: what was placed; decals: its shadows on the ground.
    """

    def __init__(
        self, road: Road, weather: Weather, free: float = FREE, overhang: float = 0.0
    ) -> None:
        self._road = road
        self._free = free
        self._overhang = overhang
        self._weather = weather
        self.items: list[Item] = []
        self.decals: list[Decal] = []
        self._kept: list[tuple[float, float, float]] = []  # x, y, radius of taken ground

    def place(
        self,
        model: Prototype,
        s: float,
        lateral: float,
        facing: bool = False,
        yaw: float = 0.0,
        spacing: float = 0.6,
        free: float | None = None,
    ) -> bool:
        """Put a model beside the road if there is room; `facing` turns its -y to the road."""
        if not self._road.start + 2 < s < self._road.end - 2:
            return False
        heading = float(self._road.heading_at(s)) + yaw
        if facing and lateral < 0:
            heading += math.pi
        return self.stand(model, self._road.point(s, lateral), heading, spacing, free)

    def stand(
        self,
        model: Prototype,
        xy: NDArray[np.float64],
        yaw: float,
        spacing: float,
        free: float | None = None,
    ) -> bool:
        """Put a model at xy (m), heading yaw (rad), if there is room.

        Args:
            spacing: m to what stands there already; 0: wherever that is.
            free: m to the road's edge, at least; None: as for all things.
        """
        c, s = math.cos(yaw), math.sin(yaw)
        turn = np.array([[c, -s], [s, c]])
        hx, hy = model.footprint[0] / 2, model.footprint[1] / 2
        corners = np.array([[hx, hy], [-hx, hy], [-hx, -hy], [hx, -hy]]) @ turn.T + xy
        clear = self._road.half_width + (self._free if free is None else free)
        if np.any(self._road.distance(np.vstack([corners, xy])) < clear):
            return False
        # High crowns may hang a little over the verge, low skirts of needles may not.
        if model.crown:
            high = model.crown[0] > 2.5
            reach = model.crown[1] * (0.9 if high else 1.35)
            over = self._overhang if high else 0.0
            if float(self._road.distance(xy)) < clear + reach - over:
                return False
        core = 0.55 * model.crown[1] if model.crown else max(hx, hy)
        if spacing > 0 and not self._room(xy, core + spacing):
            return False
        self._keep(xy, corners, core)
        z = float(self._road.terrain.height(*xy)) - 0.06
        rotation = np.eye(3)
        rotation[:2, :2] = turn
        if model.tilts:
            up = self._road.terrain.normal(*xy)
            forward = rotation[:, 0] - up * (rotation[:, 0] @ up)
            forward /= np.linalg.norm(forward)
            rotation = np.stack([forward, np.cross(up, forward), up], axis=1)
        quaternion = quaternion_from_matrix(rotation)
        center = (float(xy[0]), float(xy[1]))
        pose = ([*center, z], [float(q) for q in quaternion])
        self.items.append(Item(len(self.items), center, model.radius, pose, model))
        self._shade(model, xy, corners)
        return True

    def _room(self, xy: NDArray[np.float64], radius: float) -> bool:
        kept = np.array(self._kept[-900:]).reshape(-1, 3)
        gap = np.hypot(kept[:, 0] - xy[0], kept[:, 1] - xy[1]) - kept[:, 2]
        return bool(np.all(gap > radius))

    def _keep(self, xy: NDArray[np.float64], corners: NDArray[np.float64], core: float) -> None:
        """Remember taken ground: one circle, or several along a long footprint."""
        long, short = corners[0] - corners[1], corners[1] - corners[2]
        a, b = float(np.linalg.norm(long)), float(np.linalg.norm(short))
        count = max(1, min(6, round(a / max(b, 0.5))))
        for i in range(count):
            at = xy + long * ((i + 0.5) / count - 0.5)
            radius = core if count == 1 else max(b / 2, 0.5 * a / count)
            self._kept.append((float(at[0]), float(at[1]), radius))

    def _shade(
        self, model: Prototype, xy: NDArray[np.float64], corners: NDArray[np.float64]
    ) -> None:
        """Paint the shadow that the sun casts on the ground, and the dark below a car."""
        sun = self._weather.sun
        strength = self._weather.shadow_strength
        throw = -sun[:2] / sun[2]  # m of shadow per m of height
        if model.crown:
            bottom, spread = model.crown
            angle = np.linspace(0, 2 * math.pi, 40, endpoint=False)
            wobble = 1 + 0.16 * np.sin(5 * angle + xy[0]) + 0.12 * np.sin(9 * angle + xy[1])
            ring = spread * wobble[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
            low, high = xy + throw * bottom, xy + throw * 0.85 * model.height
            points = np.concatenate([low + 0.8 * ring, high + 0.55 * ring])
            self.decals.append(Decal("dapple", _hull(points), strength, 0.25))
            trunk = np.concatenate([corners, corners + throw * bottom])
            self.decals.append(Decal("shadow", _hull(trunk), strength, 0.05))
            return
        if model.name.startswith("car"):
            self.decals += car_shadows(corners, model.height, self._weather)
            return
        height = model.height * (0.8 if "house" in model.name else 1.0)
        self.decals.append(_box_shadow(corners, height, self._weather))
        if model.height > 0.5 and min(model.footprint) > 0.25:
            grown = xy + (corners - xy) * 1.08
            self.decals.append(Decal("shadow", grown, 0.30, 0.15))


def car_shadows(corners: NDArray[np.float64], height: float, weather: Weather) -> tuple[Decal, ...]:
    """The shadow of a car whose footprint has these corners (4, 2), m, and the dark below it."""
    return _box_shadow(corners, height, weather), Decal("shadow", corners, 0.55, 0.12)


def _box_shadow(corners: NDArray[np.float64], height: float, weather: Weather) -> Decal:
    throw = -weather.sun[:2] / weather.sun[2]
    points = np.concatenate([corners, corners + throw * height])
    return Decal("shadow", _hull(points), weather.shadow_strength, 0.03 + 0.01 * height)


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convex hull (n, 2) of points (m, 2)."""
    middle = points.mean(0)
    hull = cv2.convexHull((points - middle).astype(np.float32)).reshape(-1, 2)
    return np.asarray(hull + middle, np.float64)

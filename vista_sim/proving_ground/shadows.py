"""Shadows of things that move, laid on a drawn picture; those of the rest are in the textures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground.placing import Item, car_shadows
from vista_sim.proving_ground.road import Terrain
from vista_sim.proving_ground.sky import Weather
from vista_sim.proving_ground.surface import Decal
from vista_sim.proving_ground.textures import Image, smoothstep
from vista_sim.transforms import matrix_from_quaternion

REACH = 9.0  # m around a car in which its shadow lies
NEAR_GROUND = 0.25  # m above the terrain up to which a shadow falls on what is drawn


def shade_ground(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    moving: NDArray[np.bool_],
    cars: Iterable[Item],
    T_world_camera: NDArray[np.float64],
    rays: NDArray[np.float32],
    weather: Weather,
    terrain: Terrain,
) -> NDArray[np.uint8]:
    """Darken the ground where moving cars keep the sun off.

    Args:
        image: (h, w, 3); depth: (h, w) m along the optical axis; moving: (h, w), pixels on
            moving cars, which are left as they are.
        rays: (h, w, 3) in the camera frame with z = 1.

    Returns:
        The image itself if no shadow falls into it, otherwise another.
    """
    rotation, eye = T_world_camera[:3, :3].astype(np.float32), T_world_camera[:3, 3]
    shaded = image
    for car in cars:
        center = np.array(car.pose[0])
        ahead = float(T_world_camera[:3, 2] @ (center - eye))
        if not -REACH < ahead < car.prototype.reach:
            continue
        mask = (np.abs(depth - np.float32(ahead)) < REACH) & ~moving
        points = (rays[mask] * depth[mask][:, None]) @ rotation.T + eye.astype(np.float32)
        near = np.hypot(points[:, 0] - center[0], points[:, 1] - center[1]) < REACH
        if near.any():
            mask[mask] = near
            shaded = image.copy() if shaded is image else shaded
            shadows = car_shadows(_footprint(car), car.prototype.height, weather)
            _darken(shaded, mask, points[near], shadows, terrain)
    return shaded


def _footprint(car: Item) -> NDArray[np.float64]:
    """Its corners (4, 2) in the world's xy plane, m."""
    half = np.array(car.prototype.footprint) / 2
    turn = matrix_from_quaternion(np.array(car.pose[1]))[:2, :2]
    return np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half @ turn.T + car.center


def _darken(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    points: NDArray[np.float32],
    shadows: tuple[Decal, ...],
    terrain: Terrain,
) -> None:
    """Darken the pixels of a mask whose points (n, 3) lie on the ground in convex shadows."""
    ground = points[:, 2] - terrain.height(points[:, 0], points[:, 1]) < NEAR_GROUND
    dark = np.zeros(len(points), np.float32)
    for shadow in shadows:
        outside = _distance_outside(points[ground, :2], shadow.polygon)
        # About as soft as the blur of that deviation with which textures are painted.
        cover = 1.0 - smoothstep(-2.0 * shadow.soft, 2.0 * shadow.soft, outside)
        dark[ground] = np.maximum(dark[ground], np.float32(shadow.strength) * cover)
    image[mask] = np.rint(image[mask] * (1.0 - dark)[:, None])


def _distance_outside(points: NDArray[np.floating], polygon: NDArray[np.float64]) -> Image:
    """How far points (n, 2) are beyond the nearest edge of a convex polygon, negative inside, m."""
    edge = np.roll(polygon, -1, axis=0) - polygon
    twice_area = float(np.sum(polygon[:, 0] * edge[:, 1] - polygon[:, 1] * edge[:, 0]))
    outward = np.stack([edge[:, 1], -edge[:, 0]], axis=-1) * np.sign(twice_area)
    outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-9)
    level = np.sum(outward * polygon, axis=-1)
    return np.asarray((points @ outward.T - level).max(axis=-1), np.float32)

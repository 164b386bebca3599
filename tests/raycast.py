"""A tiny world drawn by intersecting rays with planes: the answer that views are compared with."""

from dataclasses import dataclass

import numpy as np

from vista_sim.traces.calibration import Lens


@dataclass(frozen=True)
class Rectangle:
    """A flat rectangle: origin, two orthogonal unit vectors, extents along them (m), texture."""

    origin: tuple[float, float, float]
    a: tuple[float, float, float]
    b: tuple[float, float, float]
    extent_a: tuple[float, float]
    extent_b: tuple[float, float]
    seed: int


def ground(seed: int = 1) -> Rectangle:
    return Rectangle((0, 0, 0), (1, 0, 0), (0, 1, 0), (-500, 500), (-500, 500), seed)


def wall(x: float, y: tuple[float, float], z: tuple[float, float], seed: int) -> Rectangle:
    """A wall across the road at x, facing the car."""
    return Rectangle((x, 0, 0), (0, 1, 0), (0, 0, 1), y, z, seed)


def texture(p: np.ndarray, q: np.ndarray, seed: int) -> np.ndarray:
    """Smooth colours (..., 3) in [0, 255] of surface coordinates in metres."""
    rng = np.random.default_rng(seed)
    colour = np.full((*p.shape, 3), 128.0)
    for _ in range(8):
        fp, fq = rng.uniform(-2.2, 2.2, 2)
        phase, weight = rng.uniform(0, 6.3), rng.uniform(-18, 18, 3)
        colour += np.sin(fp * p + fq * q + phase)[..., None] * weight
    return np.clip(colour, 0, 255)


def render(scene, T_world_camera, lens: Lens):
    """Image uint8 (h, w, 3), depth (h, w) along the optical axis (inf: sky), surface index."""
    rays = lens.rays()
    directions = rays @ T_world_camera[:3, :3].T
    eye = T_world_camera[:3, 3]
    scale = np.full(lens.size, np.inf)
    image = np.full((*lens.size, 3), 200.0)
    index = np.full(lens.size, -1)
    for i, part in enumerate(scene):
        a, b = np.array(part.a, float), np.array(part.b, float)
        normal = np.cross(a, b)
        with np.errstate(divide="ignore", invalid="ignore"):
            k = ((np.array(part.origin) - eye) @ normal) / (directions @ normal)
            points = eye + k[..., None] * directions - np.array(part.origin)
            p, q = points @ a, points @ b
            hit = (k > 1e-6) & (k < scale)
            hit &= (p >= part.extent_a[0]) & (p <= part.extent_a[1])
            hit &= (q >= part.extent_b[0]) & (q <= part.extent_b[1])
        scale[hit], index[hit] = k[hit], i
        image[hit] = texture(p[hit], q[hit], part.seed)
    return np.round(image).astype(np.uint8), scale * rays[..., 2], index

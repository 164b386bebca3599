"""The road of the proving ground: straights, arcs and clothoids over gentle terrain.

Frame: x east, y north, z up, metres; the centre line passes the origin at s = 0 heading
along x. Lateral positions are left of the centre line in the direction of travel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from vista_sim.proving_ground.street import Street, draw_crossings

Array = NDArray[np.float64]

STEP = 0.25  # m between stored points of the centre line


@dataclass(frozen=True)
class RoadShape:
    """What a generated road may look like."""

    length: float = 1200.0  # m that can be driven, from s = 0
    before: float = 80.0  # m of road behind s = 0
    after: float = 320.0  # m of road beyond `length`, so that the view does not end
    lane_width: float = 3.5  # m
    min_radius: float = 25.0  # m
    max_radius: float = 400.0  # m
    clearance: float = 75.0  # m between parts of the road that are not neighbours
    straights: tuple[float, float] = (8.0, 55.0)  # m between bends, as most of them are
    street: Street | None = None  # what it is in a city; None: a country road

    def __post_init__(self) -> None:
        if not 0 < self.min_radius < self.max_radius:
            raise ValueError(
                f"radii are {self.min_radius} to {self.max_radius} m; give 0 < min < max"
            )
        if self.length <= 0:
            raise ValueError(f"length is {self.length} m; it must be positive")


class Terrain:
    """Smooth ground height z(x, y): a sum of long waves, slopes up to about 5 %."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 11])
        wavelength = np.array([520.0, 380.0, 260.0, 190.0])
        angle = rng.uniform(0, 2 * math.pi, 4)
        self._k = (2 * math.pi / wavelength)[:, None] * np.stack(
            [np.cos(angle), np.sin(angle)], axis=-1
        )
        slope = rng.uniform(0.006, 0.018, 4)
        self._amplitude = slope / np.linalg.norm(self._k, axis=1)
        self._phase = rng.uniform(0, 2 * math.pi, 4)
        self._offset = 0.0
        self._offset = float(self.height(0.0, 0.0))

    def height(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Height (m) at x, y (m), any common shape."""
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        z = np.full(np.broadcast(x, y).shape, -self._offset)
        for (kx, ky), amplitude, phase in zip(self._k, self._amplitude, self._phase, strict=True):
            z = z + amplitude * np.sin(kx * x + ky * y + phase)
        return z

    def gradient(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Slopes dz/dx and dz/dy."""
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        gx = np.zeros(np.broadcast(x, y).shape)
        gy = np.zeros_like(gx)
        for (kx, ky), amplitude, phase in zip(self._k, self._amplitude, self._phase, strict=True):
            wave = amplitude * np.cos(kx * x + ky * y + phase)
            gx, gy = gx + kx * wave, gy + ky * wave
        return gx, gy

    def normal(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Unit normals (..., 3)."""
        gx, gy = self.gradient(x, y)
        n = np.stack([-gx, -gy, np.ones_like(gx)], axis=-1)
        return np.asarray(n / np.linalg.norm(n, axis=-1, keepdims=True))


class Road:
    """A two-lane road generated from a seed.

    Attributes:
        half_width: m from the centre line to the edge of what is driven on.
        lane: where the recorder drives, m to the left of the centre line.
        s: arc length of the stored centre line points, m, shape (N,), from -before on.
        xy: centre line, m, shape (N, 2).
        heading: direction of travel, rad, shape (N,), continuous.
        curvature: 1/m, shape (N,), positive to the left; piecewise linear in s.
        terrain: the ground it lies on.
    """

    def __init__(self, seed: int, shape: RoadShape | None = None) -> None:
        self.seed = seed
        self.shape = shape or RoadShape()
        self.half_width = self.shape.lane_width
        street = self.shape.street
        self.lane = street.lane if street else -self.shape.lane_width / 2
        self.terrain = Terrain(seed)
        knots_s, knots_k = _curvature_knots(np.random.default_rng([seed, 1]), self.shape)
        count = round((knots_s[-1] - knots_s[0]) / STEP)
        self.s = knots_s[0] + STEP * np.arange(count + 1)
        self.curvature = np.interp(self.s, knots_s, knots_k)
        self.xy, self.heading = integrate_curvature(self.s, self.curvature)
        zero = int(np.argmin(np.abs(self.s)))
        self.xy = self.xy - self.xy[zero]
        turn = -self.heading[zero]
        c, s = math.cos(turn), math.sin(turn)
        self.xy = self.xy @ np.array([[c, s], [-s, c]])
        self.heading = self.heading + turn
        self._tree = cKDTree(self.xy)

    @property
    def crossings(self) -> tuple[float, ...]:
        """Where pedestrians cross, m along the centre line; only a street with lines has any."""
        street = self.shape.street
        if street is None or street.lines == "none":
            return ()
        return draw_crossings(self.seed, self.start, self.end)

    @property
    def start(self) -> float:
        return float(self.s[0])

    @property
    def end(self) -> float:
        return float(self.s[-1])

    def curvature_at(self, s: ArrayLike) -> Array:
        return np.interp(np.asarray(s, dtype=np.float64), self.s, self.curvature)

    def heading_at(self, s: ArrayLike) -> Array:
        return np.interp(np.asarray(s, dtype=np.float64), self.s, self.heading)

    def point(self, s: ArrayLike, lateral: ArrayLike = 0.0) -> Array:
        """Ground points (..., 2) at arc length s (m) and lateral offset (m, left positive)."""
        s, lateral = np.broadcast_arrays(
            np.asarray(s, dtype=np.float64), np.asarray(lateral, dtype=np.float64)
        )
        heading = self.heading_at(s)
        x = np.interp(s, self.s, self.xy[:, 0]) - lateral * np.sin(heading)
        y = np.interp(s, self.s, self.xy[:, 1]) + lateral * np.cos(heading)
        return np.stack([x, y], axis=-1)

    def surface(self, s: ArrayLike, lateral: ArrayLike = 0.0) -> Array:
        """Points (..., 3) on the road's surface."""
        xy = self.point(s, lateral)
        return np.concatenate([xy, self.terrain.height(xy[..., 0], xy[..., 1])[..., None]], -1)

    def project(self, xy: ArrayLike) -> tuple[Array, Array]:
        """Arc length and lateral offset (...,) of the nearest centre line points to xy (..., 2)."""
        xy = np.asarray(xy, dtype=np.float64)
        _, index = self._tree.query(xy)
        d = xy - self.xy[index]
        heading = self.heading[index]
        along = d[..., 0] * np.cos(heading) + d[..., 1] * np.sin(heading)
        lateral = -d[..., 0] * np.sin(heading) + d[..., 1] * np.cos(heading)
        scale = 1.0 - lateral * self.curvature[index]
        return self.s[index] + along / np.maximum(scale, 0.2), lateral

    def distance(self, xy: ArrayLike) -> Array:
        """Distance (m) of points (..., 2) from the centre line."""
        distance, _ = self._tree.query(np.asarray(xy, dtype=np.float64))
        return np.asarray(distance)


def integrate_curvature(s: Array, curvature: Array) -> tuple[Array, Array]:
    """Centre line (N, 2) and heading (N,) of a curvature that is linear between equal steps.

    Heading is exact; positions use Simpson's rule on each step.
    """
    ds = np.diff(s)
    mean = 0.5 * (curvature[1:] + curvature[:-1])
    heading = np.concatenate([[0.0], np.cumsum(mean * ds)])
    middle = heading[:-1] + ds * (0.375 * curvature[:-1] + 0.125 * curvature[1:])
    steps = [ds / 6 * (f(heading[:-1]) + 4 * f(middle) + f(heading[1:])) for f in (np.cos, np.sin)]
    xy = np.stack([np.concatenate([[0.0], np.cumsum(step)]) for step in steps], axis=-1)
    return xy, heading


def _curvature_knots(rng: np.random.Generator, shape: RoadShape) -> tuple[Array, Array]:
    """Draw elements until the road is long enough; an element that comes too near is redrawn."""
    total = shape.before + shape.length + shape.after
    elements: list[Array] = [np.array([[0.0, 0.0], [shape.before + 35.0, 0.0]])]
    failures = 0
    while True:
        s, k = _join(elements)
        if s[-1] >= total:
            return s - shape.before, k
        turned = _turned(s, k)
        elements.append(_draw_element(rng, shape, turned, len(elements)))
        if _too_near(*_join(elements), clearance=shape.clearance):
            failures += 1
            del elements[-1 - failures % 4 :]
            if not elements:
                elements = [np.array([[0.0, 0.0], [shape.before + 35.0, 0.0]])]


def _draw_element(rng: np.random.Generator, shape: RoadShape, turned: float, index: int) -> Array:
    """Curvature knots (n, 2) of (s, curvature): clothoid, arc, clothoid, and a straight.

    Tight curves come as often as wide ones; the road turns back before it points home.
    """
    radius = float(np.exp(rng.uniform(math.log(shape.min_radius), math.log(shape.max_radius))))
    if index % 3 == 1:  # a tight one now and then, so that every drive has some
        radius = float(rng.uniform(shape.min_radius, 2.4 * shape.min_radius))
    clothoid = min(max(4.0 * math.sqrt(radius), 18.0), 60.0)
    longest = min(radius * math.radians(100.0), 110.0)
    arc = max(longest * rng.uniform(0.35, 1.0) - clothoid, 6.0)
    side = 1.0 if rng.random() < 0.5 else -1.0
    if abs(turned) > math.radians(50.0):
        side = -math.copysign(1.0, turned)
    curvature = side / radius
    straight = rng.uniform(*shape.straights) if rng.random() < 0.8 else 2.0
    lengths = np.cumsum([0.0, clothoid, arc, clothoid, straight])
    return np.stack([lengths, [0.0, curvature, curvature, 0.0, 0.0]], axis=-1)


def _join(elements: list[Array]) -> tuple[Array, Array]:
    s, k = [elements[0][:, 0]], [elements[0][:, 1]]
    for element in elements[1:]:
        s.append(element[1:, 0] + s[-1][-1])
        k.append(element[1:, 1])
    return np.concatenate(s), np.concatenate(k)


def _turned(s: Array, k: Array) -> float:
    return float(np.sum(np.diff(s) * 0.5 * (k[1:] + k[:-1])))


def _too_near(s: Array, k: Array, clearance: float) -> bool:
    """Whether the last 250 m come nearer than `clearance` to road more than 1.8 times as far."""
    dense = np.arange(s[0], s[-1], 4.0)
    xy, _ = integrate_curvature(dense, np.interp(dense, s, k))
    last = xy[-64:]
    first = xy[: max(len(xy) - 64, 0)]
    pairs = [(last, first, len(first)), (last, last, 0)]
    for a, b, shift in pairs:
        if not len(b):
            continue
        distance = np.linalg.norm(a[:, None] - b[None], axis=-1)
        along = 4.0 * np.abs((np.arange(len(a)) + shift)[:, None] - np.arange(len(b))[None])
        if np.any((along > 1.8 * clearance) & (distance < clearance)):
            return True
    return False

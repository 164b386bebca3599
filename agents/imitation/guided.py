"""Guided policy learning: views from beside the path, labelled by an expert with the way back.

After Levine and Koltun, "Guided Policy Search" (2013), as Amini et al. train policies in VISTA
2.0 ("VISTA 2.0: An Open, Data-driven Simulator...", 2022, section on guided policy learning): the
car is put off the path, a privileged controller knows the way back, and the policy learns to
do the same from what a camera would see there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.transforms import Matrix, wrap_angle, yaw_of

from ..experts import PurePursuit
from ..training import Views
from .drives import Drive
from .road import balanced_weights, places_along

VALIDATION_VIEWS = 512


@dataclass(frozen=True)
class GuidedConfig:
    """Where the car is put, and how many views are kept."""

    lateral: float = 1.8
    """Largest distance from the path, m."""
    heading: float = math.radians(14)
    """Largest angle to the path, rad."""
    near: float = 0.3
    """Share of starts near the path, where a policy spends most of its time."""
    near_lateral: float = 0.3
    """Standard deviation of the distance of those, m."""
    near_heading: float = math.radians(2.5)
    """Standard deviation of their angle, rad."""
    speed: float = 0.15
    """Speed: that of the recording times 1 ± this."""
    chunk: int = 1024
    """Views rendered at a time."""
    chunks: int = 6
    """Chunks held in memory; a new one replaces the oldest."""
    refresh_every: int = 100
    """Steps after which a chunk is replaced."""

    def __post_init__(self) -> None:
        for name in ("chunk", "chunks", "refresh_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.near <= 1:
            raise ValueError(f"near is {self.near}; it must be a share from 0 to 1")
        if min(self.lateral, self.heading, self.near_lateral, self.near_heading, self.speed) < 0:
            raise ValueError("ranges of lateral, heading and speed must not be negative")


class GuidedViews:
    """A pool of views from beside the path.

    Chunk k is made from (seed, k) alone, so that a resumed training sees the same views as one
    that was never interrupted. Step n draws from chunks n // refresh_every and on.
    """

    def __init__(
        self, drives: Sequence[Drive], config: GuidedConfig, expert: PurePursuit, seed: int
    ) -> None:
        self._drives = drives
        self._config = config
        self._expert = expert
        self._seed = seed
        self._train = _Places(drives, validation=False)
        self._pool: dict[int, Views] = {}
        self._validation = self._render(
            _Places(drives, validation=True), VALIDATION_VIEWS, np.random.default_rng([seed, 3])
        )

    def batch(self, step: int, size: int) -> Views:
        config = self._config
        first = step // config.refresh_every
        numbers = range(first, first + config.chunks)
        self._pool = {k: v for k, v in self._pool.items() if k in numbers}
        for number in numbers:
            if number not in self._pool:
                rng = np.random.default_rng([self._seed, 2, number])
                self._pool[number] = self._render(self._train, config.chunk, rng)
        rng = np.random.default_rng([self._seed, 1, step])
        chunks, rows = rng.integers(first, numbers.stop, size), rng.integers(0, config.chunk, size)
        return Views(
            *(
                np.stack(
                    [getattr(self._pool[c], name)[r] for c, r in zip(chunks, rows, strict=True)]
                )
                for name in ("camera", "speed", "curvature")
            )
        )

    def validation(self) -> Views:
        return self._validation

    def _render(self, places: _Places, count: int, rng: np.random.Generator) -> Views:
        """Draw starts and render what is seen from them, in order of time: frames are decoded
        once, not once a view.
        """
        chosen = np.sort(rng.choice(len(places.s), count, p=places.weights))
        lateral, heading = self._offsets(count, rng)
        factor = rng.uniform(1 - self._config.speed, 1 + self._config.speed, count)
        camera = np.empty((count, *self._drives[0].camera.size, 3), dtype=np.uint8)
        speed = np.empty(count, dtype=np.float32)
        curvature = np.empty(count, dtype=np.float32)
        for i, place in enumerate(chosen):
            drive, s = self._drives[places.drive[place]], float(places.s[place])
            t = drive.path.time(s)
            x, y, yaw = drive.path.place(s, float(lateral[i]), float(heading[i]))
            offset = _seen_from(drive.trace.pose(t), x, y, yaw)
            camera[i] = drive.camera.render(t, offset)[0]
            speed[i] = drive.trace.speed(t) * factor[i]
            curvature[i] = self._expert.curvature(drive.path, x, y, yaw, s, float(speed[i]))
        return Views(camera, speed, curvature)

    def _offsets(
        self, count: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lateral offsets (m) and heading errors (rad) of starts."""
        config = self._config
        near = rng.random(count) < config.near
        wide = rng.uniform(-1.0, 1.0, (2, count))
        close = rng.normal(size=(2, count))
        lateral = np.where(near, config.near_lateral * close[0], config.lateral * wide[0])
        heading = np.where(near, config.near_heading * close[1], config.heading * wide[1])
        return lateral, heading


def _seen_from(
    T_world_recorded: Matrix, x: float, y: float, yaw: float
) -> tuple[float, float, float]:
    """A pose in the world as x, y, yaw in the recorded car's frame.

    The path is a smoothed curve, so that the recorded car is not quite at its offset zero.
    """
    recorded = yaw_of(T_world_recorded)
    dx, dy = x - float(T_world_recorded[0, 3]), y - float(T_world_recorded[1, 3])
    c, s = math.cos(recorded), math.sin(recorded)
    return c * dx + s * dy, c * dy - s * dx, wrap_angle(yaw - recorded)


class _Places:
    """Places along the road of several drives, and how likely each is drawn."""

    def __init__(self, drives: Sequence[Drive], validation: bool) -> None:
        roads = [places_along(d.validation if validation else d.train) for d in drives]
        self.s = np.concatenate(roads)
        self.drive = np.repeat(np.arange(len(drives)), [len(road) for road in roads])
        curvature = [
            d.path.curvature(float(s)) for d, road in zip(drives, roads, strict=True) for s in road
        ]
        self.weights = balanced_weights(np.array(curvature))

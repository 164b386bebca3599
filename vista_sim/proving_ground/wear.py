"""How worn the road is: stretches of old and new asphalt and paint, cracks, patches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground.road import Road


@dataclass(frozen=True)
class Wear:
    """A stretch of road with its own surface and markings."""

    start: float
    end: float
    tone: float  # gray of the asphalt
    warm: float  # red over blue
    center: bool
    left: bool
    right: bool
    worn: float  # 0 new paint, 1 nearly gone


def draw_wear(rng: np.random.Generator, road: Road) -> list[Wear]:
    """Stretches of 35 to 130 m that follow each other along the whole road."""
    result = []
    s = road.start
    while s < road.end:
        length = rng.uniform(35.0, 130.0)
        lined = rng.random() < 0.78
        result.append(
            Wear(
                start=s,
                end=s + length,
                tone=float(rng.uniform(0.27, 0.43)),
                warm=float(rng.normal(0.01, 0.02)),
                center=bool(rng.random() < 0.9),
                left=lined and bool(rng.random() < 0.92),
                right=lined and bool(rng.random() < 0.92),
                worn=float(rng.uniform(0.0, 1.0) ** 2),
            )
        )
        s += length
    return result


def draw_cracks(rng: np.random.Generator, road: Road) -> list[tuple[NDArray[np.float64], float]]:
    """Wandering polylines (n, 2) of (s, lateral), with their strength."""
    cracks = []
    count = int((road.end - road.start) / 3.0)
    half = road.half_width
    for _ in range(count):
        s = rng.uniform(road.start, road.end)
        lateral = rng.uniform(-half, half)
        direction = rng.choice([0.0, math.pi / 2]) + rng.normal(0, 0.25)
        steps = int(rng.integers(8, 45))
        turn = np.cumsum(rng.normal(0, 0.22, steps)) * 0.6 + rng.normal(0, 0.35, steps)
        points = np.stack(
            [
                s + np.cumsum(0.14 * np.cos(direction + turn)),
                lateral + np.cumsum(0.14 * np.sin(direction + turn)),
            ],
            -1,
        )
        points = points[np.abs(points[:, 1]) < half - 0.02]
        if len(points) > 3:
            cracks.append((points, float(rng.uniform(0.3, 0.75))))
    return cracks


def draw_patches(
    rng: np.random.Generator, road: Road
) -> list[tuple[float, float, float, float, float]]:
    """Rectangles (start, end, left, right, tone) of mended asphalt; some are manhole-sized."""
    patches = []
    for _ in range(int((road.end - road.start) / 9.0)):
        s = rng.uniform(road.start, road.end)
        if rng.random() < 0.25:
            length, width = 0.7, 0.7
        else:
            length, width = rng.uniform(0.8, 7.0), rng.uniform(0.4, 2.4)
        left = rng.uniform(-road.half_width + width + 0.3, road.half_width - 0.3)
        patches.append((s, s + length, left, left - width, float(rng.uniform(0.68, 1.22))))
    return patches

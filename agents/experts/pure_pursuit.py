"""Pure pursuit: the circle through a point of the path some way ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .expert import Expert, clip

if TYPE_CHECKING:
    from vista_sim.traces.path import TracePath


@dataclass(frozen=True)
class PurePursuitConfig:
    """How far ahead pure pursuit looks."""

    lookahead: float = 3.2
    """Distance at standstill, m."""
    lookahead_time: float = 0.48
    """What the speed adds to it, s."""
    curvature_limit: float = 0.2
    """Largest curvature, 1/m."""

    def __post_init__(self) -> None:
        if self.lookahead <= 0 or self.lookahead_time < 0 or self.curvature_limit <= 0:
            raise ValueError("lookahead and curvature_limit must be positive")


class PurePursuit(Expert):
    """Drive the circle through a point of the path some way ahead.

    Coulter, "Implementation of the Pure Pursuit Path Tracking Algorithm" (1992): curvature =
    2 y / L², with y the point's lateral coordinate in the vehicle frame and L its distance.
    Near the path this is a second-order system with damping 0.71 that closes a lateral error
    as exp(-s / L). L grows with speed because the tires turn at a limited rate: with 0.6
    rad/s, starts 1.5 m and 10 degrees off come back at 3 to 14 m/s, on bends too.
    """

    def __init__(self, config: PurePursuitConfig | None = None) -> None:
        self.config = config or PurePursuitConfig()

    def curvature(
        self, path: TracePath, x: float, y: float, yaw: float, s: float, speed: float
    ) -> float:
        config = self.config
        target = path.place(s + config.lookahead + config.lookahead_time * speed)
        dx, dy = target[0] - x, target[1] - y
        lateral = math.cos(yaw) * dy - math.sin(yaw) * dx
        return clip(2.0 * lateral / max(dx * dx + dy * dy, 1.0), config.curvature_limit)

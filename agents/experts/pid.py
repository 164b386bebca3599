"""PID on the lateral error, per metre driven."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vista_sim.policies import Action

from .expert import Expert, bend, clip, errors, privileged

if TYPE_CHECKING:
    from vista_sim.traces.path import TracePath
    from vista_sim.world import Car


@dataclass(frozen=True)
class PIDConfig:
    """Feedback of a PID controller on the lateral error, per metre driven.

    The law is in arc length, so that the answer to an error has the same shape at every
    speed, until the tires are too slow: `settle_time` stretches it then.
    """

    damping: float = 0.8
    """Of the second-order response to a lateral error."""
    settle: float = 2.6
    """Distance constant of that response at standstill, m."""
    settle_time: float = 0.45
    """What the speed adds to it, s."""
    integral: float = 0.002
    """Curvature per summed error, 1/m per (m · m), against a steady bias."""
    integral_limit: float = 5.0
    """Largest sum of errors, m · m."""
    preview: float = 0.2
    """How far ahead the path's curvature is read, s."""
    approach: float = math.radians(14)
    """Steepest angle towards the path, rad."""
    curvature_limit: float = 0.2
    """Largest curvature, 1/m."""

    def __post_init__(self) -> None:
        if min(self.damping, self.settle, self.approach, self.curvature_limit) <= 0:
            raise ValueError("damping, settle, approach and curvature_limit must be positive")


class PID(Expert):
    """Curvature of the path ahead plus feedback on lateral error, its change and its sum.

    The change of the lateral error per metre is the sine of the heading error, so the
    derivative term needs no differencing. The law of the pose alone is without the sum.
    """

    def __init__(self, config: PIDConfig | None = None) -> None:
        self.config = config or PIDConfig()
        self.reset()

    def reset(self) -> None:
        self._sum = 0.0
        self._s: float | None = None

    def curvature(
        self, path: TracePath, x: float, y: float, yaw: float, s: float, speed: float
    ) -> float:
        lateral, heading = errors(path, x, y, yaw, s)
        return clip(self._law(path, s, lateral, heading, speed), self.config.curvature_limit)

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        car = privileged(car)
        config = self.config
        if self._s is not None and abs(car.lateral) < 0.5:
            # Far from the path the error is the start's, not a bias: summing it overshoots.
            self._sum += car.lateral * max(0.0, min(car.s - self._s, 5.0))
            self._sum = clip(self._sum, config.integral_limit)
        self._s = car.s
        curvature = self._law(car.path, car.s, car.lateral, car.heading_error, car.speed)
        return Action(clip(curvature - config.integral * self._sum, config.curvature_limit))

    def _law(
        self, path: TracePath, s: float, lateral: float, heading: float, speed: float
    ) -> float:
        """Curvature (1/m) without the sum, not limited yet."""
        config = self.config
        derivative = 2.0 / (config.settle + config.settle_time * speed)
        proportional = derivative**2 / (4.0 * config.damping**2)
        lateral = clip(lateral, derivative * math.sin(config.approach) / proportional)
        ahead = bend(path, s + config.preview * speed)
        return ahead - proportional * lateral - derivative * math.sin(heading)

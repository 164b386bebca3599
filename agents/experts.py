"""Privileged experts: they read the path and the car's true pose, and need no camera.

Both are laws of the pose alone (the PID apart from its integral): the same pose and speed
give the same curvature, so their answer can label a view, where nothing but the pose shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vista_sim.policies import Action, CameraSpec

if TYPE_CHECKING:
    from vista_sim.traces.path import TracePath
    from vista_sim.world import Car


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


class PurePursuit:
    """Drive the circle through a point of the path some way ahead.

    Coulter, "Implementation of the Pure Pursuit Path Tracking Algorithm" (1992): curvature =
    2 y / L², with y the point's lateral coordinate in the vehicle frame and L its distance.
    Near the path this is a second-order system with damping 0.71 that closes a lateral error
    as exp(-s / L). L grows with speed because the tires turn at a limited rate: with 0.6
    rad/s, starts 1.5 m and 10 degrees off come back at 3 to 14 m/s, on bends too.
    """

    camera: CameraSpec | None = None

    def __init__(self, config: PurePursuitConfig | None = None) -> None:
        self.config = config or PurePursuitConfig()

    def reset(self) -> None:
        """Nothing to forget."""

    def curvature(
        self, path: TracePath, x: float, y: float, yaw: float, s: float, speed: float
    ) -> float:
        """Curvature (1/m) to drive from a pose whose nearest path point is at arc length s."""
        config = self.config
        target = path.place(s + config.lookahead + config.lookahead_time * speed)
        dx, dy = target[0] - x, target[1] - y
        lateral = math.cos(yaw) * dy - math.sin(yaw) * dx
        curvature = 2.0 * lateral / max(dx * dx + dy * dy, 1.0)
        return max(-config.curvature_limit, min(config.curvature_limit, curvature))

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        car = _privileged(car)
        return Action(self.curvature(car.path, car.x, car.y, car.yaw, car.s, car.speed))


@dataclass(frozen=True)
class PIDGains:
    """Feedback of a PID controller on the lateral error, per metre driven.

    The law is in arc length, so that the answer to an error has the same shape at every
    speed, until the tires are too slow: `settle_time` stretches it then.
    """

    damping: float = 0.8  # of the second-order response to a lateral error
    settle: float = 3.0  # m, distance constant of that response at standstill
    settle_time: float = 0.45  # s, what the speed adds to it
    integral: float = 0.002  # 1/m per (m · m) of error, against a steady bias
    integral_limit: float = 5.0  # m · m
    preview: float = 0.2  # s, how far ahead the path's curvature is read
    approach: float = math.radians(13)  # rad, steepest angle towards the path
    curvature_limit: float = 0.2  # 1/m

    def __post_init__(self) -> None:
        if min(self.damping, self.settle, self.approach, self.curvature_limit) <= 0:
            raise ValueError("damping, settle, approach and curvature_limit must be positive")


class PID:
    """Curvature of the path ahead plus feedback on lateral error, its change and its sum.

    The change of the lateral error per metre is the sine of the heading error, so the
    derivative term needs no differencing.
    """

    camera: CameraSpec | None = None

    def __init__(self, gains: PIDGains | None = None) -> None:
        self.gains = gains or PIDGains()
        self.reset()

    def reset(self) -> None:
        self._sum = 0.0
        self._s: float | None = None

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        car = _privileged(car)
        gains = self.gains
        if self._s is not None and abs(car.lateral) < 0.5:
            # Far from the path the error is the start's, not a bias: summing it overshoots.
            self._sum += car.lateral * max(0.0, min(car.s - self._s, 5.0))
            self._sum = max(-gains.integral_limit, min(gains.integral_limit, self._sum))
        self._s = car.s
        settle = gains.settle + gains.settle_time * car.speed
        derivative = 2.0 / settle
        proportional = derivative**2 / (4.0 * gains.damping**2)
        lateral_limit = derivative * math.sin(gains.approach) / proportional
        lateral = max(-lateral_limit, min(lateral_limit, car.lateral))
        ahead = min(max(car.s + gains.preview * car.speed, 0.0), car.path.length)
        curvature = (
            car.path.curvature(ahead)
            - proportional * lateral
            - derivative * math.sin(car.heading_error)
            - gains.integral * self._sum
        )
        return Action(max(-gains.curvature_limit, min(gains.curvature_limit, curvature)))


def _privileged(car: Car | None) -> Car:
    if car is None:
        raise ValueError("a privileged expert acts on the car; act(observation, car) needs it")
    return car

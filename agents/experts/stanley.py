"""The Stanley controller: the front axle is led back to where the recorded one went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .expert import Expert, bend, clip

if TYPE_CHECKING:
    from vista_sim.traces.path import TracePath


@dataclass(frozen=True)
class StanleyConfig:
    """Gains of the Stanley controller."""

    gain: float = 1.5
    """Rate k at which a small error of the front axle decays, 1/s."""
    damping: float = 0.15
    """Time constant that yaw damping adds to the turn towards the path, s; the tires turn at a
    limited rate."""
    approach: float = math.radians(16)
    """Steepest angle of the front axle's way towards the path, rad."""
    wheelbase: float = 2.7
    """Distance of the front axle from the rear axle, m."""
    curvature_limit: float = 0.2
    """Largest curvature, 1/m."""

    def __post_init__(self) -> None:
        if min(self.gain, self.approach, self.wheelbase, self.curvature_limit) <= 0:
            raise ValueError("gain, approach, wheelbase and curvature_limit must be positive")
        if self.damping < 0:
            raise ValueError(f"damping is {self.damping} s; it must not be negative")


class Stanley(Expert):
    """Point the front wheels along the path, and towards it by atan(k e / v).

    Hoffmann, Tomlin, Montemerlo and Thrun, "Autonomous Automobile Trajectory Tracking for
    Off-Road Driving" (American Control Conference 2007). Without damping the front axle's
    error e obeys de/dt = -k e / sqrt(1 + (k e / v)²): small errors decay as exp(-k t) at any
    speed.

    Three things differ from the paper. The path is that of the rear axle, so the front axle is
    led along its own way, which is the wheelbase ahead along the path's tangent; else
    the rear axle would cut every bend by wheelbase² / (2 radius). And yaw damping, k_d (r - r of
    the path), takes the yaw rate that the asked steering will cause instead of a measured
    one, so that the law is one of the pose alone: it divides the angle by 1 + k_d v /
    wheelbase. A steepest angle takes the place of the constant that softens low speeds.
    """

    def __init__(self, config: StanleyConfig | None = None) -> None:
        self.config = config or StanleyConfig()

    def curvature(
        self, path: TracePath, x: float, y: float, yaw: float, s: float, speed: float
    ) -> float:
        config = self.config
        length = config.wheelbase
        x, y = x + length * math.cos(yaw), y + length * math.sin(yaw)
        error, direction, along = self._front(path, x, y, s)
        # The front axle lies ahead of or behind the recorded one: look there once more.
        error, direction, _ = self._front(path, x, y, s + along)
        steady = math.atan(length * bend(path, s + along))
        towards = math.atan2(config.gain * error, speed)
        turn = math.remainder(direction - yaw, 2.0 * math.pi) - steady
        turn -= clip(towards, config.approach)
        angle = steady + turn / (1.0 + config.damping * speed / length)
        return clip(math.tan(clip(angle, 1.5)) / length, config.curvature_limit)

    def _front(self, path: TracePath, x: float, y: float, s: float) -> tuple[float, float, float]:
        """A front axle at (x, y) against the recorded one when the rear axle was at s.

        Returns:
            Lateral error (m, left is positive), direction of the recorded front axle's way (rad),
            and how far the rear axle's way is to the place beside (x, y), m.
        """
        length = self.config.wheelbase
        px, py, heading = path.place(s)
        slope = length * bend(path, s)
        direction = heading + math.atan(slope)
        dx = x - px - length * math.cos(heading)
        dy = y - py - length * math.sin(heading)
        c, sine = math.cos(direction), math.sin(direction)
        # The front axle covers sqrt(1 + slope²) of way for each metre of the rear axle's.
        return c * dy - sine * dx, direction, (c * dx + sine * dy) / math.hypot(1.0, slope)

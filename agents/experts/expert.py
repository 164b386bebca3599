"""What every privileged expert offers: it reads the path and the car's true pose."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.policies import Action, CameraSpec

from .speed import SpeedConfig, acceleration

if TYPE_CHECKING:
    from vista_sim.traces.path import TracePath
    from vista_sim.world import Car


class Expert(ABC):
    """A policy without a camera, and a law of the pose alone that can label a view.

    `curvature` answers to the pose and the speed, where nothing else shows. `act` drives; it
    may use more of the car than that.
    """

    camera: CameraSpec | None = None
    speed_config: SpeedConfig = SpeedConfig()

    @abstractmethod
    def curvature(
        self, path: TracePath, x: float, y: float, yaw: float, s: float, speed: float
    ) -> float:
        """Curvature (1/m) to drive from a pose.

        Args:
            path: to follow.
            x, y, yaw: pose of the rear axle in the world frame, m and rad.
            s: arc length of the path's point nearest to it, m.
            speed: m/s.
        """

    def curvatures(
        self,
        path: TracePath,
        x: ArrayLike,
        y: ArrayLike,
        yaw: ArrayLike,
        s: ArrayLike,
        speed: ArrayLike,
    ) -> NDArray[np.float64]:
        """`curvature` of many poses, (n,), 1/m; each argument (n,) or one number for all."""
        poses = np.broadcast_arrays(x, y, yaw, s, speed)
        rows = zip(*(np.asarray(a, dtype=np.float64).tolist() for a in poses), strict=True)
        return np.array([self.curvature(path, *row) for row in rows], dtype=np.float64)

    def acceleration(self, path: TracePath, s: float, speed: float) -> float:
        """Acceleration (m/s²) that follows the recorded speed; see `speed.acceleration`."""
        return acceleration(path, s, speed, self.speed_config)

    def reset(self) -> None:  # noqa: B027  # most have nothing to forget
        """Forget everything: a new episode begins."""

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        car = privileged(car)
        return Action(self.curvature(car.path, car.x, car.y, car.yaw, car.s, car.speed))


def privileged(car: Car | None) -> Car:
    """The car that an expert must be given."""
    if car is None:
        raise ValueError("a privileged expert acts on the car; act(observation, car) needs it")
    return car


def errors(path: TracePath, x: float, y: float, yaw: float, s: float) -> tuple[float, float]:
    """Lateral offset (m, left is positive) and heading error (rad) of a pose at arc length s."""
    px, py, direction = path.place(s)
    lateral = math.cos(direction) * (y - py) - math.sin(direction) * (x - px)
    return lateral, math.remainder(yaw - direction, 2.0 * math.pi)


def bend(path: TracePath, s: float) -> float:
    """Curvature of the path (1/m) at arc length s; beyond an end, that of the end."""
    return path.curvature(min(max(s, 0.0), path.length))


def clip(value: float, limit: float) -> float:
    """`value` within ± limit."""
    return max(-limit, min(limit, value))

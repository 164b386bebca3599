"""A privileged driver beside which policies are judged: what is physically possible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vista_sim.dynamics.action import Action
from vista_sim.errors import PolicyError
from vista_sim.sensors.spec import CameraSpec

if TYPE_CHECKING:
    from vista_sim.world import Car

LOOKAHEAD = 3.2  # m at standstill
LOOKAHEAD_TIME = 0.48  # s of the way ahead on top of it


class ReferenceDriver:
    """Pure pursuit: the circle through a point of the path some way ahead.

    Coulter, "Implementation of the Pure Pursuit Path Tracking Algorithm" (1992): curvature
    2 y / L², with y the point's lateral coordinate in the vehicle frame and L its distance.
    It reads the path and the car's true pose, and needs no camera.
    """

    camera: CameraSpec | None = None

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        if car is None:
            raise PolicyError("the reference driver reads the car: call act(observation, car)")
        ahead = LOOKAHEAD + LOOKAHEAD_TIME * car.speed
        x, y, _ = car.path.place(car.s + ahead)
        dx, dy = x - car.x, y - car.y
        lateral = math.cos(car.yaw) * dy - math.sin(car.yaw) * dx
        limit = car.max_curvature
        curvature = 2.0 * lateral / max(dx * dx + dy * dy, 1.0)
        return Action(max(-limit, min(limit, curvature)))

"""What is right at a pose: the curvature, the acceleration, the way ahead."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..experts import ExpertName, expert_from
from ..networks.heads import HeadConfig

if TYPE_CHECKING:
    from vista_sim.traces.path import TracePath


class Labeller:
    """Labels poses as an expert would drive from there.

    Args:
        expert: name of the one that steers.
        head: what the network is asked for; waypoints cost time and are left out if not asked.
    """

    def __init__(self, expert: ExpertName, head: HeadConfig) -> None:
        self._expert = expert_from(expert)
        self.distances = head.waypoints if head.outputs == "waypoints" else ()

    def curvature(
        self, path: TracePath, x: float, y: float, yaw: float, s: float, speed: float
    ) -> float:
        """Curvature (1/m) to drive from a pose whose nearest path point is at arc length s."""
        return self._expert.curvature(path, x, y, yaw, s, speed)

    def acceleration(self, path: TracePath, s: float, speed: float) -> float:
        """Acceleration (m/s²) that follows the recorded speed from arc length s."""
        return self._expert.acceleration(path, s, speed)

    def waypoints(
        self, path: TracePath, x: float, y: float, yaw: float, s: float
    ) -> NDArray[np.float32]:
        """Points (P, 2) of the path ahead in the frame of the car at a pose, m."""
        points = np.array([path.place(s + d)[:2] for d in self.distances]).reshape(-1, 2)
        dx, dy = points[:, 0] - x, points[:, 1] - y
        c, n = math.cos(yaw), math.sin(yaw)
        return np.stack([c * dx + n * dy, c * dy - n * dx], axis=1).astype(np.float32)

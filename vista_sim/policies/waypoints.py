"""Follows waypoints: pure pursuit on points that a policy predicts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyError


@dataclass(frozen=True)
class WaypointPursuit:
    """How far ahead waypoints are followed.

    Args:
        lookahead: distance at standstill, m.
        lookahead_time: what the speed adds to it, s.
    """

    lookahead: float = 3.2
    lookahead_time: float = 0.48

    def __post_init__(self) -> None:
        if not (self.lookahead > 0 and self.lookahead_time >= 0):
            raise PolicyError(
                f"lookahead is {self.lookahead} m and lookahead_time {self.lookahead_time} s; "
                "they must be positive"
            )

    def curvature(
        self,
        points: NDArray[np.float64],
        speed: float,
        distances: tuple[float, ...] | None = None,
    ) -> float:
        """Curvature (1/m) of the circle through the point of the way at the lookahead distance.

        Coulter, "Implementation of the Pure Pursuit Path Tracking Algorithm" (1992): 2 y / L².
        Between two points the curvature is that between those of their circles, so that points
        of a circle give its curvature at any lookahead; straight lines would cut its bends.

        Args:
            points: (P, 2), x and y in the vehicle frame, m; nearest first.
            speed: m/s.
            distances: how far ahead along the way each lies, m; None: along straight lines
                from the car through the points.
        """
        if distances is None:
            pieces = np.diff(points, axis=0, prepend=np.zeros((1, 2)))
            distances = tuple(np.cumsum(np.hypot(pieces[:, 0], pieces[:, 1])).tolist())
        ahead = self.lookahead + self.lookahead_time * speed
        circles = [2.0 * y / max(x * x + y * y, 1.0) for x, y in points.tolist()]
        curvature = circles[0]
        for (start, end), (first, second) in zip(
            pairwise(distances), pairwise(circles), strict=True
        ):
            if end > start:  # predicted points may coincide
                share = min(1.0, max(0.0, (ahead - start) / (end - start)))
                curvature += share * (second - first)
            else:
                curvature += second - first if ahead >= end else 0.0
        return curvature

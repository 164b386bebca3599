"""Between the numbers of a network and the physical units of an action."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vista_sim.errors import PolicyError
from vista_sim.policies import Action

from .networks.heads import HeadConfig

_LOOKAHEAD = 3.2  # m at standstill, of the controller that follows waypoints
_LOOKAHEAD_TIME = 0.48  # s of the way ahead on top of it


@dataclass(frozen=True)
class Scales:
    """What a network's numbers stand for, and the limits of the action."""

    curvature_scale: float = 0.05
    """Curvature that the network calls 1, 1/m."""
    curvature_limit: float = 0.2
    """Largest curvature that is asked for, 1/m."""
    acceleration_scale: float = 2.0
    """Acceleration that the network calls 1, m/s²."""
    acceleration_limit: float = 6.0
    """Strongest acceleration or braking that is asked for, m/s²."""
    waypoint_scale: float = 10.0
    """Distance that the network calls 1, m."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0):
                raise PolicyError(f"policy {name} is {value}; it must be positive")

    def to_json(self) -> dict[str, float]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Scales:
        """Read field `action` of policy.json. Raises PolicyError naming what is wrong."""
        names = [f.name for f in dataclasses.fields(cls)]
        try:
            return cls(**{name: float(values[name]) for name in names})
        except (KeyError, TypeError, ValueError) as error:
            raise PolicyError(
                f"policy.json: field 'action' must hold the numbers {', '.join(names)} ({error!r})"
            ) from None

    def of(self, head: HeadConfig) -> list[float]:
        """Scale of each number of an answer."""
        if head.outputs == "waypoints":
            return [self.waypoint_scale] * head.size
        return [self.curvature_scale, self.acceleration_scale][: head.size]


def to_action(numbers: Sequence[float], head: HeadConfig, scales: Scales, speed: float) -> Action:
    """The action of a network's answer.

    Args:
        numbers: (K,) in units of the scales.
        head: says what they mean.
        scales: of the policy.
        speed: of the car, m/s; it sets how far ahead waypoints are followed.
    """
    values = [n * s for n, s in zip(numbers, scales.of(head), strict=True)]
    limit = scales.curvature_limit
    if head.outputs == "waypoints":
        curvature = follow_waypoints(values, head.waypoints, speed)
    else:
        curvature = values[0]
    acceleration = None
    if head.outputs == "curvature+acceleration":
        strongest = scales.acceleration_limit
        acceleration = max(-strongest, min(strongest, values[1]))
    return Action(max(-limit, min(limit, curvature)), acceleration)


def follow_waypoints(points: Sequence[float], distances: Sequence[float], speed: float) -> float:
    """Curvature (1/m) of the circle through the point of the way at the lookahead distance.

    Coulter 1992 (pure pursuit), on predicted points instead of a known path.

    Args:
        points: x and y of each, in the vehicle frame, m.
        distances: how far ahead along the way each lies, m.
        speed: m/s.
    """
    ahead = _LOOKAHEAD + _LOOKAHEAD_TIME * speed
    knots = np.concatenate([[0.0], distances])
    x = np.interp(ahead, knots, [0.0, *points[0::2]])
    y = np.interp(ahead, knots, [0.0, *points[1::2]])
    return float(2.0 * y / max(x * x + y * y, 1.0))

"""Between the numbers of a network and the physical units of an action."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vista_sim.errors import PolicyError
from vista_sim.policies import Action

from .experts import PurePursuitConfig
from .networks.heads import HeadConfig

LOOKAHEAD = PurePursuitConfig.lookahead  # m at standstill, of what follows waypoints
LOOKAHEAD_TIME = PurePursuitConfig.lookahead_time  # s of the way ahead on top of it


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
        except (KeyError, TypeError, ValueError, OverflowError) as error:
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
    answer = torch.tensor([list(numbers)], dtype=torch.float64)
    values = in_units(answer, head, scales, torch.tensor([speed], dtype=torch.float64))
    acceleration = values.get("acceleration")
    return Action(values["curvature"].item(), None if acceleration is None else acceleration.item())


def in_units(
    numbers: Tensor,  # (n, K)
    head: HeadConfig,
    scales: Scales,
    speed: Tensor,  # (n,) m/s
) -> dict[str, Tensor]:
    """What a network's numbers ask of the car, in physical units and within the limits.

    Returns:
        curvature (n,), 1/m; acceleration (n,), m/s², if the head gives one; waypoints (n, P, 2),
        vehicle frame, m, if it gives those: the curvature then follows them.
    """
    limit = scales.curvature_limit
    curvature = steering(numbers, head, scales, speed)
    values = {"curvature": curvature.clamp(-limit, limit)}
    if head.outputs == "curvature+acceleration":
        strongest = scales.acceleration_limit
        acceleration = numbers[:, 1] * scales.acceleration_scale
        values["acceleration"] = acceleration.clamp(-strongest, strongest)
    if head.outputs == "waypoints":
        values["waypoints"] = _points(numbers, scales)
    return values


def steering(
    numbers: Tensor,  # (n, K)
    head: HeadConfig,
    scales: Scales,
    speed: Tensor,  # (n,) m/s
) -> Tensor:  # (n,)
    """Curvature (1/m) that a network's numbers ask for, before any limit."""
    if head.outputs == "waypoints":
        return follow_waypoints(_points(numbers, scales), head.waypoints, speed)
    return numbers[:, 0] * scales.curvature_scale


def _points(numbers: Tensor, scales: Scales) -> Tensor:
    """Waypoints (n, P, 2) of a network's numbers, m."""
    return numbers.reshape(len(numbers), -1, 2) * scales.waypoint_scale


def follow_waypoints(
    points: Tensor,  # (n, P, 2)
    distances: Sequence[float],
    speed: Tensor,  # (n,)
) -> Tensor:  # (n,)
    """Curvature (1/m) of the circle through the point of the way at the lookahead distance.

    Coulter 1992 (pure pursuit), on predicted points instead of a known path. Between two points
    the curvature is that between those of their circles, so that points of a circle give its
    curvature at any lookahead; straight lines between them would cut its bends.

    Args:
        points: x and y in the vehicle frame, m.
        distances: how far ahead along the way each lies, m.
        speed: m/s.
    """
    ahead = LOOKAHEAD + LOOKAHEAD_TIME * speed
    x, y = points[..., 0], points[..., 1]
    circles = 2.0 * y / (x * x + y * y).clamp(min=1.0)  # (n, P)
    curvature = circles[:, 0]
    for i in range(1, len(distances)):
        start, end = distances[i - 1], distances[i]
        share = ((ahead - start) / (end - start)).clamp(0.0, 1.0)  # of this piece of the way
        curvature = curvature + share * (circles[:, i] - circles[:, i - 1])
    return curvature

"""Lane following: stay on the recorded path, or on the road around it, to its end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vista_sim.errors import WorldError

if TYPE_CHECKING:
    from vista_sim.world import Car

OFF_ROAD = "off_road"
HEADING = "heading"
END_OF_TRACE = "end_of_trace"
TIME_LIMIT = "time_limit"

#: Endings that count as leaving the road.
CRASHES = frozenset({OFF_ROAD, HEADING})


@dataclass(frozen=True)
class Endings:
    """When an episode of lane following is over."""

    max_lateral: float | Literal["road"] = 2.0  # m from the path; "road": the trace's road edges
    max_heading: float = math.pi / 10  # rad from the path's direction
    time_limit: float | None = None  # s

    def __post_init__(self) -> None:
        if isinstance(self.max_lateral, str):
            if self.max_lateral != "road":
                raise WorldError(
                    f"max_lateral is {self.max_lateral!r}; give metres, or 'road' for the "
                    "trace's own road edges"
                )
        elif not self.max_lateral > 0:
            raise WorldError(f"max_lateral is {self.max_lateral} m; it must be positive")
        if not 0 < self.max_heading <= math.pi:
            raise WorldError(f"max_heading is {self.max_heading} rad; it must be in (0, pi]")
        if self.time_limit is not None and not self.time_limit > 0:
            raise WorldError(f"time_limit is {self.time_limit} s; it must be positive")


@dataclass(frozen=True)
class Rewards:
    """Weights of the reward terms of one step.

    survive: 1 while the episode has not ended in failure.
    progress: distance gained along the path over what the recorded car covers in one step,
        in [-1, 1.5].
    lateral: minus the square of the lateral offset over its limit, in [-1, 0].
    heading: minus the square of the heading error over its limit, in [-1, 0].
    comfort: minus the square of the tire angle's rate over the vehicle's limit, in [-1, 0].
    """

    survive: float = 0.5
    progress: float = 0.5
    lateral: float = 0.5
    heading: float = 0.1
    comfort: float = 0.05

    def __post_init__(self) -> None:
        for name, weight in vars(self).items():
            if not math.isfinite(weight):
                raise WorldError(f"reward weight {name} is {weight}; it must be finite")


@dataclass(frozen=True)
class LaneFollowing:
    """Follow the recorded path."""

    endings: Endings = field(default_factory=Endings)
    rewards: Rewards = field(default_factory=Rewards)

    @property
    def truncations(self) -> frozenset[str]:
        return frozenset({END_OF_TRACE, TIME_LIMIT})

    def lateral_limit(self, car: Car) -> float:
        """Lateral offset (m) at which the car is off the road, on the side it is on."""
        if self.endings.max_lateral != "road":
            return self.endings.max_lateral
        left, right = car.road_edges()
        return left if car.lateral >= 0 else right

    def reward_terms(self, car: Car) -> dict[str, float]:
        weights = self.rewards
        lateral = min(1.0, abs(car.lateral) / self.lateral_limit(car))
        heading = min(1.0, abs(car.heading_error) / self.endings.max_heading)
        steering = car.tire_rate / car.vehicle.max_tire_rate
        usual = max(0.1, car.recorded_speed) * car.dt
        failed = car.ending in CRASHES
        return {
            "survive": 0.0 if failed else weights.survive,
            "progress": weights.progress * max(-1.0, min(1.5, car.progress / usual)),
            "lateral": -weights.lateral * lateral * lateral,
            "heading": -weights.heading * heading * heading,
            "comfort": -weights.comfort * min(1.0, steering * steering),
        }

    def ending(self, car: Car) -> str | None:
        if abs(car.lateral) > self.lateral_limit(car):
            return OFF_ROAD
        if abs(car.heading_error) > self.endings.max_heading:
            return HEADING
        if car.s >= car.section.end_s - 1e-6:
            return END_OF_TRACE
        limit = self.endings.time_limit
        if limit is not None and car.t >= limit - 1e-9:
            return TIME_LIMIT
        return None

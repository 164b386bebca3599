"""Model predictive control of the lateral motion, within comfort limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.policies import Action

from .expert import Expert, bend, clip, errors, privileged
from .lateral_plan import Limits, build_program

if TYPE_CHECKING:
    from vista_sim.traces.path import TracePath
    from vista_sim.world import Car

Floats = NDArray[np.float64]

_SLOWEST = 1.0  # m/s; slower, lateral acceleration says little of curvature


@dataclass(frozen=True)
class MPCConfig:
    """What is planned, how it is weighed, and what it keeps to."""

    steps: int = 20
    """Of the horizon."""
    step: float = 0.1
    """Length of one, s."""
    lateral: float = 6.0
    """Cost of a squared lateral error, 1/m², beside 1 of a squared lateral acceleration,
    (m/s²)⁻², more than the road's."""
    jerk: float = 0.1
    """Cost of a squared lateral jerk more than the road's, (m/s³)⁻²."""
    comfort_acceleration: float = 4.89
    """Largest lateral acceleration, m/s²; a comfort bound of nuPlan (Caesar et al. 2021,
    arXiv:2106.11810, and its devkit)."""
    comfort_jerk: float = 8.37
    """Largest lateral jerk, m/s³; likewise (there of the jerk's whole size)."""
    reserve: float = 1.0
    """How much more than the road's lateral acceleration is allowed in any case, m/s²."""
    approach: float = math.radians(13)
    """Steepest angle towards the path, rad; a soft limit."""
    corridor: float = 1.8
    """Where the plan would leave this distance from the path, m, comfort is given up for what the
    tires can do."""
    curvature_limit: float = 0.2
    """Largest curvature, 1/m."""
    curvature_rate: float = 0.25
    """Fastest change of it, 1/(m s); 0.6 rad/s of the tires over 2.7 m of wheelbase is 0.22."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}; it must be positive")
        if self.steps < 2:
            raise ValueError(f"steps is {self.steps}; a plan has at least 2")


@dataclass(frozen=True)
class Plan:
    """A plan of lateral motion at the ends of its steps, the first row being now.

    Args:
        lateral: (steps + 1,) lateral error, m.
        acceleration: (steps + 1,) lateral acceleration, the road's included, m/s².
        comfortable: whether it keeps the comfort limits.
    """

    lateral: Floats
    acceleration: Floats
    comfortable: bool


class MPC(Expert):
    """Plan 2 s of steering, drive its beginning, plan anew.

    Near a path, at speed v, lateral error e, heading error ψ and curvature κ obey e' = v ψ and
    ψ' = v (κ - κ of the path). So e'' = v² κ - v² κ(path): the lateral acceleration more than the
    road's, and lateral jerk j drives a triple integrator that is the same at all speeds
    (Rajamani, Vehicle Dynamics and Control, 2nd ed., section 2.5, without slip). The plan
    minimises the sum of squares of e, e'' and j, with the cost-to-go of the endless horizon
    at its end; where no limit binds, it is the linear-quadratic regulator.

    Limits: lateral acceleration and jerk (comfort), curvature and its rate (the tires), and the
    angle to the path (soft). Those of comfort widen to a little more than what the road itself asks
    at this speed, and give way where the car would else leave the road.

    The law of the pose alone does not know how the tires stand: it plans how they should, and
    takes a softer view of the corridor, so that labels of neighbouring poses are alike.
    """

    def __init__(self, config: MPCConfig | None = None) -> None:
        self.config = config or MPCConfig()
        self._driving = build_program(self.config, free_start=False)
        self._posed = build_program(self.config, free_start=True)

    def curvature(
        self, path: TracePath, x: float, y: float, yaw: float, s: float, speed: float
    ) -> float:
        lateral, heading = errors(path, x, y, yaw, s)
        speed = max(speed, _SLOWEST)
        plan = self.plan(path, s, lateral, heading, speed, None)
        return clip(float(plan.acceleration[0]) / speed**2, self.config.curvature_limit)

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        car = privileged(car)
        speed = max(car.speed, _SLOWEST)
        plan = self.plan(car.path, car.s, car.lateral, car.heading_error, speed, car.curvature)
        times = self.config.step * np.arange(len(plan.acceleration))
        curvature = float(np.interp(car.dt, times, plan.acceleration)) / speed**2
        return Action(clip(curvature, self.config.curvature_limit))

    def plan(
        self,
        path: TracePath,
        s: float,
        lateral: float,
        heading: float,
        speed: float,
        curvature: float | None,
    ) -> Plan:
        """Plan from a place on the path.

        Args:
            path: to follow.
            s, lateral, heading: m, m and rad relative to it.
            speed: m/s, above 0; taken as constant.
            curvature: of the tires now, 1/m; None: to be planned too.
        """
        config = self.config
        program = self._posed if curvature is None else self._driving
        times = config.step * np.arange(config.steps + 1)
        road = speed**2 * np.array([bend(path, s + speed * t) for t in times.tolist()])
        start = np.array([lateral, speed * math.sin(heading)])
        acceleration = None if curvature is None else speed**2 * curvature
        away = speed * math.sin(config.approach), config.corridor
        steered = Limits(speed**2 * config.curvature_limit, speed**2 * config.curvature_rate, *away)
        asked = float(np.abs(road).max()) + config.reserve
        rising = float(np.abs(np.diff(road)).max()) / config.step + config.reserve
        comfort = Limits(
            min(max(config.comfort_acceleration, asked), steered.acceleration),
            min(max(config.comfort_jerk, rising), steered.jerk),
            *away,
        )
        off, planned = program.solve(start, acceleration, road, comfort)
        comfortable = bool(np.abs(off).max() <= max(config.corridor, abs(lateral)) + 0.02)
        if not comfortable:
            off, planned = program.solve(start, acceleration, road, steered)
        return Plan(off, planned, comfortable)

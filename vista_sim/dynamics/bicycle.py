"""Kinematic bicycle about the rear axle.

The rear axle rolls without slip along a curve of curvature tan(tire angle) / wheelbase
(Rajamani, Vehicle Dynamics and Control, 2nd ed., section 2.2, with the reference point on
the rear axle). Between two moments of constant curvature that curve is a circle's arc, and
under constant acceleration the distance along it is quadratic in time: both in closed form,
so a step of any length is exact.

The tires turn at a limited rate. While they turn, the curvature changes within the step;
that part is cut into pieces of at most `RAMP_PIECE` seconds. A piece turns by the integral of
the yaw rate (Simpson's rule) and is an arc whose chord is turned by the next term of a
clothoid's series (the heading of the chord of a curve with curvature k(s) = k0 + c s is
k0 s / 2 + c s² / 6). A test holds this to 0.1 mm and 0.01 mrad of fine numerical integration
after a second in which the tires turn.

The compiled formulas, and the constant, are in `kinematics`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.calibration import Vehicle


@dataclass(frozen=True, slots=True)
class BicycleState:
    """Where the rear axle is and how it moves, in the world frame."""

    x: float  # m
    y: float  # m
    yaw: float  # rad, in (-pi, pi]
    speed: float  # m/s, never negative
    tire_angle: float  # rad, of the front tires, positive to the left


class KinematicBicycle:
    """Moves a car with the wheelbase and the limits of `vehicle`.

    Attributes:
        limits: (5,) wheelbase (m), largest tire angle (rad) and its rate (rad/s), strongest
            acceleration and braking (m/s²).
        max_curvature: 1/m.
    """

    def __init__(self, vehicle: Vehicle) -> None:
        from vista_sim.dynamics import kinematics

        self.vehicle = vehicle
        self.limits: NDArray[np.float64] = np.array(
            [
                vehicle.wheelbase,
                vehicle.max_tire_angle,
                vehicle.max_tire_rate,
                vehicle.max_acceleration,
                vehicle.max_deceleration,
            ]
        )
        self.max_curvature = math.tan(vehicle.max_tire_angle) / vehicle.wheelbase
        self._step = kinematics.step

    def tire_angle(self, curvature: float) -> float:
        """Tire angle (rad) that drives `curvature` (1/m), within the vehicle's limit."""
        limit = self.vehicle.max_tire_angle
        return max(-limit, min(limit, math.atan(self.vehicle.wheelbase * curvature)))

    def curvature(self, tire_angle: float) -> float:
        """Curvature (1/m) of the rear axle's path under a tire angle (rad)."""
        return math.tan(tire_angle) / self.vehicle.wheelbase

    def step(
        self, state: BicycleState, curvature: float, acceleration: float, dt: float
    ) -> BicycleState:
        """The state `dt` seconds later.

        Args:
            state: the state now.
            curvature: target, 1/m; the tires turn towards it as fast as they can, then hold.
            acceleration: m/s², held over the step, clipped to what the vehicle can do.
            dt: s.
        """
        moved = self._step(
            float(state.x),
            float(state.y),
            float(state.yaw),
            float(state.speed),
            float(state.tire_angle),
            float(curvature),
            float(acceleration),
            float(dt),
            self.limits,
        )
        return BicycleState(*moved)

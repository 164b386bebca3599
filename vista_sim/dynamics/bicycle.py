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
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vista_sim.traces.calibration import Vehicle
from vista_sim.transforms import wrap_angle

RAMP_PIECE = 0.05  # s


@dataclass(frozen=True, slots=True)
class BicycleState:
    """Where the rear axle is and how it moves, in the world frame."""

    x: float  # m
    y: float  # m
    yaw: float  # rad, in (-pi, pi]
    speed: float  # m/s, never negative
    tire_angle: float  # rad, of the front tires, positive to the left


def advance_on_arc(
    x: float, y: float, yaw: float, curvature: float, distance: float, change: float = 0.0
) -> tuple[float, float, float]:
    """The pose (x, y, yaw) after `distance` (m) along a circle's arc of `curvature` (1/m).

    Written with the chord, so that a straight line is no special case and small curvatures
    lose no digits. Where the curvature changes by `change` (1/m) on the way, `curvature` is
    its mean and the chord is turned by the clothoid's next term.
    """
    half = 0.5 * curvature * distance
    chord = distance * (math.sin(half) / half) if half else distance
    heading = yaw + half - change * distance / 12.0
    return x + chord * math.cos(heading), y + chord * math.sin(heading), yaw + 2.0 * half


def distance_after(speed: float, acceleration: float, time: float) -> float:
    """Distance (m) covered in `time` (s) from `speed`; a braking car stops and stays there."""
    if acceleration < 0 and speed + acceleration * time < 0:
        return 0.5 * speed * speed / -acceleration
    return (speed + 0.5 * acceleration * time) * time


class KinematicBicycle:
    """Moves a car with the wheelbase and the limits of `vehicle`."""

    def __init__(self, vehicle: Vehicle) -> None:
        self.vehicle = vehicle
        self.max_curvature = math.tan(vehicle.max_tire_angle) / vehicle.wheelbase  # 1/m

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
        vehicle = self.vehicle
        acceleration = max(-vehicle.max_deceleration, min(vehicle.max_acceleration, acceleration))
        target = self.tire_angle(curvature)
        turn = target - state.tire_angle
        ramp_time = min(dt, abs(turn) / vehicle.max_tire_rate)
        rate = math.copysign(vehicle.max_tire_rate, turn)

        x, y, yaw, gone = state.x, state.y, state.yaw, 0.0
        wheelbase, tire, speed = vehicle.wheelbase, state.tire_angle, state.speed
        pieces = math.ceil(ramp_time / RAMP_PIECE)
        span = ramp_time / pieces if pieces else 0.0
        before, speed_before = math.tan(tire) / wheelbase, speed
        for piece in range(pieces):
            end = (piece + 1) * span
            middle = end - 0.5 * span
            after = math.tan(tire + rate * end) / wheelbase
            speed_after = max(0.0, speed + acceleration * end)
            between = math.tan(tire + rate * middle) / wheelbase
            speed_between = max(0.0, speed + acceleration * middle)
            total = distance_after(speed, acceleration, end)
            distance = total - gone
            turned = before * speed_before + 4 * between * speed_between + after * speed_after
            mean = turned * span / (6.0 * distance) if distance > 1e-9 else between
            x, y, yaw = advance_on_arc(x, y, yaw, mean, distance, after - before)
            gone, before, speed_before = total, after, speed_after
        tire += rate * ramp_time
        if ramp_time < dt:
            tire = target
            total = distance_after(speed, acceleration, dt)
            x, y, yaw = advance_on_arc(x, y, yaw, math.tan(target) / wheelbase, total - gone)
        return BicycleState(x, y, wrap_angle(yaw), max(0.0, speed + acceleration * dt), tire)

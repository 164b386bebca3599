"""From how a driver holds the controls to what the car is asked for."""

from __future__ import annotations

import math

from vista_sim.drive.protocol import Input
from vista_sim.dynamics.action import Action
from vista_sim.traces.calibration import Vehicle

# Of the wheel, which goes from -1 to 1, per second.
TURN, CENTRE, COUNTER = 1.5, 2.5, 4.0  # by keys: further out, let go, across the middle
FOLLOW = 8.0  # by a stick or a finger, which move smoothly by themselves

SIDEWAYS = 6.0  # m/s², of the tightest curve that the wheel stands for
TIGHTEST = 0.15  # 1/m, of the same at walking pace
WIDEST = 0.03  # 1/m, at any speed
GENTLE = 1.4  # exponent: a small turn of the wheel steers less than its share

COASTING = -0.3  # m/s², with both feet off the pedals
MOVES = 0.1  # of a control, that counts as meant


class Wheel:
    """The steering wheel of a driver.

    Attributes:
        angle: from -1 (right) to 1 (left).
    """

    def __init__(self) -> None:
        self.angle = 0.0

    def reset(self, curvature: float = 0.0, speed: float = 0.0) -> None:
        """Stand as for a curvature (1/m), such as that of the road where the car starts."""
        share = min(1.0, abs(curvature) / curvature_limit(speed)) ** (1 / GENTLE)
        self.angle = math.copysign(share, curvature)

    def turn(self, given: Input, dt: float) -> float:
        """Turn as the driver wants for `dt` (s). Returns the angle."""
        rate = FOLLOW
        if given.keys:
            rate = CENTRE if given.steer == 0.0 else TURN
            if given.steer * self.angle < 0.0:
                rate = COUNTER
        most = rate * dt
        self.angle += min(max(given.steer - self.angle, -most), most)
        return self.angle

    def curvature(self, speed: float) -> float:
        """What it asks for at a speed (m/s), 1/m."""
        share = abs(self.angle) ** GENTLE
        return math.copysign(share * curvature_limit(speed), self.angle)


def curvature_limit(speed: float) -> float:
    """Curvature that the wheel fully turned stands for at a speed (m/s), 1/m."""
    return min(max(SIDEWAYS / max(speed, 0.1) ** 2, WIDEST), TIGHTEST)


def steers(given: Input) -> bool:
    """Whether a driver does anything."""
    return abs(given.steer) > MOVES or max(given.throttle, given.brake) > MOVES


def action(wheel: Wheel, given: Input, speed: float, vehicle: Vehicle, free: bool) -> Action:
    """What the car is asked for.

    Args:
        wheel: as it stands now.
        given: for its pedals.
        speed: of the car, m/s.
        vehicle: whose strongest acceleration and braking a pedal pressed down stands for.
        free: whether the pedals count; else the speed is as recorded.
    """
    acceleration: float | None = None
    if free:
        if given.brake > 0.0:
            acceleration = -given.brake * vehicle.max_deceleration
        elif given.throttle > 0.0:
            acceleration = given.throttle * vehicle.max_acceleration
        else:
            acceleration = COASTING
    return Action(wheel.curvature(speed), acceleration)

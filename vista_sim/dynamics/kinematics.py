"""The kinematic bicycle compiled by Numba: see `bicycle` for the model and its sources.

Compiled without fast-math: the same numbers for one car and for many.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler
from vista_sim.traces import curve, projection
from vista_sim.traces.curve import wrap_angle

RAMP_PIECE = 0.05  # s

# Rows of a vehicle's limits.
WHEELBASE, MAX_TIRE_ANGLE, MAX_TIRE_RATE, MAX_ACCELERATION, MAX_DECELERATION = range(5)


_compiled = compiler(curve, projection)


@_compiled
def advance_on_arc(
    x: float, y: float, yaw: float, curvature: float, distance: float, change: float = 0.0
) -> tuple[float, float, float]:
    """The pose (x, y, yaw) after `distance` (m) along a circle's arc of `curvature` (1/m).

    Written with the chord, so that a straight line is no special case and small curvatures
    lose no digits. Where the curvature changes by `change` (1/m) on the way, `curvature` is
    its mean and the chord is turned by the clothoid's next term.
    """
    half = 0.5 * curvature * distance
    chord = distance * (math.sin(half) / half) if half != 0.0 else distance
    heading = yaw + half - change * distance / 12.0
    return x + chord * math.cos(heading), y + chord * math.sin(heading), yaw + 2.0 * half


@_compiled
def distance_after(speed: float, acceleration: float, time: float) -> float:
    """Distance (m) covered in `time` (s) from `speed`; a braking car stops and stays there."""
    if acceleration < 0 and speed + acceleration * time < 0:
        return 0.5 * speed * speed / -acceleration
    return (speed + 0.5 * acceleration * time) * time


@_compiled
def tire_angle(curvature: float, limits: NDArray[np.float64]) -> float:
    """Tire angle (rad) that drives `curvature` (1/m), within the vehicle's limit."""
    limit = limits[MAX_TIRE_ANGLE]
    return max(-limit, min(limit, math.atan(limits[WHEELBASE] * curvature)))


@_compiled
def step(
    x: float,
    y: float,
    yaw: float,
    speed: float,
    tire: float,
    curvature: float,
    acceleration: float,
    dt: float,
    limits: NDArray[np.float64],
) -> Any:
    """(x, y, yaw, speed, tire angle) `dt` seconds later; see `KinematicBicycle.step`.

    Args:
        limits: (5,) as `KinematicBicycle.limits`.
    """
    wheelbase, max_rate = limits[WHEELBASE], limits[MAX_TIRE_RATE]
    acceleration = max(-limits[MAX_DECELERATION], min(limits[MAX_ACCELERATION], acceleration))
    target = tire_angle(curvature, limits)
    turn = target - tire
    ramp_time = min(dt, abs(turn) / max_rate)
    rate = math.copysign(max_rate, turn)
    gone = 0.0
    pieces = math.ceil(ramp_time / RAMP_PIECE)
    span = ramp_time / pieces if pieces > 0 else 0.0
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
        turned = before * speed_before + 4.0 * between * speed_between + after * speed_after
        mean = turned * span / (6.0 * distance) if distance > 1e-9 else between
        x, y, yaw = advance_on_arc(x, y, yaw, mean, distance, after - before)
        gone, before, speed_before = total, after, speed_after
    tire += rate * ramp_time
    if ramp_time < dt:
        tire = target
        total = distance_after(speed, acceleration, dt)
        x, y, yaw = advance_on_arc(x, y, yaw, math.tan(target) / wheelbase, total - gone, 0.0)
    return x, y, wrap_angle(yaw), max(0.0, speed + acceleration * dt), tire

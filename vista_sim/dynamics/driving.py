"""Moves cars and finds them on the recorded path, row by row of their table (see `state`).

Compiled by Numba without fast-math: a row's numbers do not depend on the other rows. Cars of
one call drive in one trace, along its path.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler
from vista_sim.dynamics import kinematics
from vista_sim.dynamics import state as c
from vista_sim.traces import curve, projection
from vista_sim.traces.projection import REACH, PathArrays

Floats = NDArray[np.float64]


_compiled = compiler(c, kinematics, curve, projection)


@_compiled
def _speed_at(s: float, path: PathArrays) -> float:
    """Recorded speed at arc length s (m), m/s."""
    inside = min(max(s, 0.0), path.row_s[-1])
    return curve.interpolate(curve.interpolate(inside, path.row_s, path.t), path.t, path.speeds)


@_compiled
def _locate(row: Floats, wheelbase: float, path: PathArrays, edges: Floats) -> None:
    """Find a car on the path, and the recorded pose that its view is made from."""
    x, y, yaw = row[c.X], row[c.Y], row[c.YAW]
    s, lateral, heading, distance = curve.project(x, y, yaw, row[c.S], path)
    # Where the path is out of reach, s, lateral and heading stay as they are.
    row[c.IN_REACH] = 1.0 if distance <= REACH else 0.0
    if distance <= REACH:
        row[c.PROGRESS] = s - row[c.S]
        row[c.S], row[c.LATERAL], row[c.HEADING_ERROR] = s, lateral, heading
    inside = min(max(row[c.S], row[c.START_S]), row[c.END_S])
    inside = min(max(inside, 0.0), path.row_s[-1])
    time = curve.interpolate(inside, path.row_s, path.t)
    row[c.SCENE_TIME] = time = min(max(time, row[c.START]), row[c.END])
    px, py, _, qx, qy, qz, qw = curve.pose_at(time, path.t, path.positions, path.quaternions)
    recorded = math.atan2(2 * (qx * qy + qz * qw), 1 - 2 * (qy * qy + qz * qz))
    dx, dy = x - px, y - py
    cosine, sine = math.cos(recorded), math.sin(recorded)
    row[c.OFFSET_X] = cosine * dx + sine * dy
    row[c.OFFSET_Y] = cosine * dy - sine * dx
    row[c.OFFSET_YAW] = curve.wrap_angle(yaw - recorded)
    row[c.DISTANCE] = math.hypot(dx, dy)
    row[c.CURVATURE] = math.tan(row[c.TIRE_ANGLE]) / wheelbase
    row[c.RECORDED_SPEED] = _speed_at(inside, path)
    row[c.ROAD_LEFT] = row[c.ROAD_RIGHT] = math.nan
    if edges.shape[1] > 0:
        row[c.ROAD_LEFT] = curve.interpolate(row[c.S], edges[0], edges[1])
        row[c.ROAD_RIGHT] = curve.interpolate(row[c.S], edges[0], edges[2])


@_compiled
def begin(
    table: Floats,
    i: int,
    s: float,
    lateral: float,
    heading: float,
    limits: Floats,
    path: PathArrays,
    edges: Floats,
) -> None:
    """Put car i at an offset from the path, at the recorded speed, its tires as the path bends.

    Args:
        table: of all cars; START, END, START_S, END_S and TRACE of the row are set, and
            SPEED_FACTOR and SPEED_LIMIT unless they are NaN: as recorded.
        s, lateral, heading: m along the path, m and rad to its left.
        limits: (5,) of the vehicle, as `KinematicBicycle.limits`.
        path: that it drives along.
        edges: (3, m) arc length of points and distances to the road's edges there, m; m may be 0.
    """
    row = table[i]
    length = path.row_s[-1]
    row[c.X], row[c.Y], row[c.YAW] = curve.place(s, lateral, heading, path)
    inside = min(max(s, 0.0), length)
    if math.isnan(row[c.SPEED_FACTOR]):
        row[c.SPEED_FACTOR] = 1.0
    if math.isnan(row[c.SPEED_LIMIT]):
        row[c.SPEED_LIMIT] = math.inf
    row[c.HELD] = math.nan
    recorded = max(0.0, _speed_at(inside, path))
    row[c.SPEED] = min(row[c.SPEED_FACTOR] * recorded, row[c.SPEED_LIMIT])
    bend = curve.curvature_at(inside, path.knots, path.bends)
    row[c.TIRE_ANGLE] = kinematics.tire_angle(bend, limits)
    row[c.STEPS] = row[c.TIME] = row[c.TIRE_RATE] = 0.0
    row[c.TARGET_CURVATURE] = row[c.TARGET_ACCELERATION] = math.nan
    row[c.VALIDITY], row[c.VIEW_SECONDS] = math.nan, 0.0
    row[c.S], row[c.LATERAL], row[c.HEADING_ERROR] = s, lateral, heading
    row[c.MAX_TIRE_RATE] = limits[kinematics.MAX_TIRE_RATE]
    row[c.MAX_ACCELERATION] = limits[kinematics.MAX_ACCELERATION]
    row[c.MAX_DECELERATION] = limits[kinematics.MAX_DECELERATION]
    _locate(row, limits[kinematics.WHEELBASE], path, edges)
    row[c.PROGRESS] = 0.0


@_compiled
def _move(
    row: Floats,
    curvature: float,
    acceleration: float,
    ahead: float,
    span: float,
    left: float,
    limits: Floats,
) -> None:
    """Move a car's pose, speed and tires by `span` (s).

    Args:
        curvature, acceleration: asked for, 1/m and m/s² (NaN: to have the speed `ahead`, m/s,
            when the `left` seconds of the step are over).
    """
    if math.isnan(acceleration):
        acceleration = (ahead - row[c.SPEED]) / left
    acceleration = min(acceleration, (row[c.SPEED_LIMIT] - row[c.SPEED]) / span)
    row[c.X], row[c.Y], row[c.YAW], row[c.SPEED], row[c.TIRE_ANGLE] = kinematics.step(
        row[c.X],
        row[c.Y],
        row[c.YAW],
        row[c.SPEED],
        row[c.TIRE_ANGLE],
        curvature,
        acceleration,
        span,
        limits,
    )


@_compiled
def drive(
    table: Floats,
    rows: NDArray[np.int64],
    dt: float,
    limits: Floats,
    edges: Floats,
    knots: Floats,
    points: Floats,
    pieces: Floats,
    directions: Floats,
    bends: Floats,
    t: Floats,
    row_s: Floats,
    speeds: Floats,
    positions: Floats,
    quaternions: Floats,
) -> None:
    """Move the cars of `rows` by one step of dt (s).

    TARGET_CURVATURE and TARGET_ACCELERATION of their rows say what is asked of them, or HELD_*
    and LATER_* where that is delayed.

    Args:
        limits, edges: as of `begin`.
        knots and on: of `PathArrays`, one by one: whole, they take 3 µs a call to hand over.
    """
    path = PathArrays(
        knots, points, pieces, directions, bends, t, row_s, speeds, positions, quaternions
    )
    for i in rows:
        row = table[i]
        # The speed the recording has `dt` after it was where the car is now.
        later = min(row[c.SCENE_TIME] + row[c.SPEED_FACTOR] * dt, row[c.END])
        ahead = _speed_at(curve.interpolate(later, path.t, path.row_s), path)
        ahead *= row[c.SPEED_FACTOR]
        before = row[c.TIRE_ANGLE]
        held = row[c.HELD]
        if math.isnan(held):
            curvature, acceleration = row[c.TARGET_CURVATURE], row[c.TARGET_ACCELERATION]
            _move(row, curvature, acceleration, ahead, dt, dt, limits)
        else:
            if held > 0.0:
                curvature, acceleration = row[c.HELD_CURVATURE], row[c.HELD_ACCELERATION]
                _move(row, curvature, acceleration, ahead, held, dt, limits)
            curvature, acceleration = row[c.LATER_CURVATURE], row[c.LATER_ACCELERATION]
            _move(row, curvature, acceleration, ahead, dt - held, dt - held, limits)
        row[c.STEPS] += 1.0
        row[c.TIME] = row[c.STEPS] * dt
        row[c.TIRE_RATE] = (row[c.TIRE_ANGLE] - before) / dt
        _locate(row, limits[kinematics.WHEELBASE], path, edges)

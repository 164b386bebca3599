"""Look-ups in a path and in the motion along it, compiled by Numba.

Scalar code without fast-math, called for one pose or in a loop over many: the same numbers
either way. Single arrays are those of `PathArrays`, under the same names.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler
from vista_sim.traces import projection
from vista_sim.traces.projection import HEADING_WEIGHT, SPACING, WINDOW, PathArrays

Floats = NDArray[np.float64]

_TAU = 2.0 * math.pi
_REACH = int(WINDOW / SPACING)  # points to each side


_compiled = compiler(projection)


@_compiled
def wrap_angle(angle: float) -> float:
    """The same angle in (-pi, pi]; exact up to two turns."""
    wrapped = angle - _TAU * np.rint(angle / _TAU)
    if wrapped > math.pi:
        wrapped -= _TAU
    elif wrapped <= -math.pi:
        wrapped += _TAU
    return wrapped


@_compiled
def last_not_after(values: Floats, value: float) -> int:
    """Index of the last of increasing values that is not above `value`; -1 if there is none."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if value < values[middle]:
            high = middle
        else:
            low = middle + 1
    return low - 1


@_compiled
def interpolate(x: float, xs: Floats, ys: Floats) -> float:
    """Linear interpolation as `np.interp`: constant beyond the ends."""
    i = last_not_after(xs, x)
    if i < 0:
        return ys[0]
    if i >= len(xs) - 1 or xs[i] == x:
        return ys[i]
    return (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i]) * (x - xs[i]) + ys[i]


@_compiled
def evaluate(s: float, knots: Floats, pieces: Floats) -> Any:
    """Position and first and second derivative of the curve: x, y, x', y', x'', y''."""
    i = min(max(last_not_after(knots, s), 0), len(pieces) - 1)
    u = s - knots[i]
    ax, bx, cx, dx = pieces[i, 0], pieces[i, 1], pieces[i, 2], pieces[i, 3]
    ay, by, cy, dy = pieces[i, 4], pieces[i, 5], pieces[i, 6], pieces[i, 7]
    return (
        ((ax * u + bx) * u + cx) * u + dx,
        ((ay * u + by) * u + cy) * u + dy,
        (3 * ax * u + 2 * bx) * u + cx,
        (3 * ay * u + 2 * by) * u + cy,
        6 * ax * u + 2 * bx,
        6 * ay * u + 2 * by,
    )


@_compiled
def curvature_at(s: float, knots: Floats, bends: Floats) -> float:
    """Curvature (1/m) at arc length s (m)."""
    i = min(max(last_not_after(knots, s), 0), len(knots) - 2)
    return bends[i] + (bends[i + 1] - bends[i]) * (s - knots[i]) / (knots[i + 1] - knots[i])


@_compiled
def place(s: float, lateral: float, heading: float, path: PathArrays) -> Any:
    """Pose (x, y, yaw) at an offset from the path; see `TracePath.place`."""
    inside = min(max(s, 0.0), path.row_s[-1])
    x, y, dx, dy, _, _ = evaluate(inside, path.knots, path.pieces)
    norm = math.hypot(dx, dy)
    dx, dy = dx / norm, dy / norm
    along = s - inside
    return (
        x + along * dx - lateral * dy,
        y + along * dy + lateral * dx,
        wrap_angle(math.atan2(dy, dx) + heading),
    )


@_compiled
def _nearest(x: float, y: float, points: Floats, first: int, last: int) -> int:
    """Index in [first, last) of the point nearest to (x, y)."""
    best, least = first, math.inf
    for i in range(first, last):
        dx, dy = points[i, 0] - x, points[i, 1] - y
        distance = dx * dx + dy * dy
        if distance < least:
            best, least = i, distance
    return best


@_compiled
def _nearest_around(x: float, y: float, near: float, knots: Floats, points: Floats) -> int:
    """Index of the nearest point within WINDOW of arc length `near`; -1 if it is at the rim."""
    count = len(knots)
    first = max(0, last_not_after(knots, near - WINDOW))
    last = min(count, last_not_after(knots, near + WINDOW) + 2)
    if last - first < 2:
        first, last = max(0, last - 2), min(count, first + 2)
    i = _nearest(x, y, points, first, last)
    rim = (i == first and first > 0) or (i == last - 1 and last < count)
    return -1 if rim else i


@_compiled
def _nearest_of_all(
    x: float, y: float, yaw: float, near: float, knots: Floats, points: Floats, directions: Floats
) -> int:
    """Index of the nearest point of the branch that fits best; `near` is NaN if unknown."""
    c, s = math.cos(yaw), math.sin(yaw)
    best, least = 0, math.inf
    for i in range(len(knots)):
        cost = math.hypot(points[i, 0] - x, points[i, 1] - y)
        if math.isnan(near):
            cosine = directions[i, 0] * c + directions[i, 1] * s
            cost += HEADING_WEIGHT * math.acos(min(1.0, max(-1.0, cosine)))
        else:  # among equals, the branch that is nearest along the road
            cost += 0.02 * abs(knots[i] - near)
        if cost < least:
            best, least = i, cost
    # Heading chooses the branch; on it, the nearest point counts.
    return _nearest(x, y, points, max(0, best - _REACH), min(len(knots), best + _REACH + 1))


@_compiled
def project(x: float, y: float, yaw: float, near: float, path: PathArrays) -> Any:
    """(s, lateral, heading error, distance) of a pose; see `TracePath.project`.

    Args:
        near: arc length to search around, m; NaN: the whole path.
    """
    length, knots, points, pieces = path.row_s[-1], path.knots, path.points, path.pieces
    i = -1
    if not math.isnan(near):
        i = _nearest_around(x, y, near, knots, points)
    if i < 0:
        i = _nearest_of_all(x, y, yaw, near, knots, points, path.directions)
    s = knots[i]
    px = py = dx = dy = 0.0
    for _ in range(12):
        inside = min(max(s, 0.0), length)
        px, py, dx, dy, ddx, ddy = evaluate(inside, knots, pieces)
        ex, ey = x - px, y - py
        along = ex * dx + ey * dy
        speed2 = dx * dx + dy * dy
        if (inside <= 0.0 and along < 0.0) or (inside >= length and along > 0.0):
            s = inside + along / math.sqrt(speed2)
            break
        slope = speed2 - (ex * ddx + ey * ddy)
        # At the centre of a bend Newton's slope vanishes; a damped step still descends.
        change = along / (slope if slope > 0.05 * speed2 else 0.3 * speed2)
        s = inside + max(-SPACING, min(SPACING, change))
        if abs(change) < 1e-9:
            break
    ex, ey = x - px, y - py
    lateral = (dx * ey - dy * ex) / math.hypot(dx, dy)
    return s, lateral, wrap_angle(yaw - math.atan2(dy, dx)), math.hypot(ex, ey)


@_compiled
def pose_at(time: float, t: Floats, positions: Floats, quaternions: Floats) -> Any:
    """Position (x, y, z) and quaternion (x, y, z, w) at a time: linear, and slerp."""
    i = min(max(last_not_after(t, time), 0), len(t) - 2)
    f = (time - t[i]) / (t[i + 1] - t[i])
    dot = 0.0
    for k in range(4):
        dot += quaternions[i, k] * quaternions[i + 1, k]
    angle = math.acos(min(1.0, dot))
    if angle < 1e-4:  # sin(angle) loses its digits; the chord is as good here
        u, v = 1.0 - f, f
    else:
        scale = 1.0 / math.sin(angle)
        u, v = math.sin((1.0 - f) * angle) * scale, math.sin(f * angle) * scale
    return (
        positions[i, 0] + f * (positions[i + 1, 0] - positions[i, 0]),
        positions[i, 1] + f * (positions[i + 1, 1] - positions[i, 1]),
        positions[i, 2] + f * (positions[i + 1, 2] - positions[i, 2]),
        u * quaternions[i, 0] + v * quaternions[i + 1, 0],
        u * quaternions[i, 1] + v * quaternions[i + 1, 1],
        u * quaternions[i, 2] + v * quaternions[i + 1, 2],
        u * quaternions[i, 3] + v * quaternions[i + 1, 3],
    )


@_compiled
def matrix_at(time: float, t: Floats, positions: Floats, quaternions: Floats) -> Floats:
    """T_world_vehicle (4, 4) at a time."""
    px, py, pz, x, y, z, w = pose_at(time, t, positions, quaternions)
    pose = np.zeros((4, 4))
    pose[0, 0] = 1 - 2 * (y * y + z * z)
    pose[0, 1] = 2 * (x * y - z * w)
    pose[0, 2] = 2 * (x * z + y * w)
    pose[0, 3] = px
    pose[1, 0] = 2 * (x * y + z * w)
    pose[1, 1] = 1 - 2 * (x * x + z * z)
    pose[1, 2] = 2 * (y * z - x * w)
    pose[1, 3] = py
    pose[2, 0] = 2 * (x * z - y * w)
    pose[2, 1] = 2 * (y * z + x * w)
    pose[2, 2] = 1 - 2 * (x * x + y * y)
    pose[2, 3] = pz
    pose[3, 3] = 1.0
    return pose

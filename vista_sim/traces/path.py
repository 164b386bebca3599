"""The recorded trajectory as a smooth curve over arc length, and projection onto it.

The curve goes through points about 0.5 m apart, each a local quadratic fit (Cleveland 1979,
tricube weights) to the recorded positions around it, joined by a cubic spline. Curvature is
the slope of the recorded heading over arc length, fitted locally in the same way, because
headings carry less noise than second derivatives of positions.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import OffPathError, TraceError
from vista_sim.traces.ego import EgoMotion
from vista_sim.traces.sections import gaps
from vista_sim.traces.smoothing import arc_of_rows, local_fit, thin
from vista_sim.transforms import Matrix, wrap_angle

Floats = NDArray[np.float64]

SPACING = 0.5  # m between points
POSITION_REACH = 4.0  # m to each side that a point is fitted to
HEADING_REACH = 5.0  # m to each side that a curvature is fitted to
WINDOW = 10.0  # m to each side of near= that is searched first
HEADING_WEIGHT = 5.0  # m of distance that a radian of heading error counts as


@dataclass(frozen=True, slots=True)
class PathPoint:
    """Where a pose is relative to the path."""

    s: float  # m
    lateral: float  # m, left of the path is positive
    heading_error: float  # rad, in (-pi, pi], left of the path's direction is positive


class TracePath:
    """The path of a whole trace; arc length s is 0 at t = 0.

    Arc length goes on through stretches that cannot be driven; a section is an interval of s.

    Attributes:
        length: m.
        points: (m, 2) xy of the path in the world frame, about 0.5 m apart.
        s: (m,) their arc length, m.
    """

    def __init__(self, ego: EgoMotion, root: Path | None = None) -> None:
        self._ego = ego
        self._name = str(root or "trace")
        rows_s, rough, points, curvature = _build(ego)
        step = np.linalg.norm(np.diff(points, axis=0), axis=1)
        bend = np.clip(curvature[:-1] * step, -1.0, 1.0)
        # The arc over a chord, from the curvature: chord = arc (1 - (k arc)²/24).
        s: Floats = np.concatenate([[0.0], np.cumsum(step * (1 + bend**2 / 24))])
        # A car that stands makes no way, but time must stay a function of arc length.
        self._row_s: Floats = np.interp(rows_s, rough, s) + np.linspace(0, 1e-9, len(ego.t))
        self.length = float(self._row_s[-1])
        self.points: Floats = points
        self.s: Floats = s
        self._curvature = curvature
        self._spline = _spline(s, points)
        self._knots: list[float] = s.tolist()
        self.points.setflags(write=False)
        self.s.setflags(write=False)
        heading = np.array([self._tangent(v) for v in self._knots])
        self._direction = np.stack([np.cos(heading), np.sin(heading)], axis=1)

    def time(self, s: float) -> float:
        """Time (s) at which the recording was at arc length s (m)."""
        return float(np.interp(self._inside(s), self._row_s, self._ego.t))

    def arc_length(self, t: float) -> float:
        """Arc length (m) at time t (s)."""
        t = float(t)
        if not -1e-6 <= t <= self._ego.t[-1] + 1e-6:
            raise TraceError(f"{self._name}: t is {t} s; the trace lasts to {self._ego.t[-1]} s")
        return float(np.interp(t, self._ego.t, self._row_s))

    def pose(self, s: float) -> Matrix:
        """T_world_vehicle (4, 4) of the recording at arc length s (m)."""
        return self._ego.pose(self.time(s))

    def speed(self, s: float) -> float:
        """Recorded speed at arc length s, m/s."""
        return float(np.interp(self.time(s), self._ego.t, self._ego.speed))

    def curvature(self, s: float) -> float:
        """Smoothed curvature at arc length s, 1/m, positive to the left."""
        s = self._inside(s)
        i = self._segment(s)
        k0, k1 = self._curvature[i], self._curvature[i + 1]
        return float(k0 + (k1 - k0) * (s - self._knots[i]) / (self._knots[i + 1] - self._knots[i]))

    def heading(self, s: float) -> float:
        """Direction of the path at arc length s in the world frame, rad."""
        return self._tangent(self._inside(s))

    def place(
        self, s: float, lateral: float = 0.0, heading: float = 0.0
    ) -> tuple[float, float, float]:
        """Pose (x, y, yaw) in the world frame at an offset from the path: undoes `project`.

        Args:
            s: arc length, m; beyond an end, along its tangent.
            lateral: m to the left of the path.
            heading: rad to the left of the path's direction.
        """
        inside = min(max(s, 0.0), self.length)
        x, y, dx, dy, _, _ = self._evaluate(inside)
        norm = math.hypot(dx, dy)
        dx, dy = dx / norm, dy / norm
        along = s - inside
        return (
            x + along * dx - lateral * dy,
            y + along * dy + lateral * dx,
            wrap_angle(math.atan2(dy, dx) + heading),
        )

    def project(
        self, x: float, y: float, yaw: float, near: float | None = None, reach: float = 25.0
    ) -> PathPoint:
        """Find the point of the path nearest to a pose.

        Args:
            x, y: position in the world frame, m.
            yaw: heading in the world frame, rad.
            near: arc length (m) to search around; keeps to a branch where the road meets
                itself. None searches the whole path and weighs heading too.
            reach: m; farther from the path is an error.

        Returns:
            Arc length (m), lateral offset (m) and heading error (rad). Beyond an end the
            tangent there goes on: s lies outside [0, length].

        Raises:
            OffPathError: the pose is farther than `reach` from every point searched.
        """
        x, y = float(x), float(y)
        start = None if near is None else self._search_window(x, y, float(near))
        if start is None:
            start = self._search_all(x, y, yaw, near)
        s = start
        length = self.length
        px = py = dx = dy = 0.0
        for _ in range(12):
            inside = min(max(s, 0.0), length)
            px, py, dx, dy, ddx, ddy = self._evaluate(inside)
            ex, ey = x - px, y - py
            along = ex * dx + ey * dy
            speed2 = dx * dx + dy * dy
            if (inside <= 0.0 and along < 0.0) or (inside >= length and along > 0.0):
                s = inside + along / math.sqrt(speed2)
                break
            slope = speed2 - (ex * ddx + ey * ddy)
            # At the centre of a bend Newton's slope vanishes; a damped step still descends.
            step = along / (slope if slope > 0.05 * speed2 else 0.3 * speed2)
            s = inside + max(-SPACING, min(SPACING, step))
            if abs(step) < 1e-9:
                break
        norm = math.hypot(dx, dy)
        ex, ey = x - px, y - py
        lateral = (dx * ey - dy * ex) / norm
        if not math.hypot(ex, ey) <= reach:
            raise OffPathError(
                f"the pose ({x:.1f}, {y:.1f}) is {math.hypot(ex, ey):.1f} m from the path, "
                f"farther than {reach:g} m"
            )
        return PathPoint(s, lateral, wrap_angle(yaw - math.atan2(dy, dx)))

    def _search_window(self, x: float, y: float, near: float) -> float | None:
        """Arc length of the nearest point within WINDOW of `near`; None if it is at the rim."""
        first = max(0, bisect_right(self._knots, near - WINDOW) - 1)
        last = min(len(self._knots), bisect_right(self._knots, near + WINDOW) + 1)
        if last - first < 2:
            first, last = max(0, last - 2), min(len(self._knots), first + 2)
        part = self.points[first:last]
        dx, dy = part[:, 0] - x, part[:, 1] - y
        i = first + int((dx * dx + dy * dy).argmin())
        rim = (i == first and first > 0) or (i == last - 1 and last < len(self._knots))
        return None if rim else self._knots[i]

    def _search_all(self, x: float, y: float, yaw: float, near: float | None) -> float:
        delta = self.points - (x, y)
        distance = np.hypot(delta[:, 0], delta[:, 1])
        cosine = self._direction @ (math.cos(yaw), math.sin(yaw))
        cost = distance + HEADING_WEIGHT * np.arccos(np.clip(cosine, -1.0, 1.0))
        if near is not None:  # among equals, the branch that is nearest along the road
            cost = distance + 0.02 * np.abs(self.s - near)
        # Heading chooses the branch; on it, the nearest point counts.
        i = int(cost.argmin())
        reach = int(WINDOW / SPACING)
        first, last = max(0, i - reach), min(len(self._knots), i + reach + 1)
        return self._knots[first + int(distance[first:last].argmin())]

    def _inside(self, s: float) -> float:
        s = float(s)
        if not -1e-6 <= s <= self.length + 1e-6:
            raise TraceError(f"{self._name}: s is {s} m; the path goes from 0 to {self.length} m")
        return min(max(s, 0.0), self.length)

    def _segment(self, s: float) -> int:
        return min(max(bisect_right(self._knots, s) - 1, 0), len(self._knots) - 2)

    def _evaluate(self, s: float) -> tuple[float, float, float, float, float, float]:
        """Position and first and second derivative of the curve: x, y, x', y', x'', y''."""
        i = self._segment(s)
        u = s - self._knots[i]
        ax, bx, cx, dx, ay, by, cy, dy = self._spline[i]
        return (
            ((ax * u + bx) * u + cx) * u + dx,
            ((ay * u + by) * u + cy) * u + dy,
            (3 * ax * u + 2 * bx) * u + cx,
            (3 * ay * u + 2 * by) * u + cy,
            6 * ax * u + 2 * bx,
            6 * ay * u + 2 * by,
        )

    def _tangent(self, s: float) -> float:
        _, _, dx, dy, _, _ = self._evaluate(s)
        return math.atan2(dy, dx)


def _build(ego: EgoMotion) -> tuple[Floats, Floats, Floats, Floats]:
    """Rough arc length of each row; that of the points, the points, and their curvature."""
    xy = np.ascontiguousarray(ego.position[:, :2])
    rows_s = arc_of_rows(xy)
    if rows_s[-1] < 2 * SPACING:  # the car stands: straight ahead is its path
        first_yaw = float(ego.yaw[0])
        knots = np.array([0.0, SPACING, 2 * SPACING])
        ahead = np.outer(knots, (math.cos(first_yaw), math.sin(first_yaw)))
        return rows_s, knots, xy[0] + ahead, np.zeros(3)
    count = max(3, round(float(rows_s[-1]) / SPACING) + 1)
    knots = np.linspace(0.0, float(rows_s[-1]), count)
    points = np.stack([np.interp(knots, rows_s, xy[:, k]) for k in (0, 1)], axis=1)
    curvature = np.zeros(count)
    yaw = ego.yaw
    # Nothing is known between the rows at both sides of a gap: smooth each side by itself.
    edges = [0, *(int(np.searchsorted(ego.t, b)) for _, b in gaps(ego.t)), len(xy)]
    for first, stop in pairwise(edges):
        rows = first + thin(rows_s[first:stop], 0.05)
        inside = (knots >= rows_s[first]) & (knots <= rows_s[stop - 1])
        at = rows_s[rows]
        if len(rows) < 3 or not inside.any():
            continue
        points[inside], _ = local_fit(knots[inside], at, xy[rows], POSITION_REACH, 2)
        _, curvature[inside] = local_fit(knots[inside], at, yaw[rows], HEADING_REACH, 2)
    return rows_s, knots, points, curvature


def _spline(s: Floats, points: Floats) -> list[tuple[float, ...]]:
    """Cubic coefficients, highest first, of x and then y for each piece."""
    from scipy.interpolate import CubicSpline

    curve = CubicSpline(s, points)
    coefficients = np.concatenate([curve.c[:, :, 0], curve.c[:, :, 1]], axis=0)
    return [tuple(row) for row in coefficients.T.tolist()]

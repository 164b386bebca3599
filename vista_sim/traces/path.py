"""The recorded trajectory as a smooth curve over arc length, and projection onto it.

The curve goes through points about 0.5 m apart, each a local quadratic fit (Cleveland 1979,
tricube weights) to the recorded positions around it, joined by a cubic spline. Curvature is
the slope of the recorded heading over arc length, fitted locally in the same way, because
headings carry less noise than second derivatives of positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import OffPathError, TraceError
from vista_sim.traces.ego import EgoMotion
from vista_sim.traces.projection import REACH, SPACING, PathArrays
from vista_sim.traces.smoothing import arc_of_rows, local_fit, thin
from vista_sim.transforms import Matrix

Floats = NDArray[np.float64]

POSITION_REACH = 4.0  # m to each side that a point is fitted to
HEADING_REACH = 5.0  # m to each side that a curvature is fitted to


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
        self._ego, self._root = ego, root
        self._name = str(root or "trace")
        rows_s, rough, points, curvature, splits = _build(ego)
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
        self._pieces = _spline(s, points, splits)
        self.points.setflags(write=False)
        self.s.setflags(write=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return TracePath, (self._ego, self._root)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it does not change

    @cached_property
    def arrays(self) -> PathArrays:
        """What the compiled look-ups take."""
        pieces = self._pieces
        # At its first knot a piece has the slope (c of x, c of y); the last ends the last piece.
        u = self.s[-1] - self.s[-2]
        ax, bx, cx, _, ay, by, cy, _ = pieces[-1]
        last = ((3 * ax * u + 2 * bx) * u + cx, (3 * ay * u + 2 * by) * u + cy)
        slope = np.concatenate([pieces[:, [2, 6]], [last]])
        directions = slope / np.hypot(slope[:, 0], slope[:, 1])[:, None]
        ego = self._ego
        # Copies: Numba compiles anew for every mixture of read-only and writable arrays.
        return PathArrays(
            *(
                np.array(array, dtype=np.float64, order="C")
                for array in (
                    self.s,
                    self.points,
                    pieces,
                    directions,
                    self._curvature,
                    ego.t,
                    self._row_s,
                    ego.speed,
                    ego.position,
                    ego.quaternion,
                )
            )
        )

    @cached_property
    def _curve(self) -> ModuleType:
        """The compiled look-ups: loaded when first used."""
        from vista_sim.traces import curve

        return curve

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
        arrays = self.arrays
        return self._curve.curvature_at(self._inside(s), arrays.knots, arrays.bends)

    def heading(self, s: float) -> float:
        """Direction of the path at arc length s in the world frame, rad."""
        arrays = self.arrays
        _, _, dx, dy, _, _ = self._curve.evaluate(self._inside(s), arrays.knots, arrays.pieces)
        return math.atan2(dy, dx)

    def place(
        self, s: float, lateral: float = 0.0, heading: float = 0.0
    ) -> tuple[float, float, float]:
        """Pose (x, y, yaw) in the world frame at an offset from the path: undoes `project`.

        Args:
            s: arc length, m; beyond an end, along its tangent.
            lateral: m to the left of the path.
            heading: rad to the left of the path's direction.
        """
        return self._curve.place(float(s), float(lateral), float(heading), self.arrays)

    def project(
        self, x: float, y: float, yaw: float, near: float | None = None, reach: float = REACH
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
        around = math.nan if near is None else float(near)
        s, lateral, heading_error, distance = self._curve.project(
            x, y, float(yaw), around, self.arrays
        )
        if not distance <= reach:
            raise OffPathError(
                f"the pose ({x:.1f}, {y:.1f}) is {distance:.1f} m from the path, "
                f"farther than {reach:g} m"
            )
        return PathPoint(s, lateral, heading_error)

    def _inside(self, s: float) -> float:
        s = float(s)
        if not -1e-6 <= s <= self.length + 1e-6:
            raise TraceError(f"{self._name}: s is {s} m; the path goes from 0 to {self.length} m")
        return min(max(s, 0.0), self.length)


@dataclass(frozen=True)
class _Stretch:
    """Rows [first, stop) that are smoothed together, and the arc length they are taken for, m."""

    first: int
    stop: int
    low: float
    high: float


def _stretches(ego: EgoMotion, rows_s: Floats) -> tuple[list[_Stretch], list[float]]:
    """What lies between breaks of the motion, and at which arc lengths the path is torn.

    Through a gap the path goes straight from the one side to the other. Where rows contradict
    each other there is no way between both sides: each goes on straight to the middle.
    """
    found: list[_Stretch] = []
    torn: list[float] = []
    first, low = 0, float(rows_s[0])
    for start, end in ego.breaks:
        before = int(np.searchsorted(ego.t, start, side="right")) - 1
        after = int(np.searchsorted(ego.t, end))
        high, next_low = float(rows_s[before]), float(rows_s[after])
        if any(a < end and b > start for a, b in ego.cuts):
            high = next_low = 0.5 * (high + next_low)
            torn.append(high)
        found.append(_Stretch(first, before + 1, low, high))
        first, low = after, next_low
    found.append(_Stretch(first, len(rows_s), low, float(rows_s[-1])))
    return found, torn


def _build(ego: EgoMotion) -> tuple[Floats, Floats, Floats, Floats, list[int]]:
    """Rough arc length of each row; that of the points, the points, their curvature, and splits.

    A split is the index of a point that the path does not lead to from the point before.
    """
    xy = np.ascontiguousarray(ego.position[:, :2])
    rows_s = arc_of_rows(xy)
    if rows_s[-1] < 2 * SPACING:  # the car stands: straight ahead is its path
        first_yaw = float(ego.yaw[0])
        knots = np.array([0.0, SPACING, 2 * SPACING])
        ahead = np.outer(knots, (math.cos(first_yaw), math.sin(first_yaw)))
        return rows_s, knots, xy[0] + ahead, np.zeros(3), []
    count = max(3, round(float(rows_s[-1]) / SPACING) + 1)
    knots = np.linspace(0.0, float(rows_s[-1]), count)
    points = np.stack([np.interp(knots, rows_s, xy[:, k]) for k in (0, 1)], axis=1)
    curvature = np.zeros(count)
    yaw = ego.yaw
    # Nothing is known between the rows at both sides of a break: smooth each side by itself.
    stretches, torn = _stretches(ego, rows_s)
    for stretch in stretches:
        rows = stretch.first + thin(rows_s[stretch.first : stretch.stop], 0.05)
        inside = (knots >= stretch.low) & (knots <= stretch.high)
        at = rows_s[rows]
        if len(rows) < 3 or not inside.any():
            continue
        places = np.clip(knots[inside], at[0], at[-1])
        points[inside], slope = local_fit(places, at, xy[rows], POSITION_REACH, 2)
        points[inside] += (knots[inside] - places)[:, None] * slope
        _, curvature[inside] = local_fit(places, at, yaw[rows], HEADING_REACH, 2)
    splits = sorted({int(np.searchsorted(knots, place, side="right")) for place in torn})
    return rows_s, knots, points, curvature, [k for k in splits if 0 < k < count]


def _spline(s: Floats, points: Floats, splits: list[int]) -> Floats:
    """Cubic coefficients (m - 1, 8), highest first, of x and then y for each piece.

    The piece before a split goes straight on.
    """
    from scipy.interpolate import CubicSpline

    pieces = np.zeros((4, len(s) - 1, 2))
    for first, stop in pairwise([0, *splits, len(s)]):
        if stop - first >= 2:
            pieces[:, first : stop - 1] = CubicSpline(s[first:stop], points[first:stop]).c
        if stop == len(s):
            continue
        pieces[3, stop - 1] = points[stop - 1]
        if stop - first >= 2:
            u = s[stop - 1] - s[stop - 2]
            a, b, c, _ = pieces[:, stop - 2]
            pieces[2, stop - 1] = (3 * a * u + 2 * b) * u + c
        else:
            pieces[2, stop - 1] = (points[stop] - points[stop - 1]) / (s[stop] - s[stop - 1])
    return np.concatenate([pieces[:, :, 0], pieces[:, :, 1]], axis=0).T

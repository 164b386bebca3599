"""The recorded roads for the page: the map, and the recorded drive beside each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.evaluation.metrics.tables import Floats, floats, rows, select
from vista_sim.report.sheet import Sheet

MOST_POINTS = 20_000  # of a run's roads on the map; more are thinned out
SAME_PLACE = 0.5  # m by which a car may seem off where its path says it is


@dataclass(frozen=True)
class RecordedRoad:
    """The recorded path of a trace.

    Args:
        s: (n,) arc length, m, ascending.
        x, y, yaw: (n,) m, rad.
        curvature, speed: (n,) as the human drove, 1/m and m/s; NaN where not known.
        left, right: (n,) distance from the path to the road's edges, m; NaN where not known.
    """

    s: Floats
    x: Floats
    y: Floats
    yaw: Floats
    curvature: Floats
    speed: Floats
    left: Floats
    right: Floats

    def driven_at(self, s: Floats) -> tuple[Floats, Floats]:
        """Recorded curvature and speed at arc lengths; NaN off the ends."""
        inside = (s >= self.s[0] - SAME_PLACE) & (s <= self.s[-1] + SAME_PLACE)
        found = (np.interp(s, self.s, values) for values in (self.curvature, self.speed))
        curvature, speed = (np.where(inside, values, np.nan) for values in found)
        return curvature, speed

    def misfit(self, s: Floats, lateral: Floats, x: Floats, y: Floats) -> float:
        """How far (m, median) cars are from where this path would have them."""
        if not len(s) or s.max() > self.s[-1] + SAME_PLACE:
            return float("inf")
        yaw = np.interp(s, self.s, np.unwrap(self.yaw))
        dx = x - np.interp(s, self.s, self.x) + lateral * np.sin(yaw)
        dy = y - np.interp(s, self.s, self.y) - lateral * np.cos(yaw)
        return float(np.median(np.hypot(dx, dy)))

    def to_json(self, every: int) -> dict[str, Any]:
        """Path and edges for the map, one point of so many, in whole centimetres."""
        picked = np.unique(np.append(np.arange(0, len(self.s), every), len(self.s) - 1))
        x, y, yaw = self.x[picked], self.y[picked], self.yaw[picked]
        outline = {"x": x, "y": y}
        for name, distance in (("left", self.left[picked]), ("right", -self.right[picked])):
            outline[f"{name}_x"] = x - distance * np.sin(yaw)
            outline[f"{name}_y"] = y + distance * np.cos(yaw)
        return {name: _centimetres(values) for name, values in outline.items()}


def roads_of(sheet: Sheet) -> dict[int, RecordedRoad]:
    """The roads of a run by the index of their trace."""
    found = {}
    for trace in np.unique(sheet.roads["trace"]) if rows(sheet.roads) else ():
        own = select(sheet.roads, sheet.roads["trace"] == trace)
        own = select(own, np.argsort(own["s"], kind="stable"))
        if rows(own) >= 2:
            found[int(trace)] = RecordedRoad(
                *(floats(own, name) for name in RecordedRoad.__dataclass_fields__)
            )
    return found


def trace_of_each(sheet: Sheet, roads: dict[int, RecordedRoad]) -> list[int]:
    """Index of the trace that each episode is on; -1 where it is not known.

    That of an episode that was cut off is looked for by where the car was.
    """
    known = floats(sheet.episodes, "trace")
    found = []
    for row, trace in enumerate(known):
        if np.isnan(trace):
            own = sheet.steps_of(row)
            place = [floats(own, name) for name in ("s", "lateral", "x", "y")]
            there = np.isfinite(place).all(axis=0)
            misfits = {
                index: road.misfit(*(v[there] for v in place)) for index, road in roads.items()
            }
            best = min(misfits, key=lambda index: misfits[index], default=-1)
            trace = best if misfits.get(best, np.inf) < SAME_PLACE else -1
        found.append(int(trace))
    return found


def maps(roads: dict[int, RecordedRoad]) -> dict[str, Any]:
    """The roads for the map, by trace, thinned out where there are very many points."""
    points = sum(len(road.s) for road in roads.values())
    every = max(1, -(-points // MOST_POINTS))
    return {str(trace): road.to_json(every) for trace, road in roads.items()}


def _centimetres(values: NDArray[np.float64]) -> list[int | None]:
    return [None if np.isnan(v) else round(100 * v) for v in values.tolist()]

"""How far along the recorded path a drive was asked to come.

To the end of its section, or to where a time limit, or whoever broke it off, ends it before:
what that cuts off is no road that the driver missed. Where the speed is the driver's own, the
measure is where the recording was after the same time: who dawdles, or does not set out, misses
road. Where it is not (as recorded, times a factor, up to a limit), it is where the car was when the
time was over, or, after a crash, would have been.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vista_sim.tasks.endings import TIME_LIMIT
from vista_sim.traces.path import TracePath

if TYPE_CHECKING:
    from vista_sim.world import Car

POINTS = 200  # at which the recorded time is looked at


def time_limit(car: Car) -> float | None:
    """How long an episode may last, s; None: as long as it takes."""
    return car.world.task.limits.time_limit


def asked_from(
    path: TracePath,
    span: tuple[float, float],
    time: float,
    factor: float = 1.0,
    most: float = math.inf,
) -> float:
    """Arc length (m) to which the recording's speed leads in some time.

    Args:
        path: the recorded one.
        span: arc lengths of start and section's end, m; the answer is no further than the end.
        time: s.
        factor, most: times the recorded speed is driven, at most so many m/s.
    """
    start, end = span
    if not start < end:
        return end
    s = np.linspace(start, end, POINTS)
    times = np.array([path.time(at) for at in s])
    needed = np.maximum(np.diff(times) / factor, np.diff(s) / most)
    return _reached(time, np.concatenate([[0.0], np.cumsum(needed)]), s)


def _reached(time: float, times: NDArray[np.float64], s: NDArray[np.float64]) -> float:
    """Arc length at a time, of times that may stand still."""
    return float(np.interp(time, times, s))


def of_older(episodes: pa.Table, steps: pa.Table, roads: pa.Table) -> pa.Array:
    """The column `asked_s` of a run that was written without it, null where it is not known.

    A time limit shows in the episodes that it ended; it is that of all of their scenario.
    """
    rows = episodes.select(
        ["episode", "scenario", "trace", "start_s", "end_s", "duration", "ending"]
    ).to_pylist()
    limits: dict[str | None, float] = {}
    for row in rows:
        if row["ending"] == TIME_LIMIT and row["duration"] is not None:
            limits[row["scenario"]] = max(row["duration"], limits.get(row["scenario"], 0.0))
    own = _with_own_speed(steps)
    found: list[float | None] = []
    for row in rows:
        limit = limits.get(row["scenario"])
        if limit is None or None in (row["start_s"], row["end_s"], row["duration"]):
            found.append(None)
            continue
        held = row["episode"] in own
        begin, left = (
            (row["start_s"], limit) if held else (row["end_s"], max(limit - row["duration"], 0.0))
        )
        found.append(begin if left <= 0 else _on_road(roads, row["trace"], begin, left))
    return pa.array(found, pa.float64())


def _with_own_speed(steps: pa.Table) -> set[int]:
    """Episodes whose driver asked for an acceleration."""
    if "action_acceleration" not in steps.column_names:
        return set()
    asked = steps.filter(pc.is_valid(steps.column("action_acceleration")))
    return set(asked.column("episode").unique().to_pylist())


def _on_road(roads: pa.Table, trace: int, begin: float, left: float) -> float | None:
    """Where a recording was some seconds after an arc length; None where the road is not kept."""
    if "t" not in roads.column_names:
        return None
    own = roads.filter(pc.equal(roads.column("trace"), trace))
    s, t = own.column("s").to_numpy(), own.column("t").to_numpy()
    if len(s) < 2 or not np.isfinite(t).all():
        return None
    return _reached(float(np.interp(begin, s, t)) + left, t, s)

"""Steps as the page gets them: whole numbers, and of these only the changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vista_sim.evaluation.metrics.comfort import lateral_acceleration
from vista_sim.evaluation.metrics.tables import Floats, floats, rows
from vista_sim.report.roads import RecordedRoad
from vista_sim.report.sheet import Sheet

MOST_STEPS = 300_000  # of all runs of a page; of more, one of several is shown

#: Columns of the page, and the unit in which their whole numbers count.
UNITS = {
    "step": 1.0,
    "t": 1e-3,
    "s": 1e-2,
    "lateral": 1e-3,
    "heading_error": 1e-4,
    "x": 1e-2,
    "y": 1e-2,
    "yaw": 1e-3,
    "speed": 1e-2,
    "curvature": 1e-5,
    "action_curvature": 1e-5,
    "action_acceleration": 1e-3,
    "validity": 1e-4,
    "lateral_acceleration": 1e-3,
    "recorded_curvature": 1e-5,
    "recorded_speed": 1e-2,
}
REWARD_UNIT = 1e-4
LARGEST = 2.0**52  # whole numbers that JavaScript keeps


def reward_names(sheet: Sheet) -> list[str]:
    """Columns of reward terms, the sum first."""
    terms = [name for name in sheet.steps if name.startswith("reward_")]
    return ["reward", *terms] if terms or "reward" in sheet.steps else []


def step_data(sheet: Sheet, roads: dict[int, RecordedRoad], traces: list[int], every: int) -> Any:
    """Columns of the steps, and for each episode of each column its changes.

    Returns:
        {"columns": [[name, unit], ...], "every": n, "episodes": {"3": [[...], null, ...]}}; a
        column without any value is null. Of each column the first number is itself, the
        others are less the one before; what is not known is null and changes nothing.
    """
    rewards = reward_names(sheet)
    units = UNITS | dict.fromkeys(rewards, REWARD_UNIT)
    numbers = sheet.episodes["episode"].tolist()
    episodes = {}
    for row, number in enumerate(numbers):
        steps = sheet.steps_of(row)
        count = rows(steps)
        picked = np.unique(np.append(np.arange(0, count, every), max(count - 1, 0)))[:count]
        values = {name: floats(steps, name) for name in units}
        values["lateral_acceleration"] = lateral_acceleration(steps)
        road = roads.get(traces[row])
        if road is not None:
            driven = road.driven_at(values["s"])
            values["recorded_curvature"], values["recorded_speed"] = driven
        episodes[str(int(number))] = [
            changes(values[name][picked], unit) for name, unit in units.items()
        ]
    return {
        "columns": [[name, unit] for name, unit in units.items()],
        "every": every,
        "episodes": episodes,
    }


def changes(values: Floats, unit: float) -> list[int | None] | None:
    """Whole numbers of a unit, each less the last known one before it; None without any."""
    there = np.isfinite(values)
    there[there] = np.abs(values[there] / unit) < LARGEST
    if not there.any():
        return None
    whole = np.round(values[there] / unit)
    steps = iter(np.diff(whole, prepend=0.0).astype(np.int64).tolist())
    return [next(steps) if known else None for known in there.tolist()]


def thinning(sheets: list[Sheet]) -> int:
    """Of how many steps one is shown, so that the page stays small."""
    total = sum(rows(sheet.steps) for sheet in sheets)
    return max(1, math.ceil(total / MOST_STEPS))

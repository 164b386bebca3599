"""The table of episodes as the page's own code gets it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vista_sim.evaluation.metrics.comfort import lateral_acceleration
from vista_sim.evaluation.metrics.tables import Floats, floats, known, largest, mean, rows, texts
from vista_sim.evaluation.metrics.tracking import cross_track_error
from vista_sim.report.columns import reward_names
from vista_sim.report.heat import start_keys
from vista_sim.report.sheet import OUTCOMES, Sheet
from vista_sim.runs.endings import in_words


def run_data(sheet: Sheet, traces: list[int]) -> dict[str, Any]:
    """The table of episodes of a run, a list for each column."""
    episodes = sheet.episodes
    steps = [sheet.steps_of(row) for row in range(len(sheet.spans))]
    names = sheet.case_names
    labels, keys = texts(episodes, "trace_name"), _pair_keys(sheet)
    columns: dict[str, list[Any]] = {
        "id": [int(n) for n in episodes["episode"]],
        "driver": texts(episodes, "driver").tolist(),
        "kind": [k.replace("_", " ") for k in texts(episodes, "kind").tolist()],
        "scenario": [s or t for (s, _), t in zip(names, labels.tolist(), strict=True)],
        "case": [case for _, case in names],
        "title": list(sheet.titles),
        "trace": traces,
        "outcome": [OUTCOMES.index(outcome) for outcome in sheet.outcomes],
        "ending": [in_words(ending) for ending in texts(episodes, "ending").tolist()],
        "failure": texts(episodes, "failure").tolist(),
        "start_lateral": _numbers(floats(episodes, "start_lateral"), 3),
        "start_heading": _numbers(np.degrees(floats(episodes, "start_heading")), 2),
        "start_s": _numbers(floats(episodes, "start_s"), 2),
        "duration": _numbers(floats(episodes, "duration"), 2),
        "distance": _numbers(floats(episodes, "distance"), 1),
        "recovery_time": _numbers(floats(episodes, "recovery_time"), 2),
        "mean_error": _numbers([mean(cross_track_error(own)) for own in steps], 3),
        "max_error": _numbers([largest(cross_track_error(own)) for own in steps], 3),
        "acceleration": _numbers([largest(lateral_acceleration(own)) for own in steps], 2),
        "seen": _numbers([100 * _least(floats(own, "validity")) for own in steps], 1),
        "cell": start_keys(sheet),
        "pair": keys,
    }
    return {
        "letter": sheet.letter,
        "policy": sheet.policy,
        "folder": sheet.run.folder.name,
        "episodes": columns,
        "rewards": reward_names(sheet),
        "filmed": rows(sheet.frames) > 0,
        "films": any((sheet.run.folder / "views").glob("*.mp4")),  # also of a run without frames
    }


def _pair_keys(sheet: Sheet) -> list[str]:
    """What the same episode is called in every run: its case, driver, and the how manieth."""
    seen: dict[str, int] = {}
    keys = []
    for (scenario, case), driver in zip(
        sheet.case_names, texts(sheet.episodes, "driver").tolist(), strict=True
    ):
        key = f"{scenario}\n{case}\n{driver}"
        seen[key] = seen.get(key, 0) + 1
        keys.append(f"{key}\n{seen[key]}" if case else "")
    return keys


def case_links(sheet: Sheet) -> dict[tuple[str, str], str]:
    """Where on the page the gravest episode of each case of a run is."""
    best: dict[tuple[str, str], tuple[int, int]] = {}
    for row, names in enumerate(sheet.case_names):
        if sheet.by_policy[row]:
            gravity = (OUTCOMES.index(sheet.outcomes[row]), int(sheet.episodes["episode"][row]))
            best[names] = min(best.get(names, gravity), gravity)
    return {names: f"#run={sheet.index}&episode={number}" for names, (_, number) in best.items()}


def _least(values: Floats) -> float:
    there = known(values)
    return float(there.min()) if len(there) else math.nan


def _numbers(values: Any, digits: int) -> list[float | None]:
    return [round(v, digits) if math.isfinite(v) else None for v in map(float, values)]

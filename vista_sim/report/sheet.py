"""A run read and checked for the page: what was driven, episode by episode."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vista_sim.evaluation import cases as run_cases
from vista_sim.evaluation.metrics.recovery import EXPERT
from vista_sim.evaluation.metrics.tables import Table, floats, rows, select, texts
from vista_sim.runs.kinds import RECOVERY
from vista_sim.runs.run import EPISODE_FIELDS, Run, columns, read_run
from vista_sim.tasks.endings import CRASH
from vista_sim.tasks.recovery import RECOVERED, TIMED_OUT

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: How an episode went, the gravest first.
BROKE, CRASHED, LOST, MISSED, CUT_OFF, BACK, FINE = (
    "policy broke",
    "crashed",
    "not recovered",
    "missed",
    "cut off",
    "recovered",
    "clean",
)
OUTCOMES = (BROKE, CRASHED, LOST, MISSED, CUT_OFF, BACK, FINE)


@dataclass(frozen=True)
class Sheet:
    """A run as the page shows it.

    Args:
        index: of the run among those of the page, from 0.
        run: as read.
        episodes: table (see `metrics`) of all episodes, in order of their numbers; an episode
            that was cut off by a kill is there too, with the ending "".
        steps: table of all steps, episode by episode, in order of time.
        frames, roads: tables; without rows in older runs.
        spans: for each row of `episodes` between which rows of `steps` it is.
        finished: (episodes,) whether each came to its end.
    """

    index: int
    run: Run
    episodes: Table
    steps: Table
    frames: Table
    roads: Table
    spans: tuple[tuple[int, int], ...]
    finished: NDArray[np.bool_]

    @property
    def letter(self) -> str:
        """What the run is called on the page: A, B, and so on."""
        return LETTERS[self.index]

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self.run.info.get("status") == "complete"

    @property
    def policy(self) -> str:
        """What the policy is called on the page."""
        return self.run.policy_name

    def steps_of(self, row: int) -> dict[str, NDArray[Any]]:
        """The steps of a row of `episodes`."""
        low, high = self.spans[row]
        return {name: column[low:high] for name, column in self.steps.items()}

    @cached_property
    def by_policy(self) -> NDArray[np.bool_]:
        """(episodes,) whether the policy drove it, not the expert beside it."""
        return np.asarray(texts(self.episodes, "driver") != EXPERT)

    @cached_property
    def outcomes(self) -> tuple[str, ...]:
        """How each episode went, one of `OUTCOMES`."""
        columns = [texts(self.episodes, n) for n in ("ending", "ending_kind", "failure")]
        told = zip(*columns, self.episodes["missed"], self.finished, strict=True)
        return tuple(_outcome(*row) for row in told)

    @cached_property
    def case_names(self) -> tuple[tuple[str, str], ...]:
        """(scenario, case) of each episode; ("", "") where it is not known."""
        found = [("", "")] * rows(self.episodes)
        if self.finished.any():
            where = {int(n): row for row, n in enumerate(self.episodes["episode"])}
            for case in run_cases.split(self.steps, select(self.episodes, self.finished)):
                for number in case.tables.episodes["episode"].tolist():
                    found[where[number]] = (case.scenario, case.name)
        return tuple(found)

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """What each episode is called on the page: its case; of a start of a recovery test, where.

        The names of such starts are long, with angles in radians.
        """
        kinds, traces = texts(self.episodes, "kind"), texts(self.episodes, "trace_name")
        found = []
        for row, (scenario, case) in enumerate(self.case_names):
            title = case or f"episode {int(self.episodes['episode'][row])}"
            start = self._start(row)
            if case and kinds[row] == RECOVERY and start:
                trace = str(traces[row])
                where = scenario if trace in scenario else f"{scenario} on {trace}"
                title = f"{where} from {start}"
            found.append(title)
        return tuple(found)

    def _start(self, row: int) -> str:
        """Where an episode began, such as "s = 133 m, -0.5 m, -3°"; "" where it is not known."""
        names = ("start_s", "start_lateral", "start_heading")
        s, lateral, heading = (float(floats(self.episodes, name)[row]) for name in names)
        if math.isnan(s + lateral + heading):
            return ""
        return f"s = {s:.0f} m, {signed(lateral, 2)} m, {signed(math.degrees(heading), 1)}°"


def read_sheet(folder: str | os.PathLike[str], index: int = 0) -> Sheet:
    """Read a run, also one that was interrupted or is old.

    Raises:
        RunError: it is missing, malformed or of a newer version.
    """
    run = read_run(folder)
    episodes, steps = columns(run.episodes), columns(run.steps)
    frames, roads = columns(run.frames), columns(run.roads)
    steps = select(steps, np.lexsort((steps["step"], steps["episode"])))
    numbers, first = np.unique(episodes["episode"], return_index=True)
    episodes = select(episodes, first)
    begun, start = np.unique(steps["episode"], return_index=True)
    ends = [*start[1:].tolist(), rows(steps)][: len(start)]
    bounds = dict(zip(begun.tolist(), zip(start.tolist(), ends, strict=True), strict=True))
    cut_off = np.setdiff1d(begun, numbers)
    finished = np.ones(len(numbers), dtype=bool)
    if len(cut_off):
        rest = [_unfinished(int(n), steps, bounds[int(n)]) for n in cut_off]
        episodes = _with_rows(episodes, rest)
        finished = np.concatenate([finished, np.zeros(len(rest), dtype=bool)])
        order = np.argsort(episodes["episode"], kind="stable")
        episodes, finished = select(episodes, order), finished[order]
    spans = tuple(bounds.get(int(n), (0, 0)) for n in episodes["episode"])
    return Sheet(index, run, episodes, steps, frames, roads, spans, finished)


def signed(value: float, digits: int) -> str:
    """A number with its sign and without useless zeros; never -0."""
    text = f"{value:+.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("+0", "-0") else text


def mapping(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping in run.json; empty where there is none, or something else."""
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def _outcome(ending: str, kind: str, failure: str, missed: bool, finished: bool) -> str:
    if failure:
        return BROKE
    if kind == CRASH:
        return CRASHED
    if ending == TIMED_OUT:
        return LOST
    if missed:
        return MISSED
    if not finished:
        return CUT_OFF
    return BACK if ending == RECOVERED else FINE


def _unfinished(number: int, steps: Table, bounds: tuple[int, int]) -> dict[str, Any]:
    """A row for an episode of which only steps were written."""
    low, high = bounds
    s = floats(steps, "s")[low:high]
    x, y = floats(steps, "x")[low:high], floats(steps, "y")[low:high]
    return {
        "episode": number,
        "driver": "policy",
        "start_s": s[0],
        "end_s": s[-1],
        "start_lateral": floats(steps, "lateral")[low],
        "start_heading": floats(steps, "heading_error")[low],
        "steps": high - low - 1,
        "duration": floats(steps, "t")[high - 1],
        "distance": float(np.nansum(np.hypot(np.diff(x), np.diff(y)))),
    }


def _with_rows(episodes: Table, more: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    result = {}
    for name, kind in EPISODE_FIELDS.items():
        blank: Any = "" if pa.types.is_string(kind) else float("nan")
        blank = False if pa.types.is_boolean(kind) else blank
        own = np.array([row.get(name, blank) for row in more])
        old = episodes.get(name, np.full(rows(episodes), blank))
        own = own.astype(object) if pa.types.is_string(kind) else own
        result[name] = np.concatenate([old, own])
    return result

"""Judges runs from their tables: every metric with its confidence interval.

A metric of a whole run puts the cases of all scenarios together. In a run of a suite a scenario
counts with its weight, whatever the number of its cases; in a run of plain traces every case
counts as it was driven, so that the values are those that `vista-sim evaluate` prints. Counts
and distances are of what was driven, without weights.

Intervals are by a bootstrap over scenarios and, within them, independent cases. With fewer than
six of these there is none (see `resampling.enough`), but for numbers and rates of crashes and
interventions: those are then taken for Poisson processes, and always where none was seen.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vista_sim.errors import RunError
from vista_sim.evaluation import cases as run_cases
from vista_sim.evaluation.cases import JudgedCase
from vista_sim.evaluation.metrics import composite
from vista_sim.evaluation.metrics.measures import (
    RECOVERY_MEASURES,
    SCORE_MEASURES,
    Measure,
    driving_measures,
)
from vista_sim.evaluation.metrics.pools import Pool, RatioPool, TotalPool
from vista_sim.evaluation.metrics.tables import Floats, Table
from vista_sim.evaluation.metrics.validity import VALID
from vista_sim.evaluation.resampling import (
    enough,
    hierarchical_counts,
    numbered,
    percentile_interval,
)
from vista_sim.evaluation.statistics import (
    DRAWS,
    LEVEL,
    Interval,
    poisson_interval,
    zero_rate_limit,
)
from vista_sim.runs.kinds import DRIVING, RECOVERY
from vista_sim.runs.run import Run, columns, read_run


@dataclass(frozen=True)
class JudgingSettings:
    """How a run is judged.

    Args:
        valid: share of recorded pixels below which a view counts as beyond validity.
        level: of confidence.
        draws: of the bootstrap.
        seed: of its chance.
    """

    valid: float = VALID
    level: float = LEVEL
    draws: int = DRAWS
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.valid <= 1:
            raise RunError(f"valid is {self.valid}; it must be a share from 0 to 1")
        if not 0 < self.level < 1:
            raise RunError(f"level is {self.level}; it must be between 0 and 1")
        if self.draws < 1:
            raise RunError(f"draws is {self.draws}; it must be at least 1")

    def measures(self, kind: str) -> tuple[Measure, ...]:
        """What cases of a kind are judged by."""
        if kind == RECOVERY:
            return RECOVERY_MEASURES
        return (*driving_measures(self.valid), *SCORE_MEASURES)


ALL = "all"  # what all scenarios are called together


@dataclass(frozen=True)
class Verdict:
    """Metrics of some cases.

    Args:
        name: of the scenario, or "all".
        cases: how many.
        metrics: by name, with intervals.
    """

    name: str
    cases: int
    metrics: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; what was not measured is null."""
        metrics = {name: found.to_json() for name, found in self.metrics.items()}
        return {"name": self.name, "cases": self.cases, "metrics": metrics}


@dataclass(frozen=True)
class Judgement:
    """What a run came to: all of it, and each scenario; the terms of the scores of each case."""

    overall: Verdict
    scenarios: tuple[Verdict, ...]
    scores: dict[str, tuple[composite.Score, ...]]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; what was not measured or is not applicable is null."""
        return {
            "overall": self.overall.to_json(),
            "scenarios": [verdict.to_json() for verdict in self.scenarios],
            "scores": {
                case: [score.to_json() for score in scores] for case, scores in self.scores.items()
            },
        }


def judge(run: Run | str | os.PathLike[str], settings: JudgingSettings | None = None) -> Judgement:
    """Judge a run by all metrics, also an old or an interrupted one.

    Raises:
        RunError: the run cannot be read, or holds no finished episode.
    """
    if not isinstance(run, Run):
        run = read_run(run)
    if not run.episodes.num_rows:
        raise RunError(f"{run.folder}: holds no finished episode, so there is nothing to judge")
    return judge_tables(columns(run.steps), columns(run.episodes), settings)


def judge_tables(
    steps: Table, episodes: Table, settings: JudgingSettings | None = None
) -> Judgement:
    """Judge a run's tables; see `judge`."""
    settings = settings or JudgingSettings()
    cases = run_cases.split(steps, episodes)
    weighted = run_cases.of_suite(episodes)
    groups: dict[str, list[JudgedCase]] = {}
    for case in cases:
        groups.setdefault(case.scenario, []).append(case)
    scenarios = tuple(judge_cases(name, own, weighted, settings) for name, own in groups.items())
    scores = {case.name: composite.scores(case.tables) for case in cases if case.kind == DRIVING}
    if len(scenarios) == 1:
        overall = dataclasses.replace(scenarios[0], name=ALL)
    else:
        overall = judge_cases(ALL, cases, weighted, settings)
    return Judgement(overall, scenarios, scores)


def case_weights(cases: Sequence[JudgedCase], weighted: bool) -> Floats:
    """What each case counts, (n,): its scenario's weight over the number of its cases, or 1."""
    if not weighted:
        return np.ones(len(cases))
    sizes: dict[str, int] = {}
    for case in cases:
        sizes[case.scenario] = sizes.get(case.scenario, 0) + 1
    return np.array([case.weight / sizes[case.scenario] for case in cases])


def draw_counts(cases: Sequence[JudgedCase], settings: JudgingSettings) -> Floats | None:
    """How often each case counts in each draw of the bootstrap, (draws, n).

    None where they belong to too few units for anything to be said.
    """
    clusters = numbered([case.cluster for case in cases])
    units = numbered([case.unit for case in cases])
    if not enough(int(units.max()) + 1, settings.level):
        return None
    rng = np.random.default_rng(settings.seed)
    return hierarchical_counts(clusters, units, settings.draws, rng)


def of_kind(cases: Sequence[JudgedCase], kind: str) -> list[JudgedCase]:
    """Those cases that are judged by the measures of a kind."""
    return [case for case in cases if case.kind == kind]


def judge_cases(
    name: str, cases: Sequence[JudgedCase], weighted: bool, settings: JudgingSettings
) -> Verdict:
    """Judge some cases together.

    Args:
        name: what they are called together.
        cases: of a run, as `cases.split` gives them.
        weighted: whether each counts by `case_weights`, or all alike.
        settings: of the judging.
    """
    metrics: dict[str, Interval] = {}
    for kind in (DRIVING, RECOVERY):
        own = of_kind(cases, kind)
        if not own:
            continue
        weights = case_weights(own, weighted)
        counts = draw_counts(own, settings)
        for measure in settings.measures(kind):
            pool = measure.pool([case.tables for case in own])
            metrics[measure.name] = _interval(measure, pool, weights, counts, settings.level)
    return Verdict(name, len(cases), metrics)


def _interval(
    measure: Measure, pool: Pool, weights: Floats, counts: Floats | None, level: float
) -> Interval:
    once = np.ones((1, len(weights)))
    value = float(pool(weights * once, once)[0])
    value = value if math.isfinite(value) else math.nan
    if measure.kind == "count" and isinstance(pool, TotalPool):
        count = round(float(np.nansum(pool.values)))
        if not count or counts is None:
            return Interval(value, *_rate_of_events(count, 1.0, level))
    elif measure.kind != "plain" and isinstance(pool, RatioPool):
        events = pool.parts if measure.kind == "rate" else pool.wholes
        exposure = pool.wholes if measure.kind == "rate" else pool.parts
        count = round(float(events.sum()))
        if not count or counts is None:
            low, high = _rate_of_events(count, float(exposure.sum()), level)
            if measure.kind == "gap":
                low, high = (1 / end if end else math.nan for end in (high, low))
            return Interval(value, pool.scale * low, pool.scale * high)
    if counts is None:
        return Interval(value, math.nan, math.nan)
    return Interval(value, *percentile_interval(pool(weights * counts, counts), level))


def _rate_of_events(count: int, exposure: float, level: float) -> tuple[float, float]:
    """Limits of a rate that few cases show, or of one of which no event was seen."""
    if count:
        found = poisson_interval(count, exposure, level)
        return found.low, found.high
    return 0.0, zero_rate_limit(exposure, level)

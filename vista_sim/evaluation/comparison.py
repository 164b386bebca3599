"""Compares two runs case by case: what differs by more than chance, and what got worse.

Cases are paired by name (see `cases`); only pairs count. For each metric the difference is that
of the metric over all pairs, with an interval by a bootstrap that draws pairs, and a p-value by
swapping the labels of the two runs within pairs. Metrics of whole runs are one family of tests,
adjusted by Holm: with probability 95 % none of them is a false alarm. Metrics by scenarios are
a second one, adjusted by Benjamini and Hochberg: of those found, 5 % are false on average. Where
fewer than six independent pairs are at hand, no difference could be told from chance at 5 %, and
none is tested (Tarone, "A modified Bonferroni method for discrete data", 1990).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import RunError
from vista_sim.evaluation import cases as run_cases
from vista_sim.evaluation.cases import DRIVING, RECOVERY, Case
from vista_sim.evaluation.judging import Settings, case_weights, draw_counts, of_kind
from vista_sim.evaluation.metrics.measures import Measure
from vista_sim.evaluation.metrics.tables import Floats
from vista_sim.evaluation.resampling import (
    benjamini_hochberg,
    enough,
    holm,
    numbered,
    percentile_interval,
    relabelling_p_value,
)
from vista_sim.evaluation.runs import Run, columns, read_run
from vista_sim.evaluation.statistics import Interval

Direction = Literal["better", "worse", "same", "different"]
Pair = tuple[Case, Case]

#: Settings of a run without which its numbers mean something else, and what they are called.
SETTINGS = {
    "dt": "step",
    "views": "views",
    "section": "section",
    "seed": "seed",
    "cases_sha256": "what the suite's cases fix (SHA-256)",
}
#: What says how a case went, the gravest first; see `Regression`.
GRAVITY = (
    "policy_failures",
    "crashes",
    "recovery_rate",
    "share_without_intervention",
    "mean_cross_track_error_m",
    "mean_recovery_time_s",
)
OUTCOMES = GRAVITY[:4]


@dataclass(frozen=True)
class Difference:
    """A metric in two runs.

    Args:
        scenario: its name, or "all".
        metric: its name.
        better: "lower", "higher" or "neither".
        a, b: the metric over the pairs.
        change: b minus a, with its interval.
        pairs: of cases that it is over.
        tested: whether it is one of the metrics that are tested where there is enough to test.
        p_value: of the test before it is adjusted; NaN where none was made.
        adjusted: the p-value adjusted for all tests of its family.
        significant: whether that is below 1 less the level of confidence.
    """

    scenario: str
    metric: str
    better: str
    a: float
    b: float
    change: Interval
    pairs: int
    tested: bool
    p_value: float
    adjusted: float = math.nan
    significant: bool = False

    @property
    def direction(self) -> Direction:
        """What the change is for a user."""
        change = self.change.value
        if math.isnan(change) or change == 0:
            return "same"
        if self.better == "neither":
            return "different"
        return "better" if (change > 0) == (self.better == "higher") else "worse"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; NaN is null."""
        values: dict[str, Any] = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in vars(self).items()
        }
        values["change"] = self.change.to_json()
        return values | {"direction": self.direction}


@dataclass(frozen=True)
class Regression:
    """A case that went worse in the second run.

    Args:
        scenario, case: which.
        changes: (metric, a, b) of what got worse, the gravest first: broken policies, crashes,
            recoveries lost, road not driven by itself, cross-track error, recovery time.
    """

    scenario: str
    case: str
    changes: tuple[tuple[str, float, float], ...]

    @property
    def grave(self) -> bool:
        """Whether how the case ended got worse, and not only how closely or fast it was driven."""
        return any(name in OUTCOMES for name, _, _ in self.changes)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; NaN is null."""
        return {
            "scenario": self.scenario,
            "case": self.case,
            "grave": self.grave,
            "changes": [
                {"metric": name, "a": _number(a), "b": _number(b)} for name, a, b in self.changes
            ],
        }


@dataclass(frozen=True)
class Comparison:
    """Two runs, a and b, side by side.

    Args:
        a, b: their names.
        pairs: cases that both have.
        units: how many independent ones they are, of driving or recovery, whichever has more.
        only_a, only_b: names of cases that one alone has.
        warnings: settings in which the runs differ, a line each.
        overall: of all scenarios together.
        scenarios: by scenario; what is significantly worse first, then the rest.
        regressions: the worst first.
        level: of confidence.
    """

    a: str
    b: str
    pairs: int
    units: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    warnings: tuple[str, ...]
    overall: tuple[Difference, ...]
    scenarios: tuple[Difference, ...]
    regressions: tuple[Regression, ...]
    level: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; NaN is null."""
        return {
            "a": self.a,
            "b": self.b,
            "pairs": self.pairs,
            "units": self.units,
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
            "warnings": list(self.warnings),
            "level": self.level,
            "overall": [found.to_json() for found in self.overall],
            "scenarios": [found.to_json() for found in self.scenarios],
            "regressions": [found.to_json() for found in self.regressions],
        }


def compare(
    a: Run | str | os.PathLike[str],
    b: Run | str | os.PathLike[str],
    settings: Settings | None = None,
    partial: bool = False,
) -> Comparison:
    """Compare two runs.

    Args:
        a, b: the earlier run, and the one that may be better or worse.
        settings: of the judging.
        partial: take interrupted runs too, without the case that was being driven.

    Raises:
        RunError: a run cannot be read, was interrupted, or they have no case in common.
    """
    settings = settings or Settings()
    run_a, run_b = (run if isinstance(run, Run) else read_run(run) for run in (a, b))
    cases_a, cases_b = (_cases(run, partial) for run in (run_a, run_b))
    pairs, only_a, only_b = _pair(cases_a, cases_b)
    if not pairs:
        raise RunError(
            f"{run_a.folder} and {run_b.folder} have no case in common (such as "
            f"{_example(cases_a)!r} and {_example(cases_b)!r}); compare runs of the same suite, "
            "or of the same traces and seed"
        )
    weighted = bool(_named_suites(run_a, run_b))
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair[0].scenario, []).append(pair)
    alpha = 1 - settings.level
    overall = _adjust(_differences("all", pairs, weighted, settings), holm, alpha)
    by_scenario = [
        found
        for name, own in groups.items()
        for found in _differences(name, own, weighted, settings)
    ]
    scenarios = _adjust(by_scenario, benjamini_hochberg, alpha)
    return Comparison(
        str(run_a.folder),
        str(run_b.folder),
        len(pairs),
        _units(pairs),
        only_a,
        only_b,
        _warnings(run_a, run_b),
        tuple(overall),
        tuple(sorted(scenarios, key=_worst_first)),
        tuple(_regressions(pairs, settings)),
        settings.level,
    )


def _cases(run: Run, partial: bool) -> tuple[Case, ...]:
    status = run.info.get("status")
    if status != "complete" and not partial:
        raise RunError(
            f"{run.folder}: the run did not end (status {status!r}); finish it, or compare the "
            "cases that it has with --partial"
        )
    if not run.episodes.num_rows:
        raise RunError(f"{run.folder}: holds no finished episode, so there is nothing to compare")
    cases = run_cases.split(columns(run.steps), columns(run.episodes))
    if status == "complete":
        return cases
    # The case of the last episode may not have come to its end.
    last = max(cases, key=lambda case: int(case.tables.episodes["episode"].max()))
    return tuple(case for case in cases if case is not last)


def _pair(
    cases_a: Sequence[Case], cases_b: Sequence[Case]
) -> tuple[list[Pair], tuple[str, ...], tuple[str, ...]]:
    """Pairs in the order of a, and the names that one run alone has."""
    of_b = {(case.kind, case.scenario, case.name): case for case in cases_b}
    pairs, only_a = [], []
    for case in cases_a:
        other = of_b.pop((case.kind, case.scenario, case.name), None)
        if other is None:
            only_a.append(case.name)
        else:
            pairs.append((case, other))
    return pairs, tuple(only_a), tuple(case.name for case in of_b.values())


def _units(pairs: Sequence[Pair]) -> int:
    return max(len({a.unit for a, _ in pairs if a.kind == kind}) for kind in (DRIVING, RECOVERY))


def _example(cases: Sequence[Case]) -> str:
    return cases[0].name if cases else "none"


def _named_suites(*runs: Run) -> bool:
    return all(run_cases.of_suite(columns(run.episodes)) for run in runs)


def _warnings(a: Run, b: Run) -> tuple[str, ...]:
    """Settings in which two runs differ, a line each."""
    found = []
    for name, label in SETTINGS.items():
        first, second = a.info.get(name), b.info.get(name)
        if first != second:
            found.append(f"the runs differ in {label}: {_shown(first)} and {_shown(second)}")
    first, second = (run.info.get("versions", {}).get("vista-sim") for run in (a, b))
    if first != second:
        found.append(f"the runs differ in vista-sim: {_shown(first)} and {_shown(second)}")
    return tuple(found)


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _differences(
    scenario: str, pairs: Sequence[Pair], weighted: bool, settings: Settings
) -> list[Difference]:
    """Of each metric, not yet adjusted for their number."""
    found = []
    for kind in (DRIVING, RECOVERY):
        own = [pair for pair in pairs if pair[0].kind == kind]
        if not own:
            continue
        firsts = of_kind([pair[0] for pair in own], kind)
        weights = case_weights(firsts, weighted)
        counts = draw_counts(firsts, settings)
        units = numbered([case.unit for case in firsts])
        found += [
            _difference(scenario, measure, own, weights, counts, units, settings)
            for measure in settings.measures(kind)
        ]
    return found


def _difference(
    scenario: str,
    measure: Measure,
    pairs: Sequence[Pair],
    weights: Floats,
    counts: Floats | None,
    units: NDArray[np.int64],
    settings: Settings,
) -> Difference:
    a = measure.pool([pair[0].tables for pair in pairs])
    b = measure.pool([pair[1].tables for pair in pairs])
    once = np.ones((1, len(pairs)))
    value_a, value_b = (_finite(float(pool(weights * once, once)[0])) for pool in (a, b))
    low = high = p_value = math.nan
    if counts is not None:
        with np.errstate(invalid="ignore"):  # infinite less infinite is not known
            drawn = b(weights * counts, counts) - a(weights * counts, counts)
        low, high = percentile_interval(drawn, settings.level)
    # With so few units that nothing could be found, a test would only burden the others.
    if measure.tested and enough(int(units.max()) + 1, settings.level):
        both = measure.pool([case.tables for side in (0, 1) for case in _side(pairs, side)])

        def change(swaps: NDArray[np.bool_]) -> Floats:
            """Of b over a, (k,), with the labels of some pairs (k, n) swapped."""
            as_b = np.concatenate([swaps, ~swaps], axis=1).astype(np.float64)
            doubled = np.concatenate([weights, weights])
            as_a = 1.0 - as_b
            with np.errstate(invalid="ignore"):
                return np.asarray(both(as_b * doubled, as_b) - both(as_a * doubled, as_a))

        p_value = relabelling_p_value(change, units, np.random.default_rng(settings.seed))
    return Difference(
        scenario,
        measure.name,
        measure.better,
        value_a,
        value_b,
        Interval(value_b - value_a, low, high),
        len(pairs),
        measure.tested,
        p_value,
    )


def _side(pairs: Sequence[Pair], side: int) -> list[Case]:
    return [pair[side] for pair in pairs]


def _adjust(found: Sequence[Difference], method: Any, alpha: float) -> list[Difference]:
    adjusted = method([difference.p_value for difference in found])
    return [
        replace(difference, adjusted=p, significant=bool(p <= alpha))
        for difference, p in zip(found, adjusted, strict=True)
    ]


def _worst_first(found: Difference) -> tuple[bool, bool, float]:
    """What is significant before what is not, the worse before the better, the surer first."""
    p_value = found.adjusted if not math.isnan(found.adjusted) else 2.0
    return not found.significant, found.direction != "worse", p_value


def _regressions(pairs: Sequence[Pair], settings: Settings) -> list[Regression]:
    found = []
    for a, b in pairs:
        grave = []
        changes = []
        measures = {measure.name: measure for measure in settings.measures(a.kind)}
        for name in GRAVITY:
            measure = measures.get(name)
            if measure is None:
                grave.append(0.0)
                continue
            before, after = measure.of(a.tables), measure.of(b.tables)
            loss = before - after if measure.better == "higher" else after - before
            loss = 0.0 if math.isnan(loss) else loss
            grave.append(loss)
            if loss > 0:
                changes.append((name, before, after))
        # The gravest thing that changed at all says whether the case went worse.
        first = next((loss for loss in grave if abs(loss) > 1e-9), 0.0)
        if first > 0:
            found.append((grave, Regression(a.scenario, a.name, tuple(changes))))
    found.sort(key=lambda item: [-loss for loss in item[0]])
    return [regression for _, regression in found]


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _number(value: float) -> float | None:
    """NaN is not JSON."""
    return None if math.isnan(value) else value

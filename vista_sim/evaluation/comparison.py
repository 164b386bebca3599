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
from vista_sim.evaluation.judging import JudgingSettings, case_weights, draw_counts
from vista_sim.evaluation.metrics.measures import Measure
from vista_sim.evaluation.metrics.tables import Floats
from vista_sim.evaluation.pairing import (
    Pair,
    example,
    finished_cases,
    independent,
    pair_up,
    sameness,
)
from vista_sim.evaluation.plain import or_null
from vista_sim.evaluation.regressions import Regression, find_regressions
from vista_sim.evaluation.resampling import (
    benjamini_hochberg,
    enough,
    holm,
    numbered,
    percentile_interval,
    relabelling_p_value,
)
from vista_sim.evaluation.statistics import Interval
from vista_sim.identity.runs import policy_of, versions_of
from vista_sim.runs.kinds import DRIVING, RECOVERY
from vista_sim.runs.run import Run, columns, read_run

Direction = Literal["better", "worse", "same", "different"]


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
            name: or_null(value) if isinstance(value, float) else value
            for name, value in vars(self).items()
        }
        values["change"] = self.change.to_json()
        return values | {"direction": self.direction}


@dataclass(frozen=True)
class Comparison:
    """Two runs, a and b, side by side.

    Args:
        a, b: their names.
        pairs: cases that both have.
        units: how many independent ones they are, of driving or recovery, whichever has more.
        only_a, only_b: names of cases that one alone has.
        same_cases: whether the pairs are known to be the same cases: the same recordings, baked
            geometry, code and settings; None: it is not known.
        policies, versions: of a and of b, a line each.
        warnings: in what the runs differ, a line each.
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
    same_cases: bool | None
    policies: tuple[str, str]
    versions: tuple[str, str]
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
            "same_cases": self.same_cases,
            "policies": dict(zip("ab", self.policies, strict=True)),
            "versions": dict(zip("ab", self.versions, strict=True)),
            "warnings": list(self.warnings),
            "level": self.level,
            "overall": [found.to_json() for found in self.overall],
            "scenarios": [found.to_json() for found in self.scenarios],
            "regressions": [found.to_json() for found in self.regressions],
        }


def compare(
    a: Run | str | os.PathLike[str],
    b: Run | str | os.PathLike[str],
    settings: JudgingSettings | None = None,
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
    settings = settings or JudgingSettings()
    run_a, run_b = (run if isinstance(run, Run) else read_run(run) for run in (a, b))
    cases_a, cases_b = (finished_cases(run, partial) for run in (run_a, run_b))
    pairs, only_a, only_b = pair_up(cases_a, cases_b)
    if not pairs:
        raise RunError(
            f"{run_a.folder} and {run_b.folder} have no case in common (such as "
            f"{example(cases_a)!r} and {example(cases_b)!r}); compare runs of the same suite, "
            "or of the same traces and seed"
        )
    weighted = _named_suites(run_a, run_b)
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair[0].scenario, []).append(pair)
    alpha = 1 - settings.level
    alike = sameness(run_a, run_b, pairs)
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
        independent(pairs),
        only_a,
        only_b,
        alike.same,
        (policy_of(run_a.info), policy_of(run_b.info)),
        (versions_of(run_a.info), versions_of(run_b.info)),
        alike.warnings,
        tuple(overall),
        tuple(sorted(scenarios, key=_worst_first)),
        tuple(find_regressions(pairs, settings)),
        settings.level,
    )


def _named_suites(*runs: Run) -> bool:
    tables = (run.episodes.select(["scenario"]) for run in runs)
    return all(run_cases.of_suite(columns(table)) for table in tables)


def _differences(
    scenario: str, pairs: Sequence[Pair], weighted: bool, settings: JudgingSettings
) -> list[Difference]:
    """Of each metric, not yet adjusted for their number."""
    found = []
    for kind in (DRIVING, RECOVERY):
        own = [pair for pair in pairs if pair[0].kind == kind]
        if not own:
            continue
        firsts = [pair[0] for pair in own]
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
    settings: JudgingSettings,
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
        both = measure.pool([pair[side].tables for side in (0, 1) for pair in pairs])

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


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan

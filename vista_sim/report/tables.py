"""Summary, criteria and comparison as rows of text for the page; judged in `evaluation`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vista_sim.errors import RunError
from vista_sim.evaluation.comparison import Comparison, compare
from vista_sim.evaluation.comparison_report import closing, heading, overall_rows, what_got_worse
from vista_sim.evaluation.judging import Judgement, JudgingSettings, judge_tables
from vista_sim.evaluation.judging_report import interval, not_applicable
from vista_sim.evaluation.labels import BY_SCENARIO, number, shown
from vista_sim.evaluation.metrics.tables import select
from vista_sim.evaluation.statistics import Interval
from vista_sim.evaluation.suites.report import SHOWN
from vista_sim.report.sheet import Sheet, mapping

REGRESSIONS = 20  # shown at most
WHISKER = 120.0  # px
FIXED = ("recovery_starts",)  # settings of a run rather than findings, without an interval


@dataclass(frozen=True)
class Whisker:
    """An interval drawn as a line with a dot, px from the left of a drawing `WHISKER` wide."""

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class Figure:
    """A metric of a run as text, and drawn."""

    value: str
    interval: str
    whisker: Whisker | None


@dataclass(frozen=True)
class MetricRow:
    """A metric of all runs; `key`: whether it is one of those shown first."""

    label: str
    key: bool
    figures: list[Figure]


@dataclass(frozen=True)
class Criterion:
    """A criterion of a suite, and whether it is met."""

    text: str
    of: str
    value: str
    met: bool


@dataclass(frozen=True)
class Standing:
    """What a run came to as a whole.

    Args:
        passed: of a suite; None where nothing is asked or it is not known.
        word: passed, failed, cut off, or that there are no criteria.
        note: one line on what that is from.
        criteria: of the suite.
    """

    passed: bool | None
    word: str
    note: str
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True)
class Pairing:
    """Two runs compared; `error` says why they cannot be."""

    a: Sheet
    b: Sheet
    found: Comparison | None
    error: str = ""

    @property
    def heading(self) -> list[str]:
        """What is compared, without the runs' folders."""
        return [] if self.found is None else heading(self.found)[2:]

    @property
    def overall(self) -> list[tuple[str, ...]]:
        """Rows of all scenarios together: name, a, b, b less a, its interval, p, verdict."""
        found: list[tuple[str, ...]] = []
        for name, a, b, change, p, verdict in self._rows:
            value, _, interval_ = change.partition(" (")
            found.append((name, a, b, value, interval_.removesuffix(")"), p, verdict))
        return found

    @property
    def _rows(self) -> list[tuple[str, ...]]:
        return [] if self.found is None else overall_rows(self.found, False)

    @property
    def closing(self) -> list[str]:
        """How to read it."""
        return [] if self.found is None else closing(self.found)

    @property
    def scenarios(self) -> tuple[list[str], list[tuple[str, list[tuple[str, str, str]]]]]:
        """Heads, and for each scenario its cells: a, b, and how they differ beyond chance."""
        if self.found is None:
            return [], []
        known = {(d.scenario, d.metric): d for d in self.found.scenarios}
        names = list(dict.fromkeys(d.scenario for d in self.found.scenarios))
        metrics = [m for m in BY_SCENARIO if any((name, m) in known for name in names)]
        body = []
        for name in sorted(names):
            cells = []
            for metric in metrics:
                d = known.get((name, metric))
                if d is None:
                    cells.append(("", "", ""))
                    continue
                verdict = d.direction if d.significant else ""
                cells.append((number(metric, d.a), number(metric, d.b), verdict))
            body.append((name, cells))
        return [BY_SCENARIO[metric] for metric in metrics], body

    @property
    def regressions(self) -> list[tuple[str, str, str, str]]:
        """(scenario, case, what the page calls it, what got worse), the worst first."""
        if self.found is None:
            return []
        titles = dict(zip(self.b.case_names, self.b.titles, strict=True))
        return [
            (
                found.scenario,
                found.case,
                titles.get((found.scenario, found.case), found.case),
                what_got_worse(found),
            )
            for found in self.found.regressions[:REGRESSIONS]
        ]


def judged(sheet: Sheet, settings: JudgingSettings) -> Judgement | None:
    """A run judged as far as it came; None where it holds no finished episode."""
    if not sheet.finished.any():
        return None
    return judge_tables(sheet.steps, select(sheet.episodes, sheet.finished), settings)


def metric_rows(judgements: Sequence[Judgement | None]) -> list[MetricRow]:
    """All metrics of all runs, those shown first before the others."""
    own = [{} if j is None else j.overall.metrics for j in judgements]
    names = dict.fromkeys(name for metrics in own for name in metrics)
    first = [name for name in SHOWN if name in names]
    found = []
    for name in [*first, *(name for name in names if name not in first)]:
        intervals = [metrics.get(name) for metrics in own]
        drawn = intervals if name not in FIXED else [None] * len(own)
        if all(i is None or math.isnan(i.value) for i in intervals):
            continue
        whiskers = _whiskers(drawn)
        figures = [
            Figure("", "", None)
            if i is None
            else Figure(number(name, i.value), "" if name in FIXED else interval(name, i), whisker)
            for i, whisker in zip(intervals, whiskers, strict=True)
        ]
        found.append(MetricRow(shown(name)[0], name in SHOWN, figures))
    return found


def _whiskers(intervals: Sequence[Interval | None]) -> list[Whisker | None]:
    """On one scale for all runs, from nothing to a little beyond the largest end."""
    ends = [
        end
        for i in intervals
        if i is not None
        for end in (i.value, i.low, i.high)
        if math.isfinite(end)
    ]
    top = max((abs(end) for end in ends), default=0.0)
    drawn: list[Whisker | None] = []
    for i in intervals:
        if i is None or top == 0 or not all(map(math.isfinite, (i.value, i.low, i.high))):
            drawn.append(None)
            continue
        low, value, high = (
            round(4 + (WHISKER - 8) * max(end, 0.0) / top, 1) for end in (i.low, i.value, i.high)
        )
        drawn.append(Whisker(low, value, high))
    return drawn


def headline(judgement: Judgement | None) -> str:
    """What a run came to, in one line; "" where there is nothing to judge."""
    if judgement is None:
        return ""
    known = {
        name: number(name, found.value)
        for name, found in judgement.overall.metrics.items()
        if not math.isnan(found.value)
    }

    def count(name: str, one: str, many: str) -> str:
        return f"{known[name]} {one if known[name] == '1' else many}"

    parts = []
    if "crashes" in known and "distance_m" in known:
        parts.append(f"{count('crashes', 'crash', 'crashes')} in {known['distance_m']} m")
    if known.get("policy_failures", "0") != "0":
        parts.append(f"the policy broke {count('policy_failures', 'time', 'times')}")
    if "mean_cross_track_error_m" in known and "max_cross_track_error_m" in known:
        parts.append(
            f"{known['mean_cross_track_error_m']} m off the path on average, "
            f"{known['max_cross_track_error_m']} m at most"
        )
    if "recovery_rate" in known and "recovery_starts" in known:
        starts = count("recovery_starts", "start", "starts")
        parts.append(f"came back to the path from {known['recovery_rate']} % of {starts} beside it")
    return "; ".join(parts)


def left_out(judgement: Judgement | None) -> list[str]:
    """Terms of scores that do not apply, a line each."""
    return [] if judgement is None else not_applicable(judgement)


def standing(sheet: Sheet) -> Standing:
    """The verdict on a run as its own run.json has it."""
    info = sheet.run.info
    results = mapping(info, "results")
    criteria = tuple(_criteria(results.get("criteria")))
    if not sheet.complete:
        note = f"the run did not end (status {info.get('status')!r}); judged as far as it came"
        return Standing(None, "cut off", note, criteria)
    passed = results.get("passed")
    if not isinstance(passed, bool):
        return Standing(None, "no criteria", "nothing had to be passed", criteria)
    met = sum(criterion.met for criterion in criteria)
    parts = [f"{met} of {len(criteria)} criteria met"] if criteria else ["no criteria"]
    cases = mapping(results, "cases")
    for name, words in (("all", "case"), ("failed", "not clean"), ("broke", "broke the policy")):
        count = cases.get(name)
        if isinstance(count, int) and (count or name == "all"):
            parts.append(f"{count} {words}{'s' if name == 'all' and count != 1 else ''}")
    return Standing(passed, "passed" if passed else "failed", ", ".join(parts), criteria)


def _criteria(found: Any) -> list[Criterion]:
    criteria = []
    for one in found if isinstance(found, list) else ():
        if not isinstance(one, Mapping):
            continue
        name = str(one.get("metric"))
        value = one.get("value")
        bounds = [
            f"{words} {number(name, float(one[key]))}"
            for key, words in (("min", "at least"), ("max", "at most"))
            if isinstance(one.get(key), int | float)
        ]
        text = f"{shown(name)[0]}: {' and '.join(bounds)}"
        shown_value = number(name, float(value)) if isinstance(value, int | float) else "-"
        criteria.append(
            Criterion(text, str(one.get("of", "")), shown_value, one.get("passed") is True)
        )
    return criteria


def pairings(sheets: Sequence[Sheet], settings: JudgingSettings) -> list[Pairing]:
    """The first run compared with each of the others, as far as they came."""
    found = []
    for other in sheets[1:]:
        try:
            comparison = compare(sheets[0].run, other.run, settings, partial=True)
        except RunError as error:
            found.append(Pairing(sheets[0], other, None, str(error)))
        else:
            found.append(Pairing(sheets[0], other, comparison))
    return found

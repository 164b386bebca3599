"""How each case of a suite went, and whether the suite is passed.

A suite is passed if every requirement of its files is met, the policy never broke, and every case
of a scenario that no requirement is about is clean.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vista_sim.errors import ScenarioError
from vista_sim.evaluation import cases as run_cases
from vista_sim.evaluation.cases import JudgedCase
from vista_sim.evaluation.judging import Judgement, JudgingSettings, judge_cases
from vista_sim.evaluation.metrics.recovery import EXPERT
from vista_sim.evaluation.metrics.tables import Table
from vista_sim.evaluation.statistics import Interval
from vista_sim.runs.kinds import DRIVING, RECOVERY
from vista_sim.scenarios.criteria import Requirement
from vista_sim.scenarios.settings import RECOVERY as RECOVERY_MODE
from vista_sim.scenarios.suite import Suite
from vista_sim.tasks.endings import CRASH
from vista_sim.tasks.recovery import TIMED_OUT

Outcome = Literal["clean", "failed", "broke"]
CLEAN: Outcome = "clean"
FAILED: Outcome = "failed"
BROKE: Outcome = "broke"


@dataclass(frozen=True)
class CaseOutcome:
    """How a case went.

    Args:
        scenario, case: which.
        outcome: "clean"; "failed": not clean, the car crashed, did not recover, or did not come
            to what its task asks; "broke": the policy did.
        crashes: how many.
        reason: in one line; "" where it was clean.
        seconds: simulated with the policy.
    """

    scenario: str
    case: str
    outcome: Outcome
    crashes: int
    reason: str
    seconds: float


def case_outcome(episodes: Sequence[Mapping[str, Any]]) -> CaseOutcome:
    """How a case went, from the rows of its episodes."""
    own = [row for row in episodes if row["driver"] != EXPERT]
    crashed = [row for row in own if row.get("ending_kind") == CRASH]
    faults = [row for row in own if row.get("ending_kind") == CRASH or row.get("missed")]
    reasons = [_where(row) for row in faults]
    outcome = FAILED if faults else CLEAN
    if any(row["ending"] == TIMED_OUT for row in own):
        outcome, reasons = FAILED, ["not recovered"]
    broken = [row["failure"] for row in own if row.get("failure")]
    if broken:
        outcome, reasons = BROKE, broken
    return CaseOutcome(
        scenario=own[0]["scenario"],
        case=own[0]["case"],
        outcome=outcome,
        crashes=len(crashed),
        reason="; ".join(reasons),
        seconds=float(sum(row["duration"] or 0.0 for row in own)),
    )


def _where(row: Mapping[str, Any]) -> str:
    where = "" if row["end_s"] is None else f" at s = {row['end_s']:.1f} m"
    return f"{row['ending']}{where}"


@dataclass(frozen=True)
class Ruling:
    """A requirement and what the run came to.

    Args:
        requirement: of a scenario or suite.
        found: the metric over its scenarios' cases, with its interval.
    """

    requirement: Requirement
    found: Interval

    @property
    def passed(self) -> bool:
        """Whether it is met."""
        return self.requirement.criterion.passes(self.found.value)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; what was not measured is null."""
        criterion = self.requirement.criterion
        return {
            "of": self.requirement.of,
            "scenarios": list(self.requirement.scenarios),
            "metric": criterion.metric,
            "min": criterion.min,
            "max": criterion.max,
            **self.found.to_json(),
            "passed": self.passed,
        }


def rule(
    suite: Suite,
    steps: Table,
    episodes: Table,
    judgement: Judgement,
    settings: JudgingSettings | None = None,
) -> tuple[Ruling, ...]:
    """Hold a run's tables against all requirements of a suite, in the order of its files.

    Args:
        judgement: of these tables, with these settings.
    """
    settings = settings or JudgingSettings()
    cases: Sequence[JudgedCase] | None = None
    judged: dict[tuple[str, ...], Mapping[str, Interval]] = {
        (verdict.name,): verdict.metrics for verdict in judgement.scenarios
    }
    rulings = []
    for requirement in suite.requirements:
        names = requirement.scenarios
        if names not in judged:
            cases = cases or run_cases.split(steps, episodes)
            own = [case for case in cases if case.scenario in names]
            judged[names] = judge_cases(requirement.of, own, True, settings).metrics
        found = judged[names].get(requirement.criterion.metric, _UNKNOWN)
        rulings.append(Ruling(requirement, found))
    return tuple(rulings)


def check_requirements(suite: Suite) -> None:
    """Refuse requirements on what is not measured, before anything is driven.

    Raises:
        ScenarioError: there is no such metric, or the scenarios' mode does not give it.
    """
    known = {
        kind: [measure.name for measure in JudgingSettings().measures(kind)]
        for kind in (DRIVING, RECOVERY)
    }
    kinds = {
        member.scenario.name: RECOVERY
        if member.scenario.settings.mode == RECOVERY_MODE
        else DRIVING
        for member in suite.members
    }
    problems = []
    for requirement in suite.requirements:
        metric = requirement.criterion.metric
        where = f"{suite.file}: pass criterion of {requirement.of}"
        if not any(metric in names for names in known.values()):
            every = [*known[DRIVING], *known[RECOVERY]]
            close = difflib.get_close_matches(metric, every, 1, 0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(every)}"
            problems.append(f"{where}: there is no metric {metric!r}; {hint}")
        elif not any(metric in known[kinds[name]] for name in requirement.scenarios):
            modes = (
                "mode 'recovery'" if metric in known[RECOVERY] else "mode 'episode' or 'restart'"
            )
            problems.append(f"{where}: {metric} is not measured; it takes a scenario of {modes}")
    if problems:
        raise ScenarioError(*dict.fromkeys(problems))


_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))

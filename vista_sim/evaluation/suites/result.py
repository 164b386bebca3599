"""How a suite's run stands, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vista_sim.evaluation.judging import Judgement
from vista_sim.evaluation.suites.verdicts import BROKE, CLEAN, FAILED, CaseOutcome, Ruling


@dataclass(frozen=True)
class Score:
    """How a run stands while it goes on.

    Args:
        cases: in all.
        clean, failed, broke: cases that are over, by how they went; see `CaseOutcome`.
        crashes: in all of them.
        done, total: simulated seconds, and at most so many in all.
    """

    cases: int
    clean: int
    failed: int
    broke: int
    crashes: int
    done: float
    total: float

    def __str__(self) -> str:
        over = self.clean + self.failed + self.broke
        broke = f", {self.broke} broke" if self.broke else ""
        return (
            f"{over}/{self.cases} cases: {self.clean} passed, {self.failed} failed{broke}; "
            f"{self.crashes} crash{'' if self.crashes == 1 else 'es'}"
        )


@dataclass(frozen=True)
class SuiteResult:
    """What judging a policy on a suite came to.

    Args:
        name, file: of the suite.
        policy: its name.
        cases: how each went, in their order.
        rulings: on each requirement.
        judgement: all metrics with intervals.
        cost: see `Cost.to_json`.
        cost_text: the same in a line.
        resumed: cases that an earlier call had driven.
        unknown: what of the policy decides and is not known; see `PolicyIdentity`.
    """

    name: str
    file: Path
    policy: str
    cases: tuple[CaseOutcome, ...]
    rulings: tuple[Ruling, ...]
    judgement: Judgement
    cost: Mapping[str, Any]
    cost_text: str
    resumed: int
    unknown: str = ""

    @property
    def passed(self) -> bool:
        """Whether all requirements are met, and the policy never broke."""
        return all(ruling.passed for ruling in self.rulings) and not self.count(BROKE)

    def count(self, outcome: str) -> int:
        """Cases of an outcome."""
        return sum(case.outcome == outcome for case in self.cases)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, without the cost, which differs from run to run."""
        return {
            "suite": self.name,
            "passed": self.passed,
            "cases": {
                "all": len(self.cases),
                **{outcome: self.count(outcome) for outcome in (CLEAN, FAILED, BROKE)},
            },
            "criteria": [ruling.to_json() for ruling in self.rulings],
            "failures": [
                {"scenario": case.scenario, "case": case.case, "failure": case.reason}
                for case in self.cases
                if case.outcome == BROKE
            ],
            "overall": self.judgement.overall.to_json(),
            "scenarios": [verdict.to_json() for verdict in self.judgement.scenarios],
        }

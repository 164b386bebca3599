"""What a run of a suite cost: simulated seconds per wall second, and where the time went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vista_sim.evaluation.metrics.recovery import EXPERT
from vista_sim.evaluation.suites.rows import CaseRows
from vista_sim.evaluation.suites.worker import Spent

#: Where the time goes.
PARTS = (
    "view",
    "policy",
    "dynamics",
    "staging",
    "filming",
    "other",
    "writing",
    "start_up",
    "judging",
)
_TIMINGS = ("view_s", "policy_s", "dynamics_s")


@dataclass
class Cost:
    """Adds up wall times, s; those of processes side by side are added to each other.

    Args:
        workers: processes; 0: everything ran in one with the caller.
        cases: driven now, without those of a run that is resumed.
        simulated: s that the policy drove.
        view: making what the policy saw.
        policy: the policy.
        dynamics: moving the car.
        staging: making worlds of cases, and their first views.
        filming: making videos.
        other: the rest of driving: recording, judging, the reference beside the policy.
        writing: tables, by the parent.
        start_up: of processes, until each had loaded the policy.
        judging: metrics and intervals, when all was driven.
    """

    workers: int
    cases: int = 0
    simulated: float = 0.0
    view: float = 0.0
    policy: float = 0.0
    dynamics: float = 0.0
    staging: float = 0.0
    filming: float = 0.0
    other: float = 0.0
    writing: float = 0.0
    start_up: float = 0.0
    judging: float = 0.0
    wall: float = 0.0

    def add(self, rows: CaseRows, spent: Spent) -> None:
        """A case was driven."""
        self.cases += 1
        self.simulated += rows.seconds
        own = {row["episode"] for row in rows.episodes if row["driver"] != EXPERT}
        timings = [row for row in rows.timings if row["episode"] in own]
        parts = [sum(row[name] for row in timings) for name in _TIMINGS]
        self.view += parts[0]
        self.policy += parts[1]
        self.dynamics += parts[2]
        self.staging += spent.staging
        self.filming += spent.filming
        self.other += max(0.0, spent.total - spent.staging - spent.filming - sum(parts))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        seconds = {name: round(getattr(self, name), 3) for name in PARTS}
        rate = self.simulated / self.wall if self.wall > 0 else None
        return {
            "workers": self.workers,
            "cases": self.cases,
            "wall_s": round(self.wall, 3),
            "simulated_s": round(self.simulated, 3),
            "simulated_s_per_wall_s": None if rate is None else round(rate, 3),
            "seconds": seconds,
        }

    def __str__(self) -> str:
        rate = self.simulated / self.wall if self.wall > 0 else 0.0
        whole = sum(getattr(self, name) for name in PARTS) or 1.0
        shares = ", ".join(
            f"{name.replace('_', '-')} {100 * getattr(self, name) / whole:.0f} %" for name in PARTS
        )
        processes = "1 process" if self.workers == 1 else f"{self.workers} processes"
        return (
            f"{self.simulated:.0f} s simulated in {self.wall:.1f} s by "
            f"{processes if self.workers else 'this process'}: {rate:.1f} times as fast as "
            f"driven ({shares})"
        )

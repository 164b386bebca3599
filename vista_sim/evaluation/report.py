"""What judging a policy in closed loop came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vista_sim.evaluation.plain import or_null

if TYPE_CHECKING:
    from vista_sim.evaluation.recovery import Recovery
    from vista_sim.evaluation.suites.result import SuiteResult

#: Called with work done and work in all: metres to drive, or simulated seconds of a suite.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Args:
        policy: name or folder of the policy.
        metrics: of all traces or scenarios together, by name (see `metrics.measures`).
        traces: for each trace "trace" (its folder), "name", and its own metrics; of a suite none.
        recovery: outcome of the recovery test; None if it was left out, and of a suite.
        out: the run folder; None if nothing was written.
        seconds: wall time.
        suite: of a suite what it came to; None for plain traces.
    """

    policy: str
    metrics: Mapping[str, float]
    traces: tuple[Mapping[str, Any], ...]
    recovery: Recovery | None
    out: Path | None
    seconds: float
    suite: SuiteResult | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the suite is passed; None for plain traces, which ask for nothing."""
        return None if self.suite is None else self.suite.passed

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; what was not measured is null."""
        if self.suite is not None:
            return {
                "policy": self.policy,
                **self.suite.to_json(),
                "cost": dict(self.suite.cost),
                "out": None if self.out is None else str(self.out),
                "seconds": round(self.seconds, 3),
            }
        return {
            "policy": self.policy,
            "metrics": _plain(self.metrics),
            "traces": [_plain(trace) for trace in self.traces],
            "recovery": None if self.recovery is None else self.recovery.to_json(),
            "out": None if self.out is None else str(self.out),
            "seconds": round(self.seconds, 3),
        }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: or_null(value) if isinstance(value, float) else value
        for name, value in values.items()
    }

"""Cases that went worse from one run to another, the worst first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vista_sim.evaluation.judging import JudgingSettings
from vista_sim.evaluation.labels import shown
from vista_sim.evaluation.pairing import Pair
from vista_sim.evaluation.plain import or_null

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
                {"metric": name, "a": or_null(a), "b": or_null(b)} for name, a, b in self.changes
            ],
        }


def find_regressions(pairs: Sequence[Pair], settings: JudgingSettings) -> list[Regression]:
    """Pairs that went worse by the gravest thing that changed, the worst first.

    What changed by less than the last digit that is shown of it did not change: the same network
    in another format rounds differently.
    """
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
            loss = loss if abs(loss) >= _last_digit(name) else 0.0
            grave.append(loss)
            if loss > 0:
                changes.append((name, before, after))
        # The gravest thing that changed at all says whether the case went worse.
        first = next((loss for loss in grave if loss), 0.0)
        if first > 0:
            found.append((grave, Regression(a.scenario, a.name, tuple(changes))))
    found.sort(key=lambda item: [-loss for loss in item[0]])
    return [regression for _, regression in found]


def _last_digit(name: str) -> float:
    """One of the last digit that is shown of a metric, in its own unit."""
    _, factor, digits, _ = shown(name)
    return 10.0**-digits / factor * (1 - 1e-9)

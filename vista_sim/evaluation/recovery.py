"""The recovery test: can the driver bring the car back from beside the path?

The car starts at every pair of a lateral offset and a heading error, on straight, left and
right stretches of road drawn by seed. It has recovered when it is back: within 0.3 m and 2 degrees
of the path, at the same time and for a second on end (a car that merely crosses the path is
not back), all inside 5 s from the start and without leaving the road (the task's endings).

Beside the driver, a privileged reference tries the same starts. The rate of a driver is the
share it recovers from of the starts that the reference recovers from; the others may be
physically impossible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyNotFiniteError
from vista_sim.evaluation.episode import drive
from vista_sim.evaluation.plain import or_null
from vista_sim.evaluation.suites.rows import POLICY_FAILED
from vista_sim.policies import Policy
from vista_sim.runs.kinds import RECOVERY
from vista_sim.runs.recorder import Recorder
from vista_sim.scenarios.places import ROADS, Place, RecoveryTest
from vista_sim.tasks.recovery import RecoveryWatch

if TYPE_CHECKING:
    from vista_sim.world import Car

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Recovery:
    """Outcome of a recovery test; arrays are (roads, laterals, headings), counts of places.

    Args:
        test: what was tried.
        places: where.
        policy, expert, both: how often each recovered, and both from the same start.
        tried: how often each start was tried.
    """

    test: RecoveryTest
    places: tuple[Place, ...]
    policy: Ints
    expert: Ints
    both: Ints
    tried: Ints

    @property
    def rate(self) -> float:
        """Share of the expert's recoveries that the policy has too. Unit: 1. NaN without any."""
        return _ratio(int(self.both.sum()), int(self.expert.sum()))

    @property
    def expert_rate(self) -> float:
        """Share of all starts that the expert recovers from. Unit: 1."""
        return _ratio(int(self.expert.sum()), int(self.tried.sum()))

    @property
    def policy_rate(self) -> float:
        """Share of all starts that the policy recovers from. Unit: 1."""
        return _ratio(int(self.policy.sum()), int(self.tried.sum()))

    def to_json(self) -> dict[str, Any]:
        """Rates, and counts by lateral offset (row) and heading (column)."""
        roads = {
            road: {
                "tried": int(self.tried[i].sum()),
                "rate": or_null(_ratio(int(self.both[i].sum()), int(self.expert[i].sum()))),
            }
            for i, road in enumerate(ROADS)
        }
        return {
            "rate": or_null(self.rate),
            "policy_rate": or_null(self.policy_rate),
            "expert_rate": or_null(self.expert_rate),
            "laterals_m": list(self.test.laterals),
            "headings_deg": [round(math.degrees(h), 6) for h in self.test.headings],
            "tried": self.tried.sum(axis=0).tolist(),
            "policy": self.policy.sum(axis=0).tolist(),
            "expert": self.expert.sum(axis=0).tolist(),
            "both": self.both.sum(axis=0).tolist(),
            "roads": roads,
            "places": [{"road": p.road, "trace": p.trace, "s": p.s} for p in self.places],
        }


def try_recovery(
    policy: Policy,
    car: Car,
    expert: Policy,
    expert_car: Car,
    recorder: Recorder,
    test: RecoveryTest,
    places: tuple[Place, ...],
    tried: Callable[[int], None] | None = None,
) -> Recovery:
    """Try every start with the policy and with the expert.

    Args:
        policy, car: the driver and its car.
        expert, expert_car: the reference and its car, in the same world; it needs no camera.
        recorder: gets every step and every episode.
        test, places: what to try, and where.
        tried: called with the number of starts tried so far.
    """
    shape = (len(ROADS), len(test.laterals), len(test.headings))
    counts = {
        name: np.zeros(shape, dtype=np.int64) for name in ("policy", "expert", "both", "tried")
    }
    done = 0
    for place in places:
        for i, lateral in enumerate(test.laterals):
            for j, heading in enumerate(test.headings):
                start = (place, lateral, heading)
                by_expert = _recovers(expert, expert_car, "expert", start, test, recorder)
                by_policy = _recovers(policy, car, "policy", start, test, recorder)
                cell = (ROADS.index(place.road), i, j)
                counts["tried"][cell] += 1
                counts["policy"][cell] += by_policy
                counts["expert"][cell] += by_expert
                counts["both"][cell] += by_policy and by_expert
                done += 1
                if tried is not None:
                    tried(done)
    return Recovery(test, places, **counts)


def _recovers(
    policy: Policy,
    car: Car,
    driver: str,
    start: tuple[Place, float, float],
    test: RecoveryTest,
    recorder: Recorder,
) -> bool:
    place, lateral, heading = start
    car.reset(trace=place.trace, s=place.s, lateral=lateral, heading=heading)
    recorder.begin(car, RECOVERY, driver, place.road)
    watch = RecoveryWatch(test.rule)
    try:
        drive(policy, car, recorder, watch)
    except PolicyNotFiniteError as error:
        recorder.end(car, POLICY_FAILED, failure=error.reason, recovered=False)
        return False
    recorder.end(
        car,
        watch.ending,
        recovered=watch.recovered,
        recovery_time=car.t if watch.recovered else None,
    )
    return watch.recovered


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")

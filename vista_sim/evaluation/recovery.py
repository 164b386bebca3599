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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyNotFiniteError, WorldError
from vista_sim.evaluation.plain import or_null
from vista_sim.evaluation.suites.rows import POLICY_FAILED
from vista_sim.policies import Policy
from vista_sim.runs.recorder import Recorder, drive
from vista_sim.tasks.recovery import RecoveryRule, RecoveryWatch

if TYPE_CHECKING:
    from vista_sim.traces.sections import Section
    from vista_sim.traces.trace import Trace
    from vista_sim.world import Car

KIND = "recovery"
ROADS = ("straight", "left", "right")
BEND = 0.003  # 1/m; more is a bend (radius below 333 m)
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RecoveryTest:
    """Which starts are tried and what counts as recovered."""

    laterals: tuple[float, ...] = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # m
    headings: tuple[float, ...] = tuple(math.radians(d) for d in (-10, -6, -3, 0, 3, 6, 10))
    starts_per_kind: int = 4  # places drawn on straight, left and right road each
    within_lateral: float = 0.3  # m
    within_heading: float = math.radians(2)  # rad
    within_time: float = 5.0  # s
    held: float = 1.0  # s on end within both limits

    def __post_init__(self) -> None:
        if self.starts_per_kind < 1:
            raise WorldError(f"starts_per_kind is {self.starts_per_kind}; it must be at least 1")
        self.rule  # noqa: B018  # it checks its limits

    @property
    def rule(self) -> RecoveryRule:
        """What counts as recovered."""
        return RecoveryRule(self.within_lateral, self.within_heading, self.within_time, self.held)


class Drivable(Protocol):
    """Traces and what can be driven of each, such as a `World`."""

    @property
    def traces(self) -> Sequence[Trace]: ...

    @property
    def sections(self) -> Sequence[Sequence[Section]]: ...


@dataclass(frozen=True)
class Place:
    """Where starts are tried: an arc length (m) of a trace (an index)."""

    road: str  # straight, left or right
    trace: int
    s: float


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


def draw_places(world: Drivable, test: RecoveryTest, seed: int) -> tuple[Place, ...]:
    """Draw `starts_per_kind` places on each kind of road of a world's traces.

    A place has as much recorded drive ahead as a test takes. A kind of road that no trace has
    gets no place. The same seed and traces give the same places.
    """
    rng = np.random.default_rng(seed)
    candidates: dict[str, list[tuple[int, float]]] = {road: [] for road in ROADS}
    for trace, s in _grid(world, test.within_time + 0.5):
        candidates[road_kind(world, trace, s)].append((trace, s))
    places = []
    for road in ROADS:
        count = min(test.starts_per_kind, len(candidates[road]))
        chosen = rng.choice(len(candidates[road]), count, replace=False) if count else ()
        places += [Place(road, *candidates[road][int(i)]) for i in sorted(chosen)]
    return tuple(places)


def road_kind(world: Drivable, trace: int, s: float) -> str:
    """straight, left or right by the mean curvature of the path over the next two seconds."""
    path = world.traces[trace].path
    end = path.arc_length(min(path.time(s) + 2.0, world.traces[trace].duration))
    bend = float(np.mean([path.curvature(float(v)) for v in np.linspace(s, end, 9)]))
    if abs(bend) < BEND:
        return "straight"
    return "left" if bend > 0 else "right"


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
    recorder.begin(car, KIND, driver, place.road)
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


def _grid(world: Drivable, seconds_ahead: float) -> Iterator[tuple[int, float]]:
    """Trace and arc length each metre of what can be driven with enough road ahead."""
    for trace, sections in enumerate(world.sections):
        path = world.traces[trace].path
        for section in sections:
            last = section.end - seconds_ahead
            if last > section.start:
                for s in np.arange(section.start_s, path.arc_length(last), 1.0):
                    yield trace, float(s)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")

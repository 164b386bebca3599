"""Places where the recovery test starts: on straight, left and right road, drawn by seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vista_sim.errors import WorldError
from vista_sim.tasks.recovery import RecoveryRule
from vista_sim.traces.sections import Section

if TYPE_CHECKING:
    from vista_sim.traces.trace import Trace

ROADS = ("straight", "left", "right")
BEND = 0.003  # 1/m; more is a bend (radius below 333 m)


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


def _grid(world: Drivable, seconds_ahead: float) -> Iterator[tuple[int, float]]:
    """Trace and arc length each metre of what can be driven with enough road ahead."""
    for trace, sections in enumerate(world.sections):
        path = world.traces[trace].path
        for section in sections:
            last = section.end - seconds_ahead
            if last > section.start:
                for s in np.arange(section.start_s, path.arc_length(last), 1.0):
                    yield trace, float(s)

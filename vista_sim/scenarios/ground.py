"""Where a scenario's traces can be driven, and where on them its cases start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vista_sim.scenarios.document import FieldPath
from vista_sim.scenarios.places import RecoveryTest, draw_places, road_kind
from vista_sim.scenarios.settings import SectionSettings, Settings, StartSettings
from vista_sim.traces.sections import SHORTEST, Section

if TYPE_CHECKING:
    from vista_sim.traces.trace import Trace

Interval = tuple[float, float]

_STEP = 0.5  # m between the points whose curvature is looked at


class UnusableError(ValueError):
    """A field that does not fit a trace."""

    def __init__(self, path: FieldPath, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True)
class Place:
    """Where a case starts.

    Args:
        trace, section: indices into a ground's traces and into that trace's sections.
        s: m along the path.
        road: "straight", "left" or "right".
        drawn: whether it was drawn.
    """

    trace: int
    section: int
    s: float
    road: str
    drawn: bool = False


class Ground:
    """Traces and the sections of each that a scenario drives.

    Args:
        traces: open traces.
        wanted: which sections.

    Raises:
        UnusableError: nothing is left to drive.
    """

    def __init__(self, traces: Sequence[Trace], wanted: SectionSettings) -> None:
        self.traces = tuple(traces)
        self.wanted = wanted
        for name, end, unit in (("time", "duration", "s"), ("distance", "length", "m")):
            span = getattr(wanted, name)
            for trace in self.traces if span is not None else ():
                last = trace.duration if end == "duration" else trace.path.length
                if span[0] >= last:
                    raise UnusableError(
                        ("section", name),
                        f"begins at {span[0]:g} {unit}, outside the trace {trace.name!r}, "
                        f"which ends at {last:.6g} {unit}",
                    )
        self.sections = tuple(tuple(self._find(trace)) for trace in self.traces)
        if not any(self.sections):
            names = ", ".join(str(trace.root) for trace in self.traces)
            raise UnusableError(("section",), f"nothing is left to drive of {names}")

    def places(self, start: StartSettings, within_time: float) -> tuple[Place, ...]:
        """Where cases start.

        Args:
            start: how they are found.
            within_time: s of recorded drive that a place which is drawn has ahead.

        Raises:
            UnusableError: a start is outside of what can be driven.
        """
        if start.places is not None:
            return self._drawn(start, within_time)
        if start.s is not None:
            return tuple(self._at(trace, start.s) for trace in range(len(self.traces)))
        fraction = start.fraction or 0.0
        return tuple(
            self._place(trace, index, section.start_s + fraction * section.length, "fraction")
            for trace, sections in enumerate(self.sections)
            for index, section in enumerate(sections)
        )

    def _find(self, trace: Trace) -> Iterator[Section]:
        wanted = self.wanted
        spans = [self._by_distance(trace), self._by_label(trace), self._by_curvature(trace)]
        for section in trace.find_sections(wanted.min_speed, wanted.exclude_labels, wanted.time):
            left: list[Interval] = [(section.start, section.end)]
            for span in spans:
                if span is not None:
                    left = [
                        (max(a, c), min(b, d))
                        for a, b in left
                        for c, d in span
                        if min(b, d) > max(a, c)
                    ]
            for start, end in left:
                ends = (trace.path.arc_length(start), trace.path.arc_length(end))
                at = np.linspace(*ends, wanted.pieces + 1).tolist()
                times = [start, *map(trace.path.time, at[1:-1]), end]
                # A piece is driven between its times: its arc lengths are those, to the last bit.
                at = [trace.path.arc_length(t) for t in times]
                for (a, b), (c, d) in zip(pairwise(times), pairwise(at), strict=True):
                    found = Section(a, b, c, d)
                    if found.duration >= SHORTEST[0] and found.length >= wanted.min_length:
                        yield found

    def _by_distance(self, trace: Trace) -> list[Interval] | None:
        if self.wanted.distance is None:
            return None
        first, last = (min(v, trace.path.length) for v in self.wanted.distance)
        return [(trace.path.time(first), trace.path.time(last))]

    def _by_label(self, trace: Trace) -> list[Interval] | None:
        if not self.wanted.label:
            return None
        marked = [
            (label.start, label.end)
            for label in trace.labels
            if {label.key, f"{label.key}={label.value}"} & set(self.wanted.label)
        ]
        if not marked:
            known = sorted({f"{label.key}={label.value}" for label in trace.labels})
            raise UnusableError(
                ("section", "label"),
                f"is nowhere in the trace {trace.name!r}; its labels: "
                + (", ".join(known[:20]) or "none"),
            )
        return _joined(marked)

    def _by_curvature(self, trace: Trace) -> list[Interval] | None:
        wanted = self.wanted
        if wanted.curvature is None and wanted.bend is None:
            return None
        path = trace.path
        s = np.arange(0.0, path.length, _STEP)
        bends = np.array([path.curvature(float(v)) for v in s])
        inside = np.ones(len(s), dtype=np.bool_)
        for limits, values in ((wanted.curvature, bends), (wanted.bend, np.abs(bends))):
            if limits is not None:
                inside &= (values >= limits[0]) & (values <= limits[1])
        return [(path.time(float(s[a])), path.time(float(s[b]))) for a, b in _runs(inside)]

    def _at(self, trace: int, s: float) -> Place:
        for index, section in enumerate(self.sections[trace]):
            if section.start_s <= s <= section.end_s:
                return self._place(trace, index, s, "s")
        spans = ", ".join(f"{x.start_s:.1f} to {x.end_s:.1f}" for x in self.sections[trace])
        raise UnusableError(
            ("start", "s"),
            f"is {s:g} m; what can be driven of the trace {self.traces[trace].name!r} is (m): "
            + (spans or "nothing"),
        )

    def _place(self, trace: int, index: int, s: float, field: str) -> Place:
        section = self.sections[trace][index]
        if s >= section.end_s - 1e-3:
            raise UnusableError(
                ("start", field), f"is the end of the section, at {section.end_s:.1f} m"
            )
        return Place(trace, index, s, self._road(trace, s))

    def _drawn(self, start: StartSettings, within_time: float) -> tuple[Place, ...]:
        assert start.places is not None
        test = RecoveryTest(starts_per_kind=start.places, within_time=within_time, held=0.0)
        drawn = draw_places(self, test, start.places_seed)
        if not drawn:
            raise UnusableError(
                ("start", "places"), f"no place has {within_time + 0.5:g} s of recorded drive ahead"
            )
        return tuple(
            Place(p.trace, self._section_of(p.trace, p.s), p.s, p.road, drawn=True) for p in drawn
        )

    def _section_of(self, trace: int, s: float) -> int:
        sections = self.sections[trace]
        return next(i for i, x in enumerate(sections) if x.start_s <= s <= x.end_s)

    def _road(self, trace: int, s: float) -> str:
        return road_kind(self, trace, s)


class GroundCache:
    """Grounds and places of one scenario's traces, found once for all cases that share them."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self.traces = traces
        self._grounds: dict[SectionSettings, Ground] = {}
        self._places: dict[tuple[object, ...], tuple[Place, ...]] = {}

    def find(self, settings: Settings) -> tuple[Ground, tuple[Place, ...]]:
        """What a case's settings drive, and where they start. Raises UnusableError."""
        wanted = settings.section
        if wanted not in self._grounds:
            self._grounds[wanted] = Ground(self.traces, wanted)
        ground, start = self._grounds[wanted], settings.start
        within = settings.recovery.within_time
        key = (wanted, start.s, start.fraction, start.places, start.places_seed, within)
        if key not in self._places:
            self._places[key] = ground.places(start, within)
        return ground, self._places[key]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A short name of each trace, all different, fit for the name of a case."""
        return distinct([trace.name for trace in self.traces])


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, without what separates parts of a case's, and repeated ones with numbers."""
    plain = ["".join(x if x.isalnum() or x in "._-" else "-" for x in name) for name in names]
    found: list[str] = []
    for name in plain:
        number, one = 1, name or "trace"
        while one in found:
            number += 1
            one = f"{name}~{number}"
        found.append(one)
    return tuple(found)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _joined(spans: list[Interval]) -> list[Interval]:
    """Spans in order, those that touch each other joined."""
    joined: list[Interval] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined

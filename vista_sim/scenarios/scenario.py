"""A scenario file, read and checked, and the cases that it stands for."""

from __future__ import annotations

import dataclasses
import glob
import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vista_sim.errors import ScenarioError, TraceError, WorldError
from vista_sim.files import one_line
from vista_sim.scenarios.case import Case
from vista_sim.scenarios.criteria import Criterion, read_criteria
from vista_sim.scenarios.document import Document, FieldPath, field_name
from vista_sim.scenarios.fields import FieldError, Text, Texts, shown
from vista_sim.scenarios.ground import GroundCache, Place, UnusableError
from vista_sim.scenarios.ranges import MOST_CASES
from vista_sim.scenarios.reading import Reader
from vista_sim.scenarios.settings import ROAD, Settings
from vista_sim.sensors.pool import CameraChoice
from vista_sim.traces.samples import SAMPLE, sample_trace, samples

SCENARIO = "vista-scenario"
MOST_MATCHES = 100_000  # of a pattern for traces
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OWN_KEYS = ("format", "include", "name", "description", "traces", "seeds", "pass", "actors")


@dataclass(frozen=True)
class Sweep:
    """A field that takes several values, one after the other."""

    path: FieldPath
    values: tuple[float, ...]


@dataclass(frozen=True)
class Scenario:
    """What a file says, or an entry of a suite on top of it.

    Args:
        name, description: of the scenario.
        file: that it is from, as it was named.
        traces: folders, absolute.
        settings: each range at its first value.
        sweeps: the ranges.
        seeds: a case each.
        criteria: what its cases together must reach.
    """

    name: str
    description: str
    file: Path
    traces: tuple[Path, ...]
    settings: Settings
    sweeps: tuple[Sweep, ...]
    seeds: tuple[int, ...]
    criteria: tuple[Criterion, ...]
    document: Document = field(repr=False, compare=False)

    @property
    def combinations(self) -> int:
        """How many combinations of ranges and seeds there are; each start has so many cases."""
        return math.prod(len(sweep.values) for sweep in self.sweeps) * len(self.seeds)

    def cases(self, weight: float = 1.0) -> Iterator[Case]:
        """The cases, in the order of the sweeps (the last one changes fastest), starts and seeds.

        Args:
            weight: of the scenario in its suite.

        Raises:
            ScenarioError: a trace cannot be opened, or a field does not fit it.
        """
        cache = GroundCache(self._open())
        labels = self._labels()
        seen: set[str] = set()
        for values in itertools.product(*(sweep.values for sweep in self.sweeps)):
            settings = self.settings
            for sweep, value in zip(self.sweeps, values, strict=True):
                settings = _replaced(settings, sweep.path, value)
            conflict = settings.conflict()
            if conflict is not None:
                raise self._error(*conflict)
            try:
                ground, places = cache.find(settings)
                self._check_traces(settings, cache)
            except UnusableError as error:
                raise self._error(error.path, str(error)) from None
            if len(places) * self.combinations > MOST_CASES:
                raise self._error(
                    ("start",),
                    f"{len(places)} starts of {self.combinations} combinations each are more than "
                    f"{MOST_CASES} cases; shorten a range",
                )
            axes = [f"{x}={_short(v)}" for x, v in zip(labels, values, strict=True)]
            for place in places:
                self._check_start(settings, cache, place)
                trace, sections = ground.traces[place.trace], ground.sections[place.trace]
                where = _where(place, len(sections), cache)
                for seed in self.seeds:
                    name = ",".join([where[0], *where[1:], *axes, f"seed={seed}"])
                    full = f"{self.name}/{name}"
                    if full in seen:  # values closer to each other than a name tells
                        full += f"~{len(seen)}"
                    seen.add(full)
                    section = sections[place.section]
                    yield Case(
                        scenario=self.name,
                        case=full,
                        weight=weight,
                        trace=trace.root,
                        section=(section.start, section.end),
                        s=place.s,
                        lateral=settings.start.lateral,
                        heading=settings.start.heading,
                        road=place.road,
                        seed=seed,
                        settings=settings,
                    )

    def _open(self) -> list[Any]:
        from vista_sim.traces.trace import Trace

        try:
            return [Trace.open(path) for path in self.traces]
        except TraceError as error:
            raise self._error(("traces",), str(error)) from None

    def _labels(self) -> list[str]:
        """What the swept fields are called in the names of cases: short, where that is plain."""
        last = Counter(sweep.path[-1] for sweep in self.sweeps)
        return [
            str(sweep.path[-1]) if last[sweep.path[-1]] == 1 else field_name(sweep.path)
            for sweep in self.sweeps
        ]

    def _check_traces(self, settings: Settings, cache: GroundCache) -> None:
        camera, further = settings.sensors.recorded_camera, settings.sensors.further
        for trace in cache.traces:
            if settings.endings.max_lateral == ROAD and not trace.road:
                raise UnusableError(
                    ("endings", "max_lateral"),
                    f'is "road", but {trace.root} has no road.parquet; give metres',
                )
            if camera is not None and camera not in trace.cameras:
                raise UnusableError(
                    ("sensors", "recorded_camera"),
                    f"is {camera!r}; the cameras of {trace.root} are: "
                    + (", ".join(trace.cameras) or "none"),
                )
            choice = CameraChoice((trace,), camera)
            for sensor in further:
                try:
                    for view in sensor.spec.cameras:
                        choice.check(0, view)
                except WorldError as error:
                    raise UnusableError(("sensors", sensor.name), f"cannot be: {error}") from None

    def _check_start(self, settings: Settings, cache: GroundCache, place: Place) -> None:
        """Refuse a start that is off the road at once; metres were checked before."""
        if settings.endings.max_lateral != ROAD:
            return
        lateral, road = settings.start.lateral, cache.traces[place.trace].road
        edge = float(np.interp(place.s, road["s"], road["left" if lateral >= 0 else "right"]))
        if abs(lateral) > edge:
            raise self._error(
                ("start", "lateral"),
                f"is {lateral:g} m, off the road: at s = {place.s:.1f} m of "
                f"{cache.traces[place.trace].name!r} its edge is {edge:.2f} m away",
            )

    def _error(self, path: FieldPath, message: str) -> ScenarioError:
        return ScenarioError(self.document.problem(path, message))


def read_scenario(document: Document) -> Scenario:
    """A scenario of its file. Raises ScenarioError with all that is wrong."""
    values, reader = document.values, Reader(document)
    if "actors" in values:
        reader.note(
            ("actors",), "other road users come with a later version; this one drives without them"
        )
    known = {key: value for key, value in values.items() if key not in _OWN_KEYS}
    settings = reader.settings(known, *_OWN_KEYS)
    name = read_name(reader)
    description = read_description(reader)
    traces = _traces(reader, values.get("traces"))
    seeds = _seeds(reader, values.get("seeds", 1))
    criteria = read_criteria(reader, values.get("pass", {}), ("pass",))
    sweeps = tuple(Sweep(path, swept) for path, swept in reader.sweeps.items())
    _check_count(reader, sweeps, seeds)
    conflict = settings.conflict()
    if conflict is not None and not any(s.path == conflict[0] for s in sweeps):
        reader.note(*conflict)
    reader.finish()
    return Scenario(
        name, description, document.file, traces, settings, sweeps, seeds, criteria, document
    )


def read_name(reader: Reader, path: FieldPath = ("name",), value: Any = None) -> str:
    """The name of a scenario or a suite; wrong ones are noted."""
    value = reader.document.values.get("name") if value is None else value
    if value is None:
        reader.note(path, 'is missing; write name = "..."')
    elif not isinstance(value, str) or _NAME.fullmatch(value) is None:
        reader.note(path, f"is {shown(value)}; use letters, digits, '.', '-' and '_', at most 100")
    else:
        return value
    return "?"


def read_description(reader: Reader, path: FieldPath = ("description",), value: Any = None) -> str:
    """The description of a scenario or a suite, "" if there is none; wrong ones are noted."""
    value = reader.document.values.get("description") if value is None else value
    if value is None:
        return ""
    try:
        return Text().read(value)
    except FieldError as error:
        reader.note(path, str(error))
        return ""


def _traces(reader: Reader, value: Any) -> tuple[Path, ...]:
    path: FieldPath = ("traces",)
    if value is None:
        reader.note(path, 'is missing; give trace folders, or a sample: "proving-ground"')
        return ()
    try:
        names = Texts().read(value)
    except FieldError as error:
        reader.note(path, str(error))
        return ()
    folders: dict[Path, None] = {}
    for i, name in enumerate(names):
        here = (*path, i) if isinstance(value, list) else path
        base = reader.document.origin(here).file.absolute().parent
        folder = Path(os.path.normpath(base / name))
        if name in samples() and not os.path.lexists(folder):
            folders[samples()[name]] = None
            continue
        if name.startswith(SAMPLE):
            try:
                folders[sample_trace(name.removeprefix(SAMPLE))] = None
            except TraceError as error:
                reader.note(here, str(error))
            continue
        if glob.has_magic(name):
            matches = itertools.islice(glob.iglob(str(folder), recursive=True), MOST_MATCHES + 1)
            found = sorted(Path(one) for one in matches)
            if len(found) > MOST_MATCHES:
                reader.note(here, f"{name}: matches more than {MOST_MATCHES} files and folders")
                continue
            found = [one for one in found if os.path.isfile(one / "trace.json")]
            if not found:
                reader.note(here, f"{name}: matches no trace (a folder with trace.json)")
            folders |= dict.fromkeys(found)
        elif os.path.isfile(folder / "trace.json"):
            folders[folder] = None
        else:
            where = one_line(str(folder))
            known = ", ".join(samples()) or "none"
            reader.note(
                here,
                f"{one_line(name)}: no such trace ({where} has no trace.json); "
                f"sample traces: {known}",
            )
    return tuple(folders)


def _seeds(reader: Reader, value: Any) -> tuple[int, ...]:
    path: FieldPath = ("seeds",)
    if isinstance(value, int) and not isinstance(value, bool):
        if 1 <= value <= MOST_CASES:
            return tuple(range(value))
        reader.note(path, f"is {shown(value)}; it must be a count from 1 to {MOST_CASES}")
    elif isinstance(value, list) and value:
        good = [isinstance(s, int) and not isinstance(s, bool) and 0 <= s < 2**63 for s in value]
        if not all(good):
            wrong = value[good.index(False)]
            reader.note(path, f"holds {shown(wrong)}; seeds are whole numbers, not negative")
        elif len(set(value)) < len(value):
            (twice, _), *_ = Counter(value).most_common(1)
            reader.note(path, f"holds {twice} twice")
        else:
            return tuple(value)
    else:
        reader.note(path, f"is {shown(value)}; it must be a count, or a list of whole numbers")
    return (0,)


def _check_count(reader: Reader, sweeps: tuple[Sweep, ...], seeds: tuple[int, ...]) -> None:
    count = math.prod(len(sweep.values) for sweep in sweeps) * len(seeds)
    if count > MOST_CASES:
        longest = max(sweeps, key=lambda sweep: len(sweep.values), default=None)
        path: FieldPath = ("seeds",) if longest is None else longest.path
        reader.note(
            path, f"all ranges and seeds make {count} cases; at most {MOST_CASES} are swept"
        )


def _where(place: Place, sections: int, cache: GroundCache) -> list[str]:
    """What tells a place apart, for the name of a case."""
    said = [cache.names[place.trace]]
    if sections > 1:
        said.append(f"section={place.section}")
    if place.drawn:
        said.append(f"place={place.s:.1f}")
    return said


def _replaced(settings: Any, path: FieldPath, value: float) -> Any:
    """A dataclass with a field of it, or of one in it, replaced."""
    name = str(path[0])
    inner = value if len(path) == 1 else _replaced(getattr(settings, name), path[1:], value)
    return dataclasses.replace(settings, **{name: inner})


def _short(value: float) -> str:
    return f"{value:.6g}"

"""A suite: scenarios with weights, and what they must reach together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vista_sim.errors import ScenarioError
from vista_sim.scenarios.case import Case
from vista_sim.scenarios.criteria import Requirement, read_criteria
from vista_sim.scenarios.document import Document, FieldPath, load_document, read_format
from vista_sim.scenarios.fields import FieldError, Number, shown
from vista_sim.scenarios.further import FurtherSensor
from vista_sim.scenarios.library import find, find_beside
from vista_sim.scenarios.ranges import MOST_CASES
from vista_sim.scenarios.reading import Reader
from vista_sim.scenarios.scenario import (
    SCENARIO,
    Scenario,
    read_description,
    read_name,
    read_scenario,
)

SUITE = "vista-suite"
MOST_FILES = 1000  # that a suite reads, those of suites in it too
_KEYS = ("format", "include", "name", "description", "scenarios", "pass")
_ENTRY_KEYS = ("path", "name", "description", "weight", "pass", "set")
_WEIGHT = Number(1e-6, 1e6)


@dataclass(frozen=True)
class Member:
    """A scenario in a suite.

    Args:
        scenario: with the entry's name and criteria.
        weight: how much it counts in what is averaged over scenarios.
    """

    scenario: Scenario
    weight: float = 1.0


@dataclass(frozen=True)
class Suite:
    """Scenarios to be judged together. A scenario file by itself is a suite of one.

    Args:
        name, description: of the suite.
        file: that it is from.
        members: its scenarios, those of suites in it too, in the order of the files.
        requirements: what must be reached to pass: by each scenario, by suites in it, and by all.
    """

    name: str
    description: str
    file: Path
    members: tuple[Member, ...]
    requirements: tuple[Requirement, ...]

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each scenario by its name."""
        return {member.scenario.name: member.weight for member in self.members}

    @property
    def further(self) -> tuple[FurtherSensor, ...]:
        """The sensors that its scenarios give the car beside the policy's."""
        return tuple(s for m in self.members for s in m.scenario.settings.sensors.further)

    def cases(self) -> tuple[Case, ...]:
        """All cases, always in the same order: by scenario, trace, ranges, starts and seeds.

        Raises:
            ScenarioError: a scenario does not fit its traces, or there are too many cases.
        """
        return self._cases

    @cached_property
    def _cases(self) -> tuple[Case, ...]:
        cases: list[Case] = []
        problems: list[str] = []
        for member in self.members:
            try:
                own = list(member.scenario.cases(member.weight))
            except ScenarioError as error:
                problems += error.problems
                continue
            # By trace: whoever drives them in order keeps its decoded frames.
            order = {trace: i for i, trace in enumerate(member.scenario.traces)}
            cases += sorted(own, key=lambda case: order[case.trace])
        if len(cases) > MOST_CASES:
            problems.append(f"{self.file}: has {len(cases)} cases; at most {MOST_CASES} are driven")
        if problems:
            raise ScenarioError(*dict.fromkeys(problems))
        return tuple(cases)


def load_suite(path: str | os.PathLike[str]) -> Suite:
    """Read a suite file or a scenario file (a suite of one), and check all but what needs a trace
    to be opened.

    Args:
        path: of the file; or the name of one that is installed, such as "recovery".

    Raises:
        ScenarioError: with a line for everything that is wrong.
    """
    return _load(find(path), (), [])


def _load(file: Path, including: tuple[Path, ...], read: list[Path]) -> Suite:
    """A suite or scenario file.

    Args:
        including: suites that it is in, the outermost first.
        read: all files that were read so far; suites in suites in suites can be very many.
    """
    if _is_suite(file):
        return _read_suite(load_document(file, SUITE), including, read)
    scenario = read_scenario(load_document(file, SCENARIO))
    own = tuple(Requirement(scenario.name, (scenario.name,), c) for c in scenario.criteria)
    return Suite(scenario.name, scenario.description, file, (Member(scenario),), own)


def _is_suite(file: Path) -> bool:
    found = read_format(file)
    if found is not None and found.startswith(f"{SUITE}/"):
        return True
    if found is None or not found.startswith(f"{SCENARIO}/"):
        said = "is missing" if found is None else f"is {shown(found)}"
        raise ScenarioError(f'{file}:1: format: {said}; it must be "{SCENARIO}/1" or "{SUITE}/1"')
    return False


def _read_suite(document: Document, including: tuple[Path, ...], read: list[Path]) -> Suite:
    reader = Reader(document)
    values = document.values
    reader.refuse_unknown(values, (), _KEYS)
    name = read_name(reader)
    description = read_description(reader)
    criteria = read_criteria(reader, values.get("pass", {}), ("pass",))
    entries = values.get("scenarios")
    if not isinstance(entries, list) or not entries:
        said = "is missing" if entries is None else f"is {shown(entries)}"
        reader.note(("scenarios",), f"{said}; list them as [[scenarios]] with a path each")
        entries = []
    parts: list[Suite] = []
    problems: list[str] = []
    chain = (*including, document.file.resolve())
    for i, entry in enumerate(entries):
        try:
            parts += _read_entry(reader, entry, ("scenarios", i), chain, read)
        except ScenarioError as error:
            problems += error.problems
    members = [member for part in parts for member in part.members]
    _refuse_duplicates(reader, parts)
    try:
        reader.finish()
    except ScenarioError as error:
        problems = [*error.problems, *problems]
    if problems:
        raise ScenarioError(*dict.fromkeys(problems))
    names = tuple(member.scenario.name for member in members)
    requirements = [requirement for part in parts for requirement in part.requirements]
    requirements += [Requirement(name, names, criterion) for criterion in criteria]
    return Suite(name, description, document.file, tuple(members), tuple(requirements))


def _read_entry(
    reader: Reader, entry: Any, path: FieldPath, chain: tuple[Path, ...], read: list[Path]
) -> Iterator[Suite]:
    """The suite that an entry is, if it is a usable one."""
    document = reader.document
    if not isinstance(entry, dict):
        reader.note(path, f"is {shown(entry)}; it must be a table with a path")
        return
    reader.refuse_unknown(entry, path, _ENTRY_KEYS)
    weight = 1.0
    if "weight" in entry:
        try:
            weight = float(_WEIGHT.read(entry["weight"]))
        except FieldError as error:
            reader.note((*path, "weight"), str(error))
    criteria = read_criteria(reader, entry.get("pass", {}), (*path, "pass"))
    where = (*path, "path")
    given = entry.get("path")
    if not isinstance(given, str) or not given:
        said = "is missing" if given is None else f"is {shown(given)}"
        reader.note(where, f"{said}; it must be a scenario's or a suite's file")
        return
    file = find_beside(given, document.origin(where).file)
    if file is None:
        reader.note(where, f"{given}: no such file")
        return
    if file.resolve() in chain:
        names = " includes ".join(p.name for p in (*chain, file.resolve()))
        reader.note(where, f"goes in a circle: {names}")
        return
    read.append(file)
    if len(read) > MOST_FILES:
        raise ScenarioError(
            reader.document.problem(path, f"is beyond {MOST_FILES} files; a suite reads no more")
        )
    if _is_suite(file):
        for key in ("name", "description", "set"):
            if key in entry:
                reader.note((*path, key), f"is given, but {given} is a suite; it is a scenario's")
        part = _load(file, chain, read)
    else:
        scenario = _on_top(reader, load_document(file, SCENARIO), entry, path)
        if "name" in entry:
            name = read_name(reader, (*path, "name"), entry["name"])
            scenario = replace(scenario, name=name)
        if "description" in entry:
            description = read_description(reader, (*path, "description"), entry["description"])
            scenario = replace(scenario, description=description)
        own = {c.metric: c for c in (*scenario.criteria, *criteria)}  # the entry's count
        criteria = tuple(own.values())
        part = Suite(scenario.name, scenario.description, file, (Member(scenario),), ())
    names_ = tuple(member.scenario.name for member in part.members)
    asked = [Requirement(part.name, names_, criterion) for criterion in criteria]
    yield replace(
        part,
        members=tuple(Member(m.scenario, m.weight * weight) for m in part.members),
        requirements=(*part.requirements, *asked),
    )


def _on_top(reader: Reader, document: Document, entry: Any, path: FieldPath) -> Scenario:
    """A scenario with what an entry sets on top of its file."""
    here = (*path, "set")
    changes = entry.get("set", {})
    if not isinstance(changes, dict):
        reader.note(here, f"is {shown(changes)}; it must be a table of a scenario's fields")
        changes = {}
    for key in ("format", "include", "name", "pass"):
        if key in changes:
            reader.note((*here, key), "cannot be set here")
    n = len(here)
    origins = reader.document.origins
    above = {where[n:]: origin for where, origin in origins.items() if where[:n] == here}
    top = Document(document.file, dict(changes), above)
    return read_scenario(top.over(document) if changes else document)


def _refuse_duplicates(reader: Reader, parts: list[Suite]) -> None:
    seen: dict[str, Path] = {}
    for part in parts:
        for member in part.members:
            name = member.scenario.name
            if name in seen:
                reader.note(
                    ("scenarios",),
                    f'the name "{name}" is there twice (of {seen[name]} and {part.file}); '
                    'give one of the entries another: name = "..."',
                )
            seen[name] = part.file

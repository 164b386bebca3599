"""Reads the tables of a document into dataclasses, and says of every wrong field what is wrong."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vista_sim.errors import ScenarioError, WorldError
from vista_sim.scenarios.document import Document, FieldPath, field_name
from vista_sim.scenarios.fields import (
    FieldError,
    Number,
    Spec,
    holds_further,
    shown,
    spec_of,
    table_of,
)
from vista_sim.scenarios.further import KIND, FurtherSensor, is_sensor, read_spec
from vista_sim.scenarios.ranges import is_range, read_range
from vista_sim.scenarios.settings import Settings, tables_of_task
from vista_sim.sensors.registry import MOST_SENSORS
from vista_sim.tasks.registry import LANE_FOLLOWING

MOST_HINTS = 20  # unknown keys of a table that are told one by one

T = TypeVar("T")


class Reader:
    """Reads a document's fields; wrong ones are noted, and read as their defaults.

    Attributes:
        sweeps: values of the fields that are ranges, by their path.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.sweeps: dict[FieldPath, tuple[float, ...]] = {}
        self._problems: list[str] = []
        self._kinds: dict[FieldPath, type[Any]] = {}  # of tables that are the task's own

    def note(self, path: FieldPath, message: str) -> None:
        """A field is wrong."""
        self._problems.append(self.document.problem(path, message))

    def finish(self) -> None:
        """Raise a ScenarioError if anything was wrong."""
        if self._problems:
            raise ScenarioError(*dict.fromkeys(self._problems))

    def refuse_unknown(
        self, values: Mapping[str, Any], path: FieldPath, known: Iterable[str]
    ) -> None:
        """Note every key that is not known, with the nearest one that is."""
        names = list(known)
        wrong = [key for key in values if key not in names]
        for key in wrong[:MOST_HINTS]:
            self.note((*path, key), self._unknown(key, path, names))
        if len(wrong) > MOST_HINTS:
            self.note(path, f"has {len(wrong) - MOST_HINTS} more unknown keys")

    def settings(self, values: Mapping[str, Any], *others: str) -> Settings:
        """The settings that a file gives.

        Args:
            values: of the file; its task may stand there by its name alone.
            others: keys that are allowed beside the settings.
        """
        task = values.get("task")
        values = {**values, "task": {"name": task}} if isinstance(task, str) else dict(values)
        name = values["task"].get("name") if isinstance(values.get("task"), dict) else None
        try:
            self._kinds = tables_of_task(LANE_FOLLOWING if name is None else name)
        except WorldError:  # is told where the name is read; its tables cannot be
            self._kinds = tables_of_task(LANE_FOLLOWING)
            values = {**values, "endings": {}, "task": {"name": name}}
        read = self.table(Settings, values, (), *others)
        limit = read.endings.time_limit if read.time_limit is None else read.time_limit
        endings = dataclasses.replace(read.endings, time_limit=None)
        return dataclasses.replace(read, time_limit=limit, endings=endings)

    def table(self, kind: type[T], values: Any, path: FieldPath, *others: str) -> T:
        """A dataclass of a table.

        Args:
            kind: with fields as `fields` makes them.
            values: of the file.
            path: of the table.
            others: keys that are allowed beside the dataclass's fields.
        """
        if not isinstance(values, dict):
            self.note(path, f"is {shown(values)}; it must be a table, [{field_name(path)}]")
            return kind()
        members = _members(kind)
        given: dict[str, Any] = {}
        for member in [one for one in members.values() if holds_further(one)]:
            del members[member.name]
            sensors = {k: v for k, v in values.items() if k not in members and is_sensor(v)}
            given[member.name] = self._further(sensors, path)
            others = (*others, *sensors)
        self.refuse_unknown(values, path, [*others, *members])
        for name, member in members.items():
            here = (*path, name)
            inner, spec = self._kinds.get(here) or table_of(member), spec_of(member)
            if inner is not None:
                given[name] = self.table(inner, values.get(name, {}), here)
            elif spec is not None and name in values:
                read = self.value(spec, values[name], here)
                if read is not None:
                    given[name] = read
        return kind(**given)

    def _further(self, tables: Mapping[str, Any], path: FieldPath) -> tuple[FurtherSensor, ...]:
        """The sensors of some tables, which stand in the one at `path`."""
        if len(tables) > MOST_SENSORS:
            self.note(path, f"has {len(tables)} sensors; at most {MOST_SENSORS} are given to a car")
            return ()
        read = (self._sensor(name, values, (*path, name)) for name, values in tables.items())
        return tuple(one for one in read if one is not None)

    def _sensor(self, name: str, values: Any, path: FieldPath) -> FurtherSensor | None:
        def note(at: tuple[str, ...], message: str) -> None:
            self.note((*path, *at), message)

        spec = read_spec(name, values, note)
        return None if spec is None else FurtherSensor(name, spec, str(self.document.origin(path)))

    def value(self, spec: Spec, value: Any, path: FieldPath) -> Any:
        """What a field holds: of a range the first value; None if it is wrong."""
        try:
            if isinstance(spec, Number) and isinstance(value, dict):
                if spec.whole or not is_range(value):
                    what = "" if spec.whole else ", or a range { from, to, steps }"
                    raise FieldError(f"is a table; it must be {spec.described()}{what}")
                values = read_range(spec, value, field_name(path))
                self.sweeps[path] = values
                return values[0]
            return spec.read(value)
        except FieldError as error:
            self.note(path, str(error))
            return None

    def _unknown(self, key: str, path: FieldPath, names: list[str]) -> str:
        homes = [where[:-1] for where in self._all_fields(Settings) if where[-1] == key]
        if key in _TOP and path:
            return "is unknown here; it belongs above the first [table] of the file"
        if homes:
            places = " or ".join(f"[{field_name(home)}]" if home else "the top" for home in homes)
            return f"is unknown here; it belongs into {places}"
        near = difflib.get_close_matches(key, names, 1, 0.6)
        hint = f'did you mean "{near[0]}"? ' if near else ""
        return f"is an unknown key; {hint}known: {', '.join(names)}"

    def _all_fields(self, kind: Any, path: FieldPath = ()) -> Iterator[FieldPath]:
        for name, member in _members(kind).items():
            here = (*path, name)
            inner = self._kinds.get(here) or table_of(member)
            if not holds_further(member):
                yield here
            if inner is not None:
                yield from self._all_fields(inner, here)


def settings_from_json(values: Mapping[str, Any]) -> Settings:
    """Settings of plain JSON values, without ranges. Raises ScenarioError."""
    reader = Reader(Document(Path("settings"), dict(values)))
    settings = reader.settings(_without_none(values))
    reader.finish()
    return settings


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):  # of a sensor they may mean something
            plain[name] = value if KIND in value else _without_none(value)
        elif value is not None and value != [] and value != ():
            plain[name] = value
    return plain


def _members(kind: Any) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a dataclass that a file can give, by name."""
    members = {f.name: f for f in dataclasses.fields(kind)}
    return {name: f for name, f in members.items() if f.metadata or table_of(f)}


_TOP = ("format", "name", "description", "include", "traces", "seeds", "pass")

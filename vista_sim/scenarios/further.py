"""Sensors that a scenario gives the car beside the policy's own: `[sensors.rear]`."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vista_sim.errors import ScenarioError, WorldError
from vista_sim.scenarios.fields import FieldError, Number, shown
from vista_sim.scenarios.ranges import is_range
from vista_sim.sensors.registry import known_kinds, make_spec, spec_class
from vista_sim.sensors.spec import UNIT, SensorSpec, check_sensor

KIND = "kind"
_MOST = 1e7  # in whatever unit; the spec knows what it can be

#: Takes what is wrong: the keys that lead to it from the sensor's table, and what to say.
Note = Callable[[tuple[str, ...], str], None]
#: Of the fields of a spec: the unit of a number, or of each number of a table.
Units = Mapping[str, "str | Mapping[str, str]"]


@dataclass(frozen=True)
class FurtherSensor:
    """A sensor of a scenario.

    Args:
        name: that it is observed under.
        spec: what it is like.
        origin: file and line that it is from.
    """

    name: str
    spec: SensorSpec
    origin: str = field(default="", compare=False)


def all_sensors(
    own: Mapping[str, SensorSpec], further: Iterable[FurtherSensor]
) -> dict[str, SensorSpec]:
    """All sensors of a car, by name, its policy's first.

    Args:
        own: the policy's.
        further: of scenarios; a like one of the same name is that of the policy.

    Raises:
        ScenarioError: another one of the same name is not.
    """
    sensors, problems = dict(own), []
    for one in further:
        if sensors.setdefault(one.name, one.spec) != one.spec:
            problems.append(
                f"{one.origin}: sensors.{one.name}: is another sensor than the one that the "
                "policy, or another scenario, has under this name; choose another name"
            )
    if problems:
        raise ScenarioError(*dict.fromkeys(problems))
    return sensors


def is_sensor(value: Any) -> bool:
    """Whether what stands in [sensors] under a name of its own is a sensor, be it a wrong one."""
    return isinstance(value, dict) and (KIND in value or not is_range(value))


def read_spec(name: str, values: Mapping[str, Any], note: Note) -> SensorSpec | None:
    """The spec of a sensor's table; None if something is wrong, which is noted.

    Args:
        name: of the sensor.
        values: of the table: its kind, and fields of specs of that kind.
        note: see `Note`.
    """
    if KIND not in values:
        note((), f'has no kind; write kind = "camera" (known are {", ".join(known_kinds())})')
        return None
    try:
        kind = spec_class(values[KIND])
    except WorldError as error:
        note((KIND,), str(error).removeprefix(f"{KIND} "))
        return None
    given = _in_si(kind, {key: one for key, one in values.items() if key != KIND}, note)
    if given is None:
        return None
    try:
        spec = make_spec(kind, given)
    except ValueError as error:
        note(_culprit(kind, given), f"is not usable ({error})")
        return None
    try:
        check_sensor(name, spec)
    except WorldError as error:
        note((), f"cannot be: {error}")
        return None
    return spec


def _in_si(kind: type[SensorSpec], values: Mapping[str, Any], note: Note) -> dict[str, Any] | None:
    """Fields with their numbers in SI units; None if one is unknown, or in a wrong unit."""
    members: dict[str, Any] = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    read: dict[str, Any] = {}
    wrong = False
    for key, value in values.items():
        path: tuple[str, ...] = (key,)
        try:
            if key not in members:
                raise FieldError(_unknown(key, kind.kind, members))
            if is_range(value):
                raise FieldError("is a range; a sensor is not swept, give it one value")
            unit = members[key].metadata.get(UNIT)
            if isinstance(unit, Mapping) and isinstance(value, dict):
                read[key] = {}
                for inner, one in value.items():
                    path = (key, inner)
                    if inner not in unit:
                        raise FieldError(_unknown(inner, key, unit))
                    read[key][inner] = Number(-_MOST, _MOST, unit[inner]).read(one)
            elif isinstance(unit, str) and value is not None:
                read[key] = Number(-_MOST, _MOST, unit).read(value)
            else:
                read[key] = value
        except FieldError as error:
            note(path, str(error))
            wrong = True
    return None if wrong else read


def _culprit(kind: type[SensorSpec], given: Mapping[str, Any]) -> tuple[str, ...]:
    """The field without which the others could be; none, where there is no such field."""
    for name in given:
        try:
            make_spec(kind, {key: value for key, value in given.items() if key != name})
        except ValueError:
            continue
        return (name,)
    return ()


def _unknown(key: str, where: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(key, names, 1, 0.6)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    return f"is an unknown key of {shown(where)}; {hint}known: {', '.join(names) or 'none'}"

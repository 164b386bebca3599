"""Kinds of sensors: those that come with the simulator, and those that others add.

A kind is the class of its specs and that of its sensors. An installed package brings one along by
an entry point of the group `vista_sim.sensors`: its name is the kind, its value a callable that
takes nothing and returns the two classes. A program adds its own with `register`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vista_sim.errors import VistaError, WorldError
from vista_sim.files import one_line, shown
from vista_sim.registry import Registry
from vista_sim.sensors.camera_sensor import CameraSensor
from vista_sim.sensors.sensor import Sensor
from vista_sim.sensors.spec import CameraSpec, SensorSpec, StateSpec, check_sensors
from vista_sim.sensors.state import StateSensor

ENTRY_POINT_GROUP = "vista_sim.sensors"
MOST_SENSORS = 64  # that one policy may ask for

Kind = tuple[type[SensorSpec], type[Sensor]]

_kinds: Registry[Kind] = Registry(
    ENTRY_POINT_GROUP,
    "sensor of the kind",
    WorldError,
    known={
        CameraSpec.kind: (CameraSpec, CameraSensor),
        StateSpec.kind: (StateSpec, StateSensor),
    },
    made=lambda kind: kind(),
)


def register(spec: type[SensorSpec], sensor: type[Sensor]) -> None:
    """Make a kind of sensors known to this process, by the kind that its specs name.

    Args:
        spec: a frozen dataclass; what it holds can be written as JSON.
        sensor: is called with a spec and for how many rows it keeps memory.

    Raises:
        WorldError: its specs name no kind, or that of others.
    """
    kind = getattr(spec, "kind", None)
    if not isinstance(kind, str) or not kind.isidentifier():
        raise WorldError(f"kind of {spec.__name__} is {shown(kind)}; it must be a plain name")
    _kinds.add(kind, (spec, sensor))


def known_kinds() -> tuple[str, ...]:
    """All that can be named."""
    return _kinds.names()


def make_sensor(spec: SensorSpec, rows: int) -> Sensor:
    """The sensor of a spec, with memory for so many rows. Raises WorldError: nobody knows it."""
    sensor = _kinds.find(spec.kind)[1]
    return sensor(spec, rows)


def spec_class(kind: Any) -> type[SensorSpec]:
    """What specs of a kind are. Raises WorldError: there is no such kind."""
    if kind not in _kinds:
        raise WorldError(f"kind is {shown(kind)}; known are {', '.join(known_kinds())}")
    return _kinds.find(kind)[0]


def make_spec(kind: type[SensorSpec], fields: Mapping[str, Any]) -> SensorSpec:
    """A spec of what its `to_json` gave. Raises ValueError, in one line, where that cannot be."""
    try:
        return kind.from_json(fields)
    except (KeyError, TypeError, ValueError, OverflowError) as wrong:
        raise ValueError(one_line(wrong)) from None


def spec_to_json(spec: SensorSpec) -> dict[str, Any]:
    """A spec with its kind."""
    return {"kind": spec.kind, **spec.to_json()}


def read_spec(
    values: Any, what: str, error: type[VistaError], kind: str | None = None
) -> SensorSpec:
    """A spec from outside.

    Args:
        values: as `spec_to_json` gave it.
        what: it is, such as "field 'camera'".
        error: to raise.
        kind: where `values` does not say it.

    Raises:
        error: there is no such kind, or a value cannot be; it begins with `what`.
    """
    if not isinstance(values, Mapping):
        raise error(f"{what} is {shown(values)}; it must be an object")
    fields = dict(values)
    try:
        found = spec_class(fields.pop("kind", kind))
    except WorldError as wrong:
        raise error(f"{what}: {wrong}") from None
    try:
        return make_spec(found, fields)
    except ValueError as wrong:
        raise error(f"{what} is not usable ({wrong})") from None


def read_camera(values: Any, what: str, error: type[VistaError]) -> CameraSpec:
    """A camera's spec from outside, whose kind need not be said; see `read_spec`."""
    spec = read_spec(values, what, error, CameraSpec.kind)
    if not isinstance(spec, CameraSpec):
        raise error(f"{what}: kind is {spec.kind!r}; it must be a camera")
    return spec


def read_sensors(values: Any, what: str, error: type[VistaError]) -> dict[str, SensorSpec]:
    """Specs by name from outside; see `read_spec` and `check_sensors`."""
    if not isinstance(values, Mapping) or len(values) > MOST_SENSORS:
        raise error(
            f"{what} is {shown(values)}; it must be an object with at most {MOST_SENSORS} sensors "
            "by name"
        )
    sensors = {
        name: read_spec(one, f"{what}, {shown(name)}", error) for name, one in values.items()
    }
    try:
        return check_sensors(sensors)
    except WorldError as wrong:
        raise error(f"{what}: {wrong}") from None

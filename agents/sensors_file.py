"""Sensors that a policy is to observe, by name, from a TOML or JSON file:

    [camera]
    kind = "camera"
    size = [66, 200]

    [ranges]
    kind = "range"
    rays = 24

A table is a sensor: its kind, and the fields of that kind's spec, as in policy.json.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tyro.constructors import PrimitiveConstructorSpec

from vista_sim.errors import PolicyError
from vista_sim.files import one_line, read_json, read_text
from vista_sim.scenarios.toml_limits import check_depth
from vista_sim.sensors.registry import read_sensors
from vista_sim.sensors.spec import SensorSpec


def read_sensors_file(path: Path) -> dict[str, SensorSpec]:
    """The sensors of a file, by name.

    Raises:
        PolicyError: it cannot be read, names no sensor, or one that cannot be.
    """
    if path.suffix.lower() == ".toml":
        text = read_text(path, PolicyError)
        try:
            check_depth(text)
            values: Any = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise PolicyError(f"{path}: is not TOML ({one_line(error)})") from None
    elif path.suffix.lower() == ".json":
        values = read_json(path, PolicyError)
    else:
        raise PolicyError(f"{path}: the name of a file of sensors must end in .toml or .json")
    sensors = read_sensors(values, str(path), PolicyError)
    if not sensors:
        raise PolicyError(f'{path}: has no sensors; give one such as [camera] with kind = "camera"')
    return sensors


#: How `--sensors FILE` is read.
SENSORS_FILE: PrimitiveConstructorSpec[Mapping[str, SensorSpec] | None] = PrimitiveConstructorSpec(
    nargs=1,
    metavar="FILE",
    instance_from_str=lambda given: read_sensors_file(Path(given[0])),
    is_instance=lambda value: value is None or isinstance(value, Mapping),
    str_from_instance=lambda value: ["None" if value is None else ",".join(value)],
)

"""Values read from JSON for the fields of a configuration: what fits their types."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Config = TypeVar("Config")


def config_from_json(kind: type[Config], values: Any, name: str) -> Config:
    """A configuration from a JSON object; fields that are missing get their defaults.

    Args:
        kind: a dataclass with fields of numbers, texts, choices (Literal) and tuples of them.
            Fields of other types are taken as they are.
        values: the object.
        name: of the configuration, for messages.

    Raises:
        ValueError: it is no object, has an unknown field, or one of another type or not finite.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} is {values!r}; it must be an object")
    hints = get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for field in values:
        if field not in known:
            raise ValueError(f"{name} has no field {field!r}; known: {', '.join(known)}")
    return kind(**{field: _value(hints[field], values[field], field) for field in values})


def _value(hint: Any, value: Any, field: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{field} is {value!r}; known are {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        return _tuple(args, value, field)
    if hint is bool and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int and number and isinstance(value, int):
        return value
    if hint is float and number and math.isfinite(value):
        return float(value)
    if hint in (bool, int, float):
        kind = {bool: "true or false", int: "a whole number", float: "a finite number"}[hint]
        raise ValueError(f"{field} is {value!r}; it must be {kind}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, field: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{field} is {value!r}; it must be a list")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{field} has {len(value)} entries; it must have {len(kinds)}")
    return tuple(_value(kind, item, field) for kind, item in zip(kinds, value, strict=True))

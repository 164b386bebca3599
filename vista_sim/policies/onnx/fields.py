"""Reads the objects of a JSON description: each value checked, each mistake one line.

A message begins with the file and the place in it: "model.json: inputs[0].colour is 'GRB'; ...".
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vista_sim.errors import PolicyError
from vista_sim.files import shown

_REQUIRED: Any = object()
MOST_LISTED = 1000  # entries of a list of objects


class Fields:
    """One object of a description.

    Args:
        values: the object.
        file: the description.
        path: of the object in it, such as "inputs[0]"; "" for the whole.
        allowed: names of the fields it may have.

    Raises:
        PolicyError: it is no object, or has another field.
    """

    def __init__(self, values: Any, file: Path, path: str, allowed: Sequence[str]) -> None:
        self.file, self.path = file, path
        if not isinstance(values, Mapping):
            raise PolicyError(f"{self.where} is {shown(values)}; it must be an object")
        for name in values:
            if name not in allowed:
                near = difflib.get_close_matches(str(name), allowed, n=1)
                meant = f" (did you mean {near[0]!r}?)" if near else ""
                raise PolicyError(
                    f"{self.where}: field {shown(name)} is unknown{meant}; allowed: "
                    f"{', '.join(allowed)}"
                )
        self.values = values

    @property
    def where(self) -> str:
        """The object, as messages name it."""
        return f"{self.file}: {self.path}" if self.path else str(self.file)

    def given(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self.values.get(name) is not None

    def place(self, name: str) -> str:
        """A field, as messages name it."""
        return f"{self.file}: {self.inside(name)}"

    def inside(self, name: str) -> str:
        """Path of a field in the description."""
        return f"{self.path}.{name}" if self.path else name

    def wrong(self, name: str, wanted: str) -> PolicyError:
        """The error of a field that is missing, or is not what is wanted."""
        if name not in self.values:
            return PolicyError(f"{self.place(name)} is missing; it must be {wanted}")
        return PolicyError(f"{self.place(name)} is {shown(self.values[name])}; it must be {wanted}")

    def _value(self, name: str, default: Any, wanted: str) -> Any:
        if name not in self.values:
            if default is _REQUIRED:
                raise self.wrong(name, wanted)
            return default
        return self.values[name]

    def choice(self, name: str, choices: Sequence[str], default: Any = _REQUIRED) -> str:
        """One of some words."""
        wanted = f"one of {', '.join(choices)}"
        value: str = self._value(name, default, wanted)
        if not isinstance(value, str) or value not in choices:
            raise self.wrong(name, wanted)
        return value

    def text(self, name: str, wanted: str = "text", default: Any = _REQUIRED) -> str:
        value: str = self._value(name, default, wanted)
        if not isinstance(value, str) or not value:
            raise self.wrong(name, wanted)
        return value

    def whole(self, name: str, low: int, high: int, default: Any = _REQUIRED) -> int:
        """A whole number within bounds."""
        wanted = f"a whole number from {low} to {high}"
        value: int = self._value(name, default, wanted)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(name, wanted)
        return value

    def number(
        self, name: str, default: Any = _REQUIRED, wanted: str = "a number", positive: bool = False
    ) -> float:
        """A finite number."""
        if positive:
            wanted = "a positive number"
        value = as_number(self._value(name, default, wanted))
        if value is None or (positive and value <= 0):
            raise self.wrong(name, wanted)
        return value

    def numbers(self, name: str, wanted: str, default: Any = _REQUIRED) -> tuple[float, ...]:
        """A list of finite numbers; a number alone is a list of one."""
        value = self._value(name, default, wanted)
        listed = value if isinstance(value, list | tuple) else [value]
        found = [as_number(v) for v in listed]
        if not found or any(v is None for v in found):
            raise self.wrong(name, wanted)
        return tuple(v for v in found if v is not None)

    def sizes(self, name: str, wanted: str, high: int) -> tuple[int, ...] | None:
        """A list of whole numbers from 1 on; None where it is not given."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(
            type(side) is int and 1 <= side <= high for side in value
        ):
            raise self.wrong(name, wanted)
        return tuple(value)

    def object(self, name: str, allowed: Sequence[str]) -> Fields | None:
        """An object; None where it is not given or null."""
        if not self.given(name):
            return None
        return Fields(self.values[name], self.file, self.inside(name), allowed)

    def listed(
        self, name: str, wanted: str, empty: bool = False, default: Any = _REQUIRED
    ) -> list[tuple[Any, str]]:
        """The entries of a list, each with its path."""
        value = self._value(name, default, wanted)
        if not isinstance(value, list) or not (value or empty) or len(value) > MOST_LISTED:
            raise self.wrong(name, wanted)
        return [(entry, f"{self.inside(name)}[{i}]") for i, entry in enumerate(value)]


def as_number(value: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None

"""A number with its unit and its limits, declared once: as metadata of a dataclass's field.

Whoever reads such a dataclass from a file finds there what may stand in it. Numbers are in SI units
and radians; one may be written with another unit of the same kind, as text: "5 deg", "60 km/h",
"200 ms".
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from vista_sim.units import UNITS

SPEC = "spec"  # what a field may hold, in its metadata

_WITH_UNIT = re.compile(r"\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([^\s\d].*?)\s*")


class FieldError(ValueError):
    """A value that a field cannot hold; the message goes on after the field's name."""


@dataclass(frozen=True)
class Number:
    """A number, which may also be a range (see `ranges`) that is swept.

    Args:
        low, high: least and greatest value.
        unit: that it is in; "" for none.
        words: texts that may stand in its place.
        optional: whether it may be left out without having a value then.
        whole: no fractions, and no range.
    """

    low: float
    high: float
    unit: str = ""
    words: tuple[str, ...] = ()
    optional: bool = False
    whole: bool = False

    def read(self, value: Any) -> float | str:
        """The number in this field's unit. Raises FieldError."""
        if isinstance(value, str):
            if value in self.words:
                return value
            value = self._with_unit(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FieldError(f"is {shown(value)}; it must be {self.described()}")
        if self.whole and not isinstance(value, int):
            raise FieldError(f"is {shown(value)}; it must be {self.described()}")
        if not self.low <= value <= self.high:  # NaN is not
            hint = ""
            if self.unit == "rad" and abs(value) < 1e6:
                hint = f' (degrees are written "{value:g} deg")'
            raise FieldError(
                f"is {shown(value)}{' ' * bool(self.unit)}{self.unit}; "
                f"it must be {self.described()}{hint}"
            )
        return value if self.whole else float(value)

    def described(self) -> str:
        """What it may be, in words."""
        kind = "a whole number" if self.whole else "a number"
        text = f"{kind} from {self.low:g} to {self.high:g}{' ' * bool(self.unit)}{self.unit}"
        return " or ".join([text, *(f'"{word}"' for word in self.words)])

    def _with_unit(self, text: str) -> float:
        match = _WITH_UNIT.fullmatch(text[:100])
        if match is None:
            raise FieldError(f"is {shown(text)}; it must be {self.described()}")
        units = UNITS.get(self.unit, {})
        if match[2] not in units:
            known = " or ".join(units) or "a number without a unit"
            raise FieldError(f"is {shown(text)}: its unit must be {known}")
        return float(match[1]) * units[match[2]]


def number(
    default: Any, low: float, high: float, unit: str = "", *, words: tuple[str, ...] = ()
) -> Any:
    """A field of a dataclass that holds a number."""
    spec = Number(low, high, unit, words, optional=default is None)
    return dataclasses.field(default=default, metadata={SPEC: spec})


def shown(value: Any) -> str:
    """A value in an error: short, on one line."""
    if isinstance(value, dict):
        return "a table"
    try:
        said = repr(value)
    except ValueError:  # an integer too long to be written out
        said = "a huge number"
    return said if len(said) <= 60 else said[:57] + "..."

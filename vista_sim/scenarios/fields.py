"""What a field of a scenario may hold, as metadata of a dataclass's fields.

Numbers are in SI units and radians. A number may be written with another unit of the same
kind, as text: "5 deg", "60 km/h", "200 ms".
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from vista_sim.units import UNITS

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


@dataclass(frozen=True)
class Choice:
    """One of a few names."""

    names: tuple[str, ...]

    def read(self, value: Any) -> str:
        """The name. Raises FieldError."""
        if isinstance(value, str) and value in self.names:
            return value
        raise FieldError(f"is {shown(value)}; known are {', '.join(self.names)}")


@dataclass(frozen=True)
class Text:
    """A text that is not empty."""

    def read(self, value: Any) -> str:
        """The text. Raises FieldError."""
        if isinstance(value, str) and value.strip():
            return value
        raise FieldError(f"is {shown(value)}; it must be a text")


@dataclass(frozen=True)
class Texts:
    """A text, or a list of texts."""

    def read(self, value: Any) -> tuple[str, ...]:
        """The texts. Raises FieldError."""
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list | tuple) or not values:
            raise FieldError(f"is {shown(value)}; it must be a text or a list of texts")
        for one in values:
            if not isinstance(one, str) or not one.strip():
                raise FieldError(f"holds {shown(one)}; it must be a text or a list of texts")
        return tuple(values)


@dataclass(frozen=True)
class Span:
    """Two numbers, the first less than the second."""

    of: Number

    def read(self, value: Any) -> tuple[float, float]:
        """Both. Raises FieldError."""
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise FieldError(
                f"is {shown(value)}; it must be [from, to], each {self.of.described()}"
            )
        first, second = (float(self.of.read(one)) for one in value)
        if not first < second:
            raise FieldError(f"is [{first:g}, {second:g}]; the first must be less than the second")
        return first, second


Spec = Number | Choice | Text | Texts | Span


def number(
    default: Any, low: float, high: float, unit: str = "", *, words: tuple[str, ...] = ()
) -> Any:
    """A field of a dataclass that holds a number."""
    return _field(default, Number(low, high, unit, words, optional=default is None))


def count(default: Any, low: int, high: int) -> Any:
    """A field of a dataclass that holds a whole number."""
    return _field(default, Number(low, high, optional=default is None, whole=True))


def choice(default: str, *names: str) -> Any:
    """A field of a dataclass that holds one of a few names."""
    return _field(default, Choice(names))


def text(default: Any = None) -> Any:
    """A field of a dataclass that holds a text."""
    return _field(default, Text())


def texts() -> Any:
    """A field of a dataclass that holds texts; none by default."""
    return _field((), Texts())


def span(low: float, high: float, unit: str) -> Any:
    """A field of a dataclass that holds a span of numbers; None by default."""
    return _field(None, Span(Number(low, high, unit)))


def further() -> Any:
    """A field of a dataclass that holds the sensors in its table: see `scenarios.further`."""
    return dataclasses.field(default=(), metadata={"further": True})


def holds_further(field: dataclasses.Field[Any]) -> bool:
    """Whether a field holds the sensors that stand in the table of its dataclass."""
    return "further" in field.metadata


def spec_of(field: dataclasses.Field[Any]) -> Spec | None:
    """What a field may hold; None: a table, or nothing that a file gives."""
    return field.metadata.get("spec")


def table_of(field: dataclasses.Field[Any]) -> Any:
    """The dataclass that a field is, as a table of its own; None: it is none."""
    return field.default_factory if dataclasses.is_dataclass(field.default_factory) else None


def shown(value: Any) -> str:
    """A value in an error: short, on one line."""
    if isinstance(value, dict):
        return "a table"
    try:
        said = repr(value)
    except ValueError:  # an integer too long to be written out
        said = "a huge number"
    return said if len(said) <= 60 else said[:57] + "..."


def _field(default: Any, spec: Spec) -> Any:
    return dataclasses.field(default=default, metadata={"spec": spec})

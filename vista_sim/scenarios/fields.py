"""What a field of a scenario may hold, as metadata of a dataclass's fields.

Of numbers see `vista_sim.quantities`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vista_sim.errors import VistaError
from vista_sim.quantities import SPEC
from vista_sim.quantities import FieldError as FieldError
from vista_sim.quantities import Number as Number
from vista_sim.quantities import number as number
from vista_sim.quantities import shown as shown


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
class Named:
    """A name that a registry knows.

    Args:
        find: is called with it; raises a VistaError where it knows none.
    """

    find: Callable[[Any], Any]

    def read(self, value: Any) -> str:
        """The name. Raises FieldError."""
        try:
            self.find(value)
        except VistaError as error:
            raise FieldError(str(error)) from None
        return str(value)


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


Spec = Number | Choice | Named | Text | Texts | Span


def count(default: Any, low: int, high: int) -> Any:
    """A field of a dataclass that holds a whole number."""
    return _field(default, Number(low, high, optional=default is None, whole=True))


def choice(default: str, *names: str) -> Any:
    """A field of a dataclass that holds one of a few names."""
    return _field(default, Choice(names))


def named(default: str, find: Callable[[Any], Any]) -> Any:
    """A field of a dataclass that holds a name; see `Named`."""
    return _field(default, Named(find))


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
    return field.metadata.get(SPEC)


def table_of(field: dataclasses.Field[Any]) -> Any:
    """The dataclass that a field is, as a table of its own; None: it is none."""
    return field.default_factory if dataclasses.is_dataclass(field.default_factory) else None


def _field(default: Any, spec: Spec) -> Any:
    return dataclasses.field(default=default, metadata={SPEC: spec})

"""Options of a format: fields of one frozen dataclass that say what they mean and what they may be.

The command line and the checks are made of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vista_sim.errors import TraceError
from vista_sim.files import shown
from vista_sim.traces.known import ASSUMED, GIVEN

_KEY = "vista_sim.option"


@dataclass(frozen=True)
class About:
    """What is known of one option.

    Args:
        help: one line, with the unit.
        low, high: bounds of a number.
        choices: of a text; empty: any.
        degrees: an angle: rad here, degrees on the command line.
    """

    help: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    degrees: bool = False

    @property
    def listed(self) -> str:
        """The choices as a sentence has them: a, b or c; empty: any text."""
        return ", ".join(self.choices[:-1]) + f" or {self.choices[-1]}" if self.choices else ""


def option(default: Any, help: str, **about: Any) -> Any:
    """A field of an options dataclass; see `About` for its further arguments.

    A default of None is that of a number which may be left out.
    """
    return dataclasses.field(default=default, metadata={_KEY: About(help, **about)})


def about_options(options: Any) -> dict[str, tuple[dataclasses.Field[Any], About]]:
    """The fields of an options dataclass by name, and what is known of them."""
    return {field.name: (field, field.metadata[_KEY]) for field in dataclasses.fields(options)}


def make_options(kind: type[Any], given: Mapping[str, Any]) -> Any:
    """Options of a class with these values, checked. Raises TraceError."""
    known = about_options(kind)
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise TraceError(f"there is no option {name!r}; options of this format: {listed}")
    options = kind(**given)
    for name, (field, about) in known.items():
        check_option(name, getattr(options, name), field.default, about)
    return options


def check_option(name: str, value: Any, default: Any, about: About) -> None:
    """Raise TraceError unless a value is one that an option may have."""
    if about.choices and value not in about.choices:
        raise TraceError(f"{name} is {shown(value)}; it must be {about.listed}")
    if default is None and value is None:
        return
    if default is None or (isinstance(default, int | float) and not isinstance(default, bool)):
        usable = isinstance(value, int | float) and not isinstance(value, bool)
        if not (usable and about.low <= value <= about.high):
            low, high = about.low, about.high
            if about.degrees and usable:
                value, low, high = (round(math.degrees(v), 6) for v in (value, low, high))
            raise TraceError(f"{name} is {shown(value)}; it must be from {low:g} to {high:g}")


def given_or_assumed(options: Any, *names: str) -> str:
    """Whether any of these options is not its default."""
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    return GIVEN if any(getattr(options, name) != defaults[name] for name in names) else ASSUMED

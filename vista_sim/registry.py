"""What is known by a name: what comes with the simulator, and what others add.

An installed package brings its own along by an entry point of a group; a program adds what it has
made by `Registry.add`. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from vista_sim.errors import VistaError
from vista_sim.files import one_line, shown

T = TypeVar("T")


def offered(group: str, own: Mapping[str, str] | None = None) -> dict[str, EntryPoint]:
    """What can be loaded, by name; this project's own first, which no other one replaces.

    Args:
        group: of entry points.
        own: where this project's are, by name: "package.module:attribute".
    """
    found = {name: EntryPoint(name, where, group) for name, where in (own or {}).items()}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        found.setdefault(entry.name, entry)
    return found


def loaded(
    entry: EntryPoint,
    what: str,
    error: type[VistaError],
    made: Callable[[Any], T] = lambda value: value,
) -> T:
    """What `made` makes of what an entry point stands for.

    Raises:
        VistaError: of the class `error`; it names the entry point, whatever goes wrong.
    """
    try:
        return made(entry.load())
    except Exception as wrong:  # whatever another package raises
        raise error(
            f"the {what} {entry.name!r} ({entry.value}) cannot be loaded ({one_line(wrong)})"
        ) from wrong


class Registry(Generic[T]):
    """Values by name.

    Args:
        group: of the entry points that add to it.
        what: its values are, such as "task".
        error: that is raised.
        own: see `offered`.
        known: what is known from the start, by name.
        made: makes a value of what an entry point stands for.
    """

    def __init__(
        self,
        group: str,
        what: str,
        error: type[VistaError],
        own: Mapping[str, str] | None = None,
        known: Mapping[str, T] | None = None,
        made: Callable[[Any], T] = lambda value: value,
    ) -> None:
        self.group, self.what, self.error = group, what, error
        self._own, self._made = dict(own or {}), made
        self._found = dict(known or {})

    def names(self) -> tuple[str, ...]:
        """All that can be asked for."""
        return tuple(sorted({*self._found, *offered(self.group, self._own)}))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._found or name in self.names())

    def find(self, name: Any) -> T:
        """The value of a name, loaded when it is first asked for.

        Raises:
            VistaError: of the class `error`; there is none, or it cannot be loaded.
        """
        if isinstance(name, str) and name in self._found:
            return self._found[name]
        entry = offered(self.group, self._own).get(name) if isinstance(name, str) else None
        if entry is None:
            known = self.names()
            near = difflib.get_close_matches(name, known, 1, 0.6) if isinstance(name, str) else ()
            hint = f"; did you mean {near[0]!r}?" if near else ";"
            raise self.error(
                f"there is no {self.what} {shown(name)}{hint} known are {', '.join(known)}"
            )
        value = self._found[name] = loaded(entry, self.what, self.error, self._made)
        return value

    def add(self, name: str, value: T) -> None:
        """Make a value known to this process. Raises `error`: the name is that of another one."""
        if name in self and self._found.get(name) != value:
            raise self.error(f"there is a {self.what} {name!r} already; choose another name")
        self._found[name] = value

    def copy(self) -> Registry[T]:
        """One that knows the same; what is added to it is its own."""
        return Registry(self.group, self.what, self.error, self._own, self._found, self._made)

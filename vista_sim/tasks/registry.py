"""Tasks by name: those that come with the simulator, and those that others add.

A task of this project is a file and a line of `OWN`. An installed package brings its own along by
an entry point of the group `vista_sim.tasks`: its name is the task's, its value the class. A
program adds one with `register`. What such a class is like says `tasks.task.Task`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, cast

from vista_sim.errors import WorldError
from vista_sim.files import shown
from vista_sim.registry import Registry
from vista_sim.tasks.task import PARTS, GivenEndings, GivenRewards, Task, parts_of, wrong_part

ENTRY_POINT_GROUP = "vista_sim.tasks"
LANE_FOLLOWING = "lane-following"  # where none is named
OWN = {
    LANE_FOLLOWING: "vista_sim.tasks.lane_following:LaneFollowing",
    "stop-at-end": "vista_sim.tasks.stop_at_end:StopAtEnd",
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def _checked(task: Any) -> Any:
    """A class of tasks that may be known by a name. Raises WorldError."""
    name = getattr(task, "__name__", shown(task))
    if Task not in getattr(task, "__mro__", ()) or not dataclasses.is_dataclass(task):
        raise WorldError(f"{name} is no task; derive a frozen dataclass from vista_sim.Task")
    kinds = parts_of(cast("type[Any]", task))
    for part, (base, _) in PARTS.items():
        kind = kinds.get(part)
        if kind is None or not issubclass(kind, base):
            raise WorldError(
                f"the task {name} needs a field {part!r} that is made by {base.__name__}, or by a "
                "dataclass derived from it: field(default_factory=...)"
            )
    return task


_tasks: Registry[type[Task]] = Registry(ENTRY_POINT_GROUP, "task", WorldError, OWN, made=_checked)


def register(name: str, task: type[Task]) -> None:
    """Make a task known to this process. Raises WorldError: it is none, or the name is taken."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise WorldError(
            f"name of a task is {shown(name)}; it must be 1 to 40 letters, digits, '.', '-' or '_'"
        )
    _tasks.add(name, _checked(task))


def known_tasks() -> tuple[str, ...]:
    """All that can be named."""
    return _tasks.names()


def find_task(name: Any) -> type[Task]:
    """The class of a task by its name. Raises WorldError: nobody knows it."""
    return _tasks.find(name)


def make_task(
    task: Task | str | None = None,
    endings: GivenEndings | None = None,
    rewards: GivenRewards | None = None,
) -> Task:
    """The task that a world or an environment is asked for.

    Args:
        task: a name, or a task; None: lane following.
        endings, rewards: of a task that is named: its dataclasses, or mappings of their fields;
            None: as they are by default.

    Raises:
        WorldError: there is no such task, or a part of it cannot be.
    """
    given = {"limits": endings, "rewards": rewards}
    if task is None or isinstance(task, str):
        kind: Any = find_task(LANE_FOLLOWING if task is None else task)
        kinds = parts_of(kind)
        made: Task = kind(
            **{
                name: _part(kinds[name], PARTS[name][1], value)
                for name, value in given.items()
                if value is not None
            }
        )
        return made
    if not isinstance(task, Task) or isinstance(task, type):
        raise WorldError(
            f"task is {shown(task)}; give a name ({', '.join(known_tasks())}), or an object of a "
            "class that is derived from vista_sim.Task"
        )
    for name, value in given.items():
        if value is not None:
            raise WorldError(f"{PARTS[name][1]} is given beside a task; say it in the task alone")
    names = [ending.name for ending in task.endings]
    if len(set(names)) < len(names):
        raise WorldError(f"endings of {type(task).__name__} have a name twice: {', '.join(names)}")
    return task


def _part(kind: type[Any], argument: str, value: Any) -> Any:
    """A part of a task: as given, or of a mapping of its fields."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise WorldError(wrong_part(argument, value, kind))
    known = [member.name for member in dataclasses.fields(kind)]
    for name in value:
        if name not in known:
            raise WorldError(f"{argument} has {shown(name)}; known are {', '.join(known)}")
    return kind(**value)

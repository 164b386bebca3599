"""How episodes end: endings, each with its kind, and the limits that tasks on a road share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from vista_sim.arguments import check_number
from vista_sim.errors import WorldError
from vista_sim.files import shown
from vista_sim.quantities import number

Kind = Literal["crash", "cut", "success"]
CRASH: Kind = "crash"
CUT: Kind = "cut"
SUCCESS: Kind = "success"
KINDS: tuple[Kind, ...] = get_args(Kind)

#: The ending of every episode that the limit of time cuts.
TIME_LIMIT = "time_limit"
ROAD = "road"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why an episode may be over.

    Args:
        name: as infos and runs have it: words joined by "_".
        kind: "crash": the car failed, what it could still have earned is lost; "success": it did
            what was asked. Both are terminations, as Gymnasium calls them. "cut": neither, driving
            could go on: a truncation.
    """

    name: str
    kind: Kind

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name.isidentifier()):
            raise WorldError(f"name of an ending is {shown(self.name)}; it must be a plain name")
        if self.kind not in KINDS:
            known = ", ".join(KINDS)
            raise WorldError(f"kind of {self.name} is {shown(self.kind)}; known are {known}")


def name_of(endings: Sequence[Ending], code: int) -> str | None:
    """The name that a code stands for: code 0 is none, code k the k-th of a task's endings."""
    return endings[code - 1].name if code else None


def code_of(endings: Sequence[Ending], name: str | None) -> int:
    """The code of an ending by its name; 0 of None."""
    return 0 if name is None else 1 + [ending.name for ending in endings].index(name)


def kind_of(endings: Sequence[Ending], name: str | None) -> Kind | None:
    """The kind of an ending by its name; None where there is no such ending."""
    return next((ending.kind for ending in endings if ending.name == name), None)


@dataclass(frozen=True)
class Endings:
    """When an episode is over: what all tasks have in common, and all of lane following's."""

    # m from the path; "road": the trace's road edges
    max_lateral: float | Literal["road"] = number(2.0, 0.01, 25.0, "m", words=(ROAD,))
    max_heading: float = number(math.pi / 10, 0.001, math.pi, "rad")  # from the path's direction
    time_limit: float | None = None  # s

    def __post_init__(self) -> None:
        if isinstance(self.max_lateral, str):
            if self.max_lateral != ROAD:
                raise WorldError(
                    f"max_lateral is {self.max_lateral!r}; give metres, or 'road' for the "
                    "trace's own road edges"
                )
        elif not check_number("max_lateral", self.max_lateral, "m") > 0:
            raise WorldError(f"max_lateral is {self.max_lateral} m; it must be positive")
        if not 0 < check_number("max_heading", self.max_heading, "rad") <= math.pi:
            raise WorldError(f"max_heading is {self.max_heading} rad; it must be in (0, pi]")
        if self.time_limit is not None and not check_number("time_limit", self.time_limit, "s") > 0:
            raise WorldError(f"time_limit is {self.time_limit} s; it must be positive")

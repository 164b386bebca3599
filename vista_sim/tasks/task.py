"""What a world asks of a task."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vista_sim.arguments import check_number
from vista_sim.dynamics.state import Table
from vista_sim.errors import WorldError
from vista_sim.files import shown
from vista_sim.quantities import number
from vista_sim.tasks.endings import Ending, Endings
from vista_sim.tasks.starts import Starts

if TYPE_CHECKING:
    from vista_sim.traces.trace import Trace


def weight(default: float) -> float:
    """A field of `Weights`."""
    value: float = number(default, -1000.0, 1000.0)
    return value


@dataclass(frozen=True)
class Weights:
    """Weights of a task's reward terms: each of its fields is the weight of the term of that name.

    Raises:
        WorldError: one is no finite number.
    """

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(check_number(f"reward weight {name}", value)):
                raise WorldError(f"reward weight {name} is {value}; it must be finite")


#: What worlds and environments take of a task that they are given by its name.
GivenEndings = Endings | Mapping[str, Any]
GivenRewards = Weights | Mapping[str, float]

#: The fields of a task that is known by a name: what each derives from, and as what it is given to
#: worlds and environments.
PARTS: Mapping[str, tuple[type[Any], str]] = {
    "limits": (Endings, "endings"),
    "rewards": (Weights, "rewards"),
}


@runtime_checkable
class Task(Protocol):
    """What is asked of cars: named reward terms, and endings; to be derived from.

    One that is known by a name (see `tasks.registry`) is a frozen dataclass of two fields with
    defaults: `limits`, `Endings` or a dataclass derived from it, and `rewards`, one derived from
    `Weights`. What their fields may hold in a file stands in their metadata (`quantities.number`,
    `weight`).

    Attributes:
        terms: names of the reward terms.
        endings: why an episode may be over, by different names. Code k stands for the k-th of
            them, counted from 1; code 0 for none: the episode goes on.
        limits: what it has in common with other tasks: where a car has left the road (which is
            drawn, too), and how long an episode may last.
        needs_speed: whether it takes cars that choose their speed, not drive as recorded.
    """

    limits: Endings = Endings()
    needs_speed: ClassVar[bool] = False

    @property
    def terms(self) -> tuple[str, ...]: ...

    @property
    def endings(self) -> tuple[Ending, ...]: ...

    def judge(
        self,
        table: Table,
        rows: NDArray[np.int64],
        dt: float,
        terms: NDArray[np.float64],
        codes: NDArray[np.int64],
    ) -> None:
        """Judge the last step of some cars, once, or their start.

        A row's numbers must not depend on the other rows: one car is judged as many are. The
        episode of a car out of reach of the path (IN_REACH is 0) must be over: where it is along
        the path is not known. One that the limit of time cuts ends by `endings.TIME_LIMIT`.

        Args:
            table: (n, WIDTH) of all cars, see `dynamics.state`.
            rows: (k,) which of them.
            dt: length of a step, s.
            terms: (n, K), filled with the weighted terms in the order of `terms`; their sum is
                the reward.
            codes: (n,), filled with the codes of endings.
        """

    def check_starts(self, starts: Starts, traces: Iterable[Trace]) -> None:
        """Refuse starts that the endings never allow; by default none.

        Args:
            starts: how they are drawn.
            traces: that are driven.

        Raises:
            WorldError: what may be drawn is over at once, or a trace does not say what is asked.
        """


def parts_of(task: type[Any]) -> dict[str, type[Any]]:
    """The dataclasses that make the fields of a task, by name."""
    members = dataclasses.fields(task)
    makers: dict[str, Any] = {member.name: member.default_factory for member in members}
    return {name: maker for name, maker in makers.items() if isinstance(maker, type)}


def check_parts(task: Any) -> None:
    """Refuse a task with fields of other classes than its own. Raises WorldError."""
    for name, kind in parts_of(type(task)).items():
        value = getattr(task, name)
        if not isinstance(value, kind):
            raise WorldError(wrong_part(name, value, kind))


def wrong_part(name: str, value: Any, kind: type[Any]) -> str:
    """What to say of a part of a task that is of another class than `kind`."""
    known = ", ".join(member.name for member in dataclasses.fields(kind))
    return (
        f"{name} is {shown(value)}; give {kind.__name__}(...) of {kind.__module__}, or a mapping "
        f"of its fields ({known})"
    )

"""When a car that started beside the path, or askew, counts as recovered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from vista_sim.arguments import check_number
from vista_sim.errors import WorldError
from vista_sim.tasks.endings import CUT, Ending

RECOVERED = "recovered"
TIMED_OUT = "not_recovered"

#: Of a test of recovery, beside those of the task: it says that the test is over, not the drive.
ENDINGS = (Ending(RECOVERED, CUT), Ending(TIMED_OUT, CUT))


@dataclass(frozen=True)
class RecoveryRule:
    """A car has recovered when it is near the path for a while on end, soon enough.

    Args:
        within_lateral, within_heading: near is both, m and rad.
        within_time: s from the start.
        held: s on end; a car that merely crosses the path is not back.
    """

    within_lateral: float = 0.3
    within_heading: float = math.radians(2)
    within_time: float = 5.0
    held: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_number(name, value)
        if min(self.within_lateral, self.within_heading, self.within_time) <= 0:
            raise WorldError("what counts as recovered must be within positive limits")
        if not 0 <= self.held < self.within_time:
            raise WorldError(f"held is {self.held} s; it must be less than {self.within_time} s")


class WatchedCar(Protocol):
    """What is read of a car that is to recover; see `vista_sim.car.Car`, which is one."""

    @property
    def steps(self) -> int: ...

    @property
    def t(self) -> float: ...

    @property
    def lateral(self) -> float: ...

    @property
    def heading_error(self) -> float: ...

    @property
    def done(self) -> bool: ...


class RecoveryWatch:
    """Follows a car from its start and says when the test is over.

    Attributes:
        recovered: whether the car has recovered.
    """

    def __init__(self, rule: RecoveryRule) -> None:
        self.rule = rule
        self.recovered = False
        self._since: float | None = None

    def __call__(self, car: WatchedCar) -> bool:
        """Look at the car, after its start and after each step; whether the test is over."""
        rule = self.rule
        back = (
            car.steps > 0
            and not car.done
            and abs(car.lateral) <= rule.within_lateral
            and abs(car.heading_error) <= rule.within_heading
        )
        if not back:
            self._since = None
        elif self._since is None:
            self._since = car.t
        self.recovered = self._since is not None and car.t - self._since >= rule.held - 1e-9
        return self.recovered or car.t >= rule.within_time - 1e-9

    @property
    def ending(self) -> str:
        """What the test came to, unless the car itself was done before."""
        return RECOVERED if self.recovered else TIMED_OUT

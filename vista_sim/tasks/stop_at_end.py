"""Stopping: drive along the recorded path, and stand just before the end of the section."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vista_sim.arguments import check_number
from vista_sim.dynamics import state as c
from vista_sim.dynamics.state import Table
from vista_sim.errors import WorldError
from vista_sim.quantities import number
from vista_sim.tasks.endings import CRASH, CUT, SUCCESS, TIME_LIMIT, Ending, Endings
from vista_sim.tasks.lane_following import HEADING, OFF_ROAD, LaneFollowing, Rewards
from vista_sim.tasks.task import weight

# Codes of endings: those of lane following, whose end of the section is overrun here.
OVERRUN, STOPPED = 3, 5
_GOES_ON, _TIME_LIMIT = 0, 4


@dataclass(frozen=True)
class StopEndings(Endings):
    """When an episode of stopping is over: as of lane following, and by standing."""

    time_limit: float | None = 300.0  # s; who stands elsewhere would stand for ever
    within: float = number(5.0, 0.1, 1000.0, "m")  # before the section's end it may stand
    standing: float = number(0.1, 0.001, 1.0, "m/s")  # no faster is standing

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, unit in (("within", "m"), ("standing", "m/s")):
            if not check_number(name, getattr(self, name), unit) > 0:
                raise WorldError(f"{name} is {getattr(self, name)} {unit}; it must be positive")


@dataclass(frozen=True)
class StopRewards(Rewards):
    """Weights of the reward terms: those of lane following, where staying alive earns nothing.

    stop: 1 in the step in which the car has stopped where it should.
    """

    survive: float = weight(0.0)
    stop: float = weight(10.0)


@dataclass(frozen=True)
class StopAtEnd(LaneFollowing):
    """Stand before the end of the section, no farther from it than `limits.within`.

    To run over the end is a failure, as to leave the road is.
    """

    limits: StopEndings = field(default_factory=StopEndings)
    rewards: StopRewards = field(default_factory=StopRewards)

    needs_speed: ClassVar[bool] = True
    endings: ClassVar[tuple[Ending, ...]] = (
        Ending(OFF_ROAD, CRASH),
        Ending(HEADING, CRASH),
        Ending("overrun", CRASH),
        Ending(TIME_LIMIT, CUT),
        Ending("stopped", SUCCESS),
    )

    def judge(
        self,
        table: Table,
        rows: NDArray[np.int64],
        dt: float,
        terms: NDArray[np.float64],
        codes: NDArray[np.int64],
    ) -> None:
        """Judge the last step of some cars; see `Task`."""
        super().judge(table, rows, dt, terms, codes)
        found, left = codes[rows], table[rows, c.END_S] - table[rows, c.S]
        stands = (table[rows, c.SPEED] <= self.limits.standing) & (left <= self.limits.within)
        stopped = stands & ((found == _GOES_ON) | (found == _TIME_LIMIT))
        codes[rows[stopped]] = STOPPED
        terms[rows, 5] = np.where(stopped, self.rewards.stop, 0.0)
        terms[rows[found == OVERRUN], 0] = 0.0

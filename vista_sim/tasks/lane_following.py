"""Lane following: stay on the recorded path, or on the road around it, to its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vista_sim.arguments import check_number
from vista_sim.dynamics.state import Table
from vista_sim.errors import WorldError
from vista_sim.files import shown
from vista_sim.tasks.starts import Starts

if TYPE_CHECKING:
    from vista_sim.traces.trace import Trace

OFF_ROAD = "off_road"
HEADING = "heading"
END_OF_TRACE = "end_of_trace"
TIME_LIMIT = "time_limit"

#: By the codes of `judging`.
ENDINGS = (None, OFF_ROAD, HEADING, END_OF_TRACE, TIME_LIMIT)

#: Endings that count as leaving the road.
CRASHES = frozenset({OFF_ROAD, HEADING})


@dataclass(frozen=True)
class Endings:
    """When an episode of lane following is over."""

    max_lateral: float | Literal["road"] = 2.0  # m from the path; "road": the trace's road edges
    max_heading: float = math.pi / 10  # rad from the path's direction
    time_limit: float | None = None  # s

    def __post_init__(self) -> None:
        if isinstance(self.max_lateral, str):
            if self.max_lateral != "road":
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


@dataclass(frozen=True)
class Rewards:
    """Weights of the reward terms of one step.

    survive: 1 while the episode has not ended in failure.
    progress: distance gained along the path over what the recorded car covers in one step,
        in [-1, 1.5].
    lateral: minus the square of the lateral offset over its limit, in [-1, 0].
    heading: minus the square of the heading error over its limit, in [-1, 0].
    comfort: minus the square of the tire angle's rate over the vehicle's limit, in [-1, 0].
    """

    survive: float = 0.5
    progress: float = 0.5
    lateral: float = 0.5
    heading: float = 0.1
    comfort: float = 0.05

    def __post_init__(self) -> None:
        for name, weight in vars(self).items():
            if not math.isfinite(check_number(f"reward weight {name}", weight)):
                raise WorldError(f"reward weight {name} is {weight}; it must be finite")


@dataclass(frozen=True)
class LaneFollowing:
    """Follow the recorded path."""

    endings: Endings = field(default_factory=Endings)
    rewards: Rewards = field(default_factory=Rewards)

    def __post_init__(self) -> None:
        for name, kind in (("endings", Endings), ("rewards", Rewards)):
            if not isinstance(getattr(self, name), kind):
                raise WorldError(
                    f"{name} is {shown(getattr(self, name))}; give {kind.__name__}(...) of "
                    "vista_sim.tasks.lane_following"
                )

    @property
    def ending_names(self) -> tuple[str | None, ...]:
        return ENDINGS

    @property
    def truncations(self) -> frozenset[str]:
        return frozenset({END_OF_TRACE, TIME_LIMIT})

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """Names of the reward terms."""
        return tuple(vars(self.rewards))

    def check_starts(self, starts: Starts, traces: Iterable[Trace]) -> None:
        """Refuse starts that the endings never allow.

        Args:
            starts: how they are drawn.
            traces: that are driven.

        Raises:
            WorldError: what may be drawn is over at once, or a trace does not say where its
                road ends though the endings ask for that.
        """
        endings = self.endings
        if starts.heading > endings.max_heading:
            raise WorldError(
                f"starts are turned by up to {starts.heading:g} rad (perturb_heading); that must "
                f"be within the endings' max_heading, {endings.max_heading:g} rad"
            )
        widest, road = endings.max_lateral, ""
        if isinstance(widest, str):
            edges = [(trace.road, trace.root) for trace in traces]
            for table, root in edges:
                if not table:
                    raise WorldError(
                        f"{root}: has no road.parquet; give max_lateral in metres instead"
                    )
            reach = [np.maximum(table["left"], table["right"]).max() for table, _ in edges]
            widest, road = float(max(reach, default=math.inf)), ", the road's widest"
        if starts.lateral > widest:
            raise WorldError(
                f"starts are up to {starts.lateral:g} m beside the path (perturb_lateral); that "
                f"must be within the endings' max_lateral, {widest:g} m{road}"
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
        _judge()(table, rows, dt, *self._settings, terms, codes)

    @cached_property
    def _settings(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Limits and weights as `judging.judge` takes them."""
        endings = self.endings
        lateral = math.nan if isinstance(endings.max_lateral, str) else endings.max_lateral
        time = math.inf if endings.time_limit is None else endings.time_limit
        limits = np.array([lateral, endings.max_heading, time], dtype=np.float64)
        return limits, np.array(list(vars(self.rewards).values()), dtype=np.float64)


@cache
def _judge() -> Callable[..., None]:
    """The compiled code, loaded when first used."""
    from vista_sim.tasks.judging import judge

    return judge

"""Lane following: stay on the recorded path, or on the road around it, to its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics.state import Table
from vista_sim.errors import WorldError
from vista_sim.tasks.endings import CRASH, CUT, TIME_LIMIT, Ending
from vista_sim.tasks.endings import Endings as Endings
from vista_sim.tasks.starts import Starts
from vista_sim.tasks.task import Task, Weights, check_parts, weight

if TYPE_CHECKING:
    from vista_sim.traces.trace import Trace

OFF_ROAD = "off_road"
HEADING = "heading"
END_OF_TRACE = "end_of_trace"


@dataclass(frozen=True)
class Rewards(Weights):
    """Weights of the reward terms of one step.

    survive: 1 while the episode has not ended in failure.
    progress: distance gained along the path over what the recorded car covers in one step,
        in [-1, 1.5].
    lateral: minus the square of the lateral offset over its limit, in [-1, 0].
    heading: minus the square of the heading error over its limit, in [-1, 0].
    comfort: minus the square of the tire angle's rate over the vehicle's limit, in [-1, 0].
    """

    survive: float = weight(0.5)
    progress: float = weight(0.5)
    lateral: float = weight(0.5)
    heading: float = weight(0.1)
    comfort: float = weight(0.05)


@dataclass(frozen=True)
class LaneFollowing(Task):
    """Follow the recorded path.

    Args:
        limits: when an episode is over.
        rewards: weights of the reward terms.
    """

    limits: Endings = field(default_factory=Endings)
    rewards: Rewards = field(default_factory=Rewards)

    endings: ClassVar[tuple[Ending, ...]] = (
        Ending(OFF_ROAD, CRASH),
        Ending(HEADING, CRASH),
        Ending(END_OF_TRACE, CUT),
        Ending(TIME_LIMIT, CUT),
    )

    def __post_init__(self) -> None:
        check_parts(self)

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
        limits = self.limits
        if starts.heading > limits.max_heading:
            raise WorldError(
                f"starts are turned by up to {starts.heading:g} rad (perturb_heading); that must "
                f"be within the endings' max_heading, {limits.max_heading:g} rad"
            )
        widest, road = limits.max_lateral, ""
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
        own = self.limits
        lateral = math.nan if isinstance(own.max_lateral, str) else own.max_lateral
        time = math.inf if own.time_limit is None else own.time_limit
        limits = np.array([lateral, own.max_heading, time], dtype=np.float64)
        return limits, np.array(list(vars(self.rewards).values()), dtype=np.float64)


@cache
def _judge() -> Callable[..., None]:
    """The compiled code, loaded when first used."""
    from vista_sim.tasks.judging import judge

    return judge

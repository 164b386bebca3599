"""Writes what cars do into a run, step by step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from vista_sim.runs.asked import asked_from, time_limit
from vista_sim.tasks.endings import CUT, SUCCESS, TIME_LIMIT

if TYPE_CHECKING:
    from vista_sim.world import Car


class Rows(Protocol):
    """Takes rows of a table."""

    def append(self, row: dict[str, Any], /) -> None: ...


class Sink(Protocol):
    """Takes the rows of a run, such as a `runs.writer.RunWriter`."""

    @property
    def steps(self) -> Rows: ...

    @property
    def timings(self) -> Rows: ...

    @property
    def episodes(self) -> Rows: ...

    @property
    def frames(self) -> Rows: ...

    def flush_now_and_then(self) -> None:
        """More rows may be long in coming: a good moment to pass on those that came."""


class Recorder:
    """Turns what cars do into the rows of a run.

    Attributes:
        writer: takes the rows.
        episode: number of the last one that began, counted from 0.
        start: what of the row of that episode is known from its start on.
    """

    def __init__(self, writer: Sink) -> None:
        self.writer = writer
        self.episode = -1
        self.start: dict[str, Any] = {}
        self._distance = self._reward = 0.0
        self._at = (0.0, 0.0)
        self._own_speed = False

    def begin(
        self,
        car: Car,
        kind: str,
        driver: str = "policy",
        road: str | None = None,
        **more: Any,
    ) -> None:
        """A car was set on its path; `more` are columns of the episode, in place of the car's."""
        self.episode += 1
        self._distance = self._reward = 0.0
        self._at = (car.x, car.y)
        self._own_speed = False
        self.start = {
            "episode": self.episode,
            "kind": kind,
            "driver": driver,
            "trace": car.trace_index,
            "trace_name": car.trace.name,
            "road": road,
            "section_start_s": car.section.start_s,
            "section_end_s": car.section.end_s,
            "start_s": car.s,
            "start_lateral": car.lateral,
            "start_heading": car.heading_error,
            "asked_s": self._asked(car, time_limit(car)),
            **more,
        }
        self.writer.steps.append(self._state(car))

    def step(self, car: Car, policy_s: float, dynamics_s: float) -> None:
        """A car has made a step."""
        reward = car.reward
        self._reward += reward
        self._distance += math.hypot(car.x - self._at[0], car.y - self._at[1])
        self._at = (car.x, car.y)
        row = self._state(car)
        self._own_speed |= car.controls.free_speed and row["action_acceleration"] is not None
        row["reward"] = reward
        for name, value in car.reward_terms.items():
            row[f"reward_{name}"] = value
        self.writer.steps.append(row)
        self.writer.timings.append(
            {
                "episode": self.episode,
                "step": car.steps,
                "policy_s": policy_s,
                "dynamics_s": dynamics_s,
                "view_s": car.view_seconds,
            }
        )
        self.writer.flush_now_and_then()

    def end(
        self, car: Car, ending: str | None = None, *, cut_short: bool = False, **more: Any
    ) -> None:
        """The episode is over.

        Args:
            car: that drove.
            ending: where the car itself was not done.
            cut_short: whether somebody broke it off who is no judge of the drive.
            more: columns of the episode.
        """
        asked = self.start["asked_s"]
        if cut_short or car.ending == TIME_LIMIT:
            # Where the speed is not the driver's, the car itself says how far the time was enough.
            asked = self._asked(car, car.t) if self._own_speed else car.s
        kind = car.ending_kind
        if kind == SUCCESS:
            asked = car.s  # it was asked for no more
        if kind is None and ending is not None and more.get("failure") is None:
            kind = CUT  # by whoever broke it off
        self.writer.episodes.append(
            {
                **self.start,
                "end_s": car.s,
                "asked_s": asked,
                "steps": car.steps,
                "duration": car.t,
                "distance": self._distance,
                "reward": self._reward,
                "ending": car.ending or ending,
                "ending_kind": kind,
                "missed": _missed(car),
                **more,
            }
        )
        self.writer.flush_now_and_then()

    def _asked(self, car: Car, time: float | None) -> float | None:
        """How far along the path a time asks for; None: without a limit."""
        if time is None:
            return None
        held = car.controls
        start_s = car.s if car.steps == 0 else self.start["start_s"]
        span = start_s, car.section.end_s
        return asked_from(car.trace.path, span, time, held.speed_factor, held.speed_limit)

    def _state(self, car: Car) -> dict[str, Any]:
        action = car.action
        return {
            "episode": self.episode,
            "step": car.steps,
            "t": car.t,
            "scene_time": car.scene_time,
            "s": car.s,
            "lateral": car.lateral,
            "heading_error": car.heading_error,
            "x": car.x,
            "y": car.y,
            "yaw": car.yaw,
            "speed": car.speed,
            "tire_angle": car.tire_angle,
            "curvature": car.curvature,
            "action_curvature": None if action is None else action.curvature,
            "action_acceleration": None if action is None else action.acceleration,
            "validity": None if math.isnan(car.validity) else car.validity,
            "distance_to_recording": car.distance_to_recording,
            "ending": car.ending,
        }


def _missed(car: Car) -> bool:
    """Whether its episode was cut before it had done what its task asks."""
    asks = any(ending.kind == SUCCESS for ending in car.world.task.endings)
    return asks and car.ending_kind == CUT

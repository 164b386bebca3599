"""Open loop: what a policy would do where the human was, without driving there.

The policy is shown the recorded drive from the recorded poses, one moment after another, and
its answers are written down beside what the human did. Nothing it says has a consequence.
`metrics.agreement` says how far apart the two are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.evaluation.episode import act
from vista_sim.evaluation.metrics.agreement import (
    open_loop_curvature_mae,
    open_loop_tire_angle_mae,
)
from vista_sim.evaluation.plain import or_null
from vista_sim.policies import Policy
from vista_sim.policies.policy import policy_sensors
from vista_sim.sensors.pool import CameraMaker
from vista_sim.traces.sections import Section

if TYPE_CHECKING:
    from vista_sim.world import Car, TracePaths


@dataclass(frozen=True)
class OpenLoop:
    """A policy's answers along recorded drives.

    Args:
        answers: a table with a row a moment: trace (an index), trace_name, section (counted in
            the trace), t (s of the trace), s (m), curvature and tire_angle of the human (1/m and
            rad; the path's smoothed curvature there, and the angle that drives it),
            action_curvature and action_tire_angle of the policy, within the vehicle's limits,
            validity (share of recorded pixels; NaN without a camera).
    """

    answers: dict[str, NDArray[Any]]

    @property
    def curvature_mae(self) -> float:
        """Mean size of the policy's curvature less the human's, 1/m."""
        return open_loop_curvature_mae(self.answers)

    @property
    def tire_angle_mae(self) -> float:
        """Mean size of the policy's tire angle less the human's, rad."""
        return open_loop_tire_angle_mae(self.answers)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; what was not measured is null."""
        values = {
            "steering_mae_open_loop_1_m": self.curvature_mae,
            "steering_mae_open_loop_rad": self.tire_angle_mae,
        }
        known = {name: or_null(v) for name, v in values.items()}
        return {"moments": len(self.answers["t"]), **known}


def open_loop(
    policy: Policy,
    traces: TracePaths,
    *,
    dt: float = 0.1,
    section: tuple[float, float] | None = None,
    recorded_camera: str | None = None,
    cameras: CameraMaker | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> OpenLoop:
    """Ask a policy along recorded drives.

    It is reset at the start of each section, and sees everything in order, so one with a memory
    has it.

    Args:
        policy: to ask.
        traces: one or several.
        dt: between two moments, s.
        section: (start, end) in s of each trace; None: all of it.
        recorded_camera, cameras: see `World`.
        progress: called with moments asked and moments in all.

    Raises:
        TraceError, WorldError: the traces cannot be used.
        PolicyError: the policy returns no action.
    """
    from vista_sim.world import World

    world = World(traces, dt=dt, section=section, recorded_camera=recorded_camera, cameras=cameras)
    car = world.spawn_agent()
    car.spawn_sensors(policy_sensors(policy))
    plan = [
        (trace, index, part, _moments(part, dt))
        for trace, parts in enumerate(world.sections)
        for index, part in enumerate(parts)
    ]
    total = sum(len(moments) for *_, moments in plan)
    rows: list[dict[str, Any]] = []
    for trace, index, part, moments in plan:
        policy.reset()
        for t in moments:
            _put(car, trace, part, float(t))
            rows.append({**_ask(policy, car, float(t)), "trace": trace, "section": index})
            if progress is not None:
                progress(len(rows), total)
    return OpenLoop({name: np.array([row[name] for row in rows]) for name in rows[0]})


def _moments(part: Section, dt: float) -> NDArray[np.float64]:
    """Times (s) of a section, dt apart, from its start."""
    count = math.floor(part.duration / dt + 1e-9) + 1
    return np.asarray(part.start + dt * np.arange(count), dtype=np.float64)


def _put(car: Car, trace: int, part: Section, t: float) -> None:
    """Put the car where the recording was at time t (s), and let it look."""
    path = car.world.traces[trace].path
    s = path.arc_length(min(t, part.end))
    pose = path.pose(s)
    at = path.project(pose[0, 3], pose[1, 3], math.atan2(pose[1, 0], pose[0, 0]), near=s)
    inside = min(max(at.s, part.start_s), part.end_s)
    car.reset(trace=trace, s=inside, lateral=at.lateral, heading=at.heading_error)


def _ask(policy: Policy, car: Car, t: float) -> dict[str, Any]:
    action = act(policy, car)
    bicycle = car.dynamics.bicycle
    human = bicycle.tire_angle(car.path.curvature(car.s))
    asked = bicycle.tire_angle(action.curvature)
    return {
        "trace_name": car.trace.name,
        "t": t,
        "s": car.s,
        "curvature": bicycle.curvature(human),
        "tire_angle": human,
        "action_curvature": bicycle.curvature(asked),
        "action_tire_angle": asked,
        "validity": car.validity,
    }

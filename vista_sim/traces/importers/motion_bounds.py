"""What is recorded against what a trace may hold, named by where it was read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.traces.ego import MAX_POSITION, MAX_SPEED, MAX_YAW_RATE
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.recording import Motion, Times
from vista_sim.traces.tables import LONGEST_STEP, SHORTEST_STEP


def check_motion_bounds(motion: Motion, where: Callable[[int], str], times: str) -> None:
    """Raise TraceError where a motion is none of a car, by the bounds of the trace's own check.

    Args:
        where: names what a row of it was read of. times: names what its times were read of.
    """
    step = float(np.median(np.diff(motion.t_ns))) * 1e-9
    if not SHORTEST_STEP < step < LONGEST_STEP:
        raise TraceError(f"{times}: poses are {step:.3g} s apart; is their time in another unit?")
    position = np.abs(motion.position).max(axis=1)
    for values, most, said, unit, due in (
        (motion.speed, MAX_SPEED, "speed", "m/s", "positions must be in m, speeds in m/s"),
        (motion.yaw_rate, MAX_YAW_RATE, "yaw rate", "rad/s", "it must be in rad/s, angles in rad"),
        (position, MAX_POSITION, "position", "m", "it must be in m"),
    ):
        bad = np.flatnonzero(~(np.abs(values) <= most))
        if len(bad):
            row = int(bad[0])
            raise TraceError(
                f"{where(row)}: {said} is {values[row]:.4g} {unit}, above {most:g}; {due}"
            )


def require_within(where: str, what: str, t_ns: Times, motion: Motion, remedy: str) -> None:
    """Raise TraceError unless some of these times (n,), ns, are within those of the poses.

    Args:
        what: was taken then. remedy: what may be done.
    """
    first, last = int(motion.t_ns[0]), int(motion.t_ns[-1])
    if not ((t_ns >= first) & (t_ns <= last)).any():
        begin, end = ((int(t) - first) * 1e-9 for t in (t_ns[0], t_ns[-1]))
        raise TraceError(
            f"{where}: its {what} are from {begin:.3f} to {end:.3f} s, the poses from 0 to "
            f"{(last - first) * 1e-9:.3f} s; none is between them: {remedy}"
        )


def say_outside(where: str, what: str, t_ns: Times, motion: Motion) -> None:
    """Say how many of these times, ns, are before or after those of the poses."""
    early, late = int((t_ns < motion.t_ns[0]).sum()), int((t_ns > motion.t_ns[-1]).sum())
    if early or late:
        note(f"{where}: {what} left out: {early} before the first pose, {late} after the last one")

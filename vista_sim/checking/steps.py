"""Steps of the poses that speed and yaw rate contradict, smaller than those that cut a drive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.checks import Motion
from vista_sim.traces.checks.spans import merged
from vista_sim.traces.trace import Trace

Floats = NDArray[np.float64]

LEAST, LEAST_TURN = 0.15, np.radians(1.0)  # m and rad
UNUSUAL = 10.0  # deviations of what speed and yaw rate leave unexplained elsewhere
_RARE = 0.02  # share of the rows; what happens more often is noise, or another rate


@dataclass(frozen=True)
class Steps:
    """largest: m, or rad. spans: (start, end) in s of the places."""

    largest: float
    spans: tuple[tuple[float, float], ...]


def position_steps(trace: Trace) -> Steps | None:
    """Steps of the positions that speed and heading do not explain."""
    motion = _motion(trace)
    unexplained = np.diff(motion.position, axis=0) - motion.expected_steps
    return _outstanding(trace, np.linalg.norm(unexplained, axis=1), motion, LEAST)


def heading_steps(trace: Trace) -> Steps | None:
    """Steps of the headings that the yaw rate does not explain; none where it is not recorded."""
    ego, motion = trace.ego, _motion(trace)
    if not np.abs(ego.yaw_rate).max() > 0:
        return None
    expected = 0.5 * (ego.yaw_rate[1:] + ego.yaw_rate[:-1]) * motion.dt
    return _outstanding(trace, np.abs(np.diff(motion.yaw) - expected), motion, LEAST_TURN)


def _motion(trace: Trace) -> Motion:
    ego = trace.ego
    return Motion(ego.t, ego.position, ego.quaternion, ego.speed, ego.yaw_rate)


def _outstanding(trace: Trace, size: Floats, motion: Motion, least: float) -> Steps | None:
    """Steps (n - 1,) beyond what is usual, where no finding of the trace cuts the drive."""
    usual = 1.4826 * float(np.median(size))
    bad = (size > max(least, UNUSUAL * usual)) & motion.steps_whole
    for start, end in trace.ego.cuts:
        bad &= (motion.t[1:] < start) | (motion.t[:-1] > end)
    rows = np.flatnonzero(bad)
    if not len(rows) or len(rows) > max(2, _RARE * len(size)):
        return None
    return Steps(float(size[rows].max()), merged(motion.t[rows], motion.t[rows + 1]))

"""Which moments of a drive are looked at: straight, left, right, fast and slow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera
from vista_sim.transforms import way_along

Floats = NDArray[np.float64]

APART = 1.0  # s between moments, where the drive is long enough
LEAST_AHEAD = 10.0  # m of recorded path in front of the car
LEAST_SPEED = 1.0  # m/s
_STEADY = 1.0  # s over which a bend is measured


@dataclass(frozen=True)
class Moment:
    """A frame and why it is shown."""

    frame: int
    t: float
    kind: str
    speed: float


def find_moments(trace: Trace, camera: RecordedCamera, most: int = 6) -> list[Moment]:
    """Frames that differ, in order of time."""
    t = camera.t
    ego = trace.ego
    speed = np.interp(t, ego.t, ego.speed)
    ahead = np.minimum(t + 0.5 * _STEADY, trace.duration)
    before = np.maximum(t - 0.5 * _STEADY, 0.0)
    turn = np.interp(ahead, ego.t, ego.yaw) - np.interp(before, ego.t, ego.yaw)
    rate = turn / np.maximum(ahead - before, 1e-3)
    way = way_along(ego.position)
    left_over = way[-1] - np.interp(t, ego.t, way)
    good = (left_over > min(LEAST_AHEAD, 0.3 * float(way[-1]))) & (np.abs(speed) > LEAST_SPEED)
    if not good.any():
        good[:] = True
    apart = min(APART, 0.5 * float(t[-1] - t[0]) / most)
    taken: list[Moment] = []

    def take(kind: str, score: Floats) -> None:
        free = good.copy()
        for moment in taken:
            free &= np.abs(t - moment.t) > apart
        if free.any():
            frame = int(np.argmax(np.where(free, score, -np.inf)))
            taken.append(Moment(frame, float(t[frame]), kind, float(speed[frame])))

    bend = np.radians(3.0)
    straight = -np.abs(rate) / np.maximum(np.abs(speed), 1.0)
    for kind, score, there in (
        ("left", rate, rate[good].max() > bend),
        ("right", -rate, rate[good].min() < -bend),
        ("fast", speed, True),
        ("slow", -speed, True),
        ("straight", straight, True),
    ):
        if there:
            take(kind, score)
    while len(taken) < most:  # as far as possible from those that there are
        count = len(taken)
        take("between", np.min([np.abs(t - m.t) for m in taken], axis=0))
        if len(taken) == count:
            break
    return sorted(taken, key=lambda moment: moment.t)

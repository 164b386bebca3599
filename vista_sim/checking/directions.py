"""Where the car moves to: by the frames, by the poses, and by the headings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.checking.estimate import Estimate, median, unknown
from vista_sim.checking.pairs import Pair
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix, inverse

Floats = NDArray[np.float64]

STRAIGHT = np.radians(3.0)  # rad/s; where the car turns more, the camera's place counts too
LEAST_WAY = 0.4  # m between the frames of a pair
LEAST_PAIRS = 12


@dataclass(frozen=True)
class Directions:
    """Angles (rad) on straight stretches; yaw is positive to the left, pitch with the nose down.

    Args:
        mount_yaw, mount_pitch: by which the camera really looks more to the left, and more down,
            than its mount says, if the poses are right.
        heading, climb: by which headings are to the left of the motion of the poses, and below it.
    """

    mount_yaw: Estimate
    mount_pitch: Estimate
    heading: Estimate
    climb: Estimate


def directions(trace: Trace, pairs: Sequence[Pair], mount: Matrix, late: float) -> Directions:
    """Compare directions of motion.

    Args:
        pairs: with `seen`.
        mount: T_vehicle_camera (4, 4).
        late: s by which the video is late.
    """
    rows: list[tuple[float, ...]] = []
    blocks: list[int] = []
    for pair in pairs:
        start, end = pair.start - late, pair.end - late
        if not (start >= 0 and end <= trace.duration):
            continue
        first, last = trace.pose(start), trace.pose(end)
        moved = inverse(first) @ last
        turn = abs(float(np.arctan2(moved[1, 0], moved[0, 0])))
        if turn > STRAIGHT * (end - start) or moved[0, 3] < LEAST_WAY:
            continue
        camera = moved @ mount
        recorded = camera[:3, 3] - mount[:3, 3]  # of the camera, in axes of the vehicle
        seen = mount[:3, :3] @ pair.direction
        yaw, pitch = _angles(recorded) - _angles(seen)
        heading, climb = -_angles(moved[:3, 3])
        rows.append((yaw, pitch, heading, climb))
        blocks.append(pair.block)
    if len(rows) < LEAST_PAIRS:
        none = unknown("the car hardly drives straight on", len(rows))
        return Directions(none, none, none, none)
    table, groups = np.array(rows), np.array(blocks, dtype=np.int64)
    return Directions(*(median(column, groups) for column in table.T))


def _angles(direction: NDArray[np.float64]) -> Floats:
    """Yaw to the left and pitch downwards (rad) of a direction in axes of a vehicle."""
    x, y, z = direction
    return np.array([np.arctan2(y, x), np.arctan2(-z, np.hypot(x, y))])

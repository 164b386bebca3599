"""Drawing boxes into a view on the CPU: `box_reference.py` compiled by Numba.

Double precision without fast-math: the same numbers as there, one operation after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler
from vista_sim.sensors import boxes as constants
from vista_sim.sensors import warp
from vista_sim.sensors.boxes import ALONG, GROUND, GROUND_SHARE, NEARER, NEARER_BY, Boxes
from vista_sim.sensors.warp import BODY

_compiled = compiler(constants, warp)
_F = np.float32


@_compiled
def draw_boxes(
    boxes: Boxes,
    view: int,
    rays: NDArray[np.float32],
    image: NDArray[np.uint8],
    source: NDArray[np.uint8],
    depth: NDArray[np.float32],
    nearest: NDArray[np.float32],
    faces: NDArray[np.int32],
) -> None:
    """See `box_reference.draw_boxes`."""
    start, end = boxes.starts[view], boxes.starts[view + 1]
    for k in range(start, end):
        top, bottom, left, right = boxes.bounds[k]
        for v in range(top, bottom):
            for u in range(left, right):
                nearest[v, u] = _F(0.0)
    for k in range(start, end):
        top, bottom, left, right = boxes.bounds[k]
        for v in range(top, bottom):
            for u in range(left, right):
                found, face = _cast(boxes.pose[k], boxes.size[k], rays[0, v, u], rays[1, v, u])
                if found > nearest[v, u]:
                    nearest[v, u], faces[v, u] = found, 6 * k + face
    for k in range(start, end):
        top, bottom, left, right = boxes.bounds[k]
        for v in range(top, bottom):
            for u in range(left, right):
                found, face = nearest[v, u], faces[v, u] - 6 * k
                if found == _F(0.0) or face < 0 or face >= 6:
                    continue
                if _hidden(boxes.pose[k], rays[0, v, u], rays[1, v, u], found, depth[v, u]):
                    continue
                for c in range(3):
                    image[v, u, c] = boxes.paint[k, face, c]
                source[v, u], depth[v, u] = BODY, found


@_compiled
def _cast(pose: Any, size: Any, x: np.float32, y: np.float32) -> tuple[np.float32, int]:
    """See `box_reference.cast`."""
    if not (x == x and y == y):  # there is no ray
        return _F(0.0), 0
    enter, leave, face = -np.inf, np.inf, 0
    for axis in range(3):
        low, high = (0.0, size[2]) if axis == 2 else (-0.5 * size[axis], 0.5 * size[axis])
        way = pose[axis, 0] * np.float64(x) + pose[axis, 1] * np.float64(y) + pose[axis, 2]
        if abs(way) < ALONG:
            way = ALONG
        to_low, to_high = (low - pose[axis, 3]) / way, (high - pose[axis, 3]) / way
        near, far = min(to_low, to_high), max(to_low, to_high)
        if near > enter:
            enter, face = near, 2 * axis + (1 if way > 0.0 else 0)
        leave = min(leave, far)
    if enter > 0.0 and enter <= leave:
        return _F(1.0 / enter), face
    return _F(0.0), 0


@_compiled
def _hidden(pose: Any, x: np.float32, y: np.float32, found: np.float32, depth: np.float32) -> bool:
    """See `box_reference.hidden`."""
    scene = np.float64(depth)
    if not scene > np.float64(found) * (1.0 + NEARER) + NEARER_BY:
        return False
    eye = pose[2, 3]
    down = pose[2, 0] * np.float64(x) + pose[2, 1] * np.float64(y) + pose[2, 2]
    return not (eye > GROUND and eye * scene + down < GROUND * scene + GROUND_SHARE)

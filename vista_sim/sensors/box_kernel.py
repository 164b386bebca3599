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
_inlined = compiler(constants, warp, inline="always")
_F, _I = np.float32, np.int32


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
    found, sides = np.empty(image.shape[1], np.float32), np.empty(image.shape[1], np.int32)
    for k in range(start, end):
        top, bottom, left, right = boxes.bounds[k]
        for v in range(top, bottom):
            for u in range(left, right):
                nearest[v, u] = _F(0.0)
    for k in range(start, end):
        top, bottom, left, right = boxes.bounds[k]
        for v in range(top, bottom):
            _cast_row(
                boxes.pose[k],
                boxes.size[k],
                rays[0, v, left:right],
                rays[1, v, left:right],
                found,
                sides,
            )
            near, side = nearest[v, left:right], faces[v, left:right]
            for u in range(right - left):
                if found[u] > near[u]:
                    near[u], side[u] = found[u], 6 * k + sides[u]
    for k in range(start, end):
        top, bottom, left, right = boxes.bounds[k]
        for v in range(top, bottom):
            for u in range(left, right):
                box, face = nearest[v, u], faces[v, u] - 6 * k
                if box == _F(0.0) or face < 0 or face >= 6:
                    continue
                if _hidden(boxes.pose[k], rays[0, v, u], rays[1, v, u], box, depth[v, u]):
                    continue
                for c in range(3):
                    image[v, u, c] = boxes.paint[k, face, c]
                source[v, u], depth[v, u] = BODY, box


@_compiled
def _cast_row(pose: Any, size: Any, xs: Any, ys: Any, found: Any, sides: Any) -> None:
    """See `box_reference.cast`. Without branches, so that the compiler vectorizes it."""
    p00, p01, p02, p03 = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    p10, p11, p12, p13 = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    p20, p21, p22, p23 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    low0, high0 = -0.5 * size[0] - p03, 0.5 * size[0] - p03
    low1, high1 = -0.5 * size[1] - p13, 0.5 * size[1] - p13
    low2, high2 = 0.0 - p23, size[2] - p23
    for u in range(len(xs)):
        x, y = np.float64(xs[u]), np.float64(ys[u])
        near, far, from0 = _between(low0, high0, p00 * x + p01 * y + p02)
        near1, far1, from1 = _between(low1, high1, p10 * x + p11 * y + p12)
        near2, far2, from2 = _between(low2, high2, p20 * x + p21 * y + p22)
        side = from0
        side = _I(2) + from1 if near1 > near else side
        near = near1 if near1 > near else near
        side = _I(4) + from2 if near2 > near else side
        near = near2 if near2 > near else near
        far = far1 if far1 < far else far
        far = far2 if far2 < far else far
        # Comparisons with NaN, from rays that must not be used, are false.
        hit = (near > 0.0) & (near <= far)
        found[u] = _F(1.0 / near if hit else 0.0)
        sides[u] = side


@_inlined
def _between(low: Any, high: Any, way: Any) -> Any:
    """Where a ray enters and leaves a pair of faces, and by which of them it enters."""
    way = ALONG if abs(way) < ALONG else way
    inverse = 1.0 / way
    to_low, to_high = low * inverse, high * inverse
    forward = way > 0.0
    near, far = (to_low, to_high) if forward else (to_high, to_low)
    return near, far, _I(1) if forward else _I(0)


@_compiled
def _hidden(pose: Any, x: np.float32, y: np.float32, box: np.float32, depth: np.float32) -> bool:
    """See `box_reference.hidden`."""
    scene = np.float64(depth)
    if not scene > np.float64(box) * (1.0 + NEARER) + NEARER_BY:
        return False
    eye = pose[2, 3]
    down = pose[2, 0] * np.float64(x) + pose[2, 1] * np.float64(y) + pose[2, 2]
    return not (eye > GROUND and eye * scene + down < GROUND * scene + GROUND_SHARE)

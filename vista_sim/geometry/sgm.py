"""Semi-global matching: a smooth choice among the planes of a cost volume.

Hirschmüller, "Stereo Processing by Semiglobal Matching and Mutual Information", PAMI 2008:
along eight paths r, equation (13)

    L(p, d) = C(p, d) + min(L(p-r, d), L(p-r, d±1) + P1, min_i L(p-r, i) + P2) - min_k L(p-r, k)

with P2 lowered where the image has an edge. The paths are summed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import njit

_S = np.int16
_BIG = np.int16(20000)
_F = np.float32


@njit(cache=True, nogil=True, error_model="numpy")
def _step(
    cost: NDArray[np.uint8],
    before: NDArray[np.int16],
    lowest: int,
    p1: int,
    p2: int,
    path: NDArray[np.int16],
    total: NDArray[np.uint16],
) -> int:
    """One pixel of one path; `before` and `path` have a guard at each end. Returns the minimum.

    All arithmetic is cast back to 16 bits, so that the compiler makes it that wide.
    """
    count = cost.shape[0]
    least = _S(lowest)
    one, limit = _S(p1), _S(lowest + p2)
    left, same, right = before[:count], before[1 : count + 1], before[2 : count + 2]
    new = path[1 : count + 1]
    minimum = _BIG
    for d in range(count):
        best = min(same[d], _S(min(left[d], right[d]) + one))
        best = min(best, limit)
        value = _S(_S(best - least) + _S(cost[d]))
        new[d] = value
        minimum = min(minimum, value)
        total[d] = np.uint16(total[d] + np.uint16(value))
    return int(minimum)


@njit(cache=True, nogil=True, error_model="numpy")
def _begin(cost: NDArray[np.uint8], path: NDArray[np.int16], total: NDArray[np.uint16]) -> int:
    """The first pixel of a path: its cost alone."""
    count = cost.shape[0]
    new = path[1 : count + 1]
    minimum = _BIG
    for d in range(count):
        value = _S(cost[d])
        new[d] = value
        minimum = min(minimum, value)
        total[d] = np.uint16(total[d] + np.uint16(value))
    return int(minimum)


@njit(cache=True, nogil=True, error_model="numpy")
def aggregate(
    cost: NDArray[np.uint8],
    gray: NDArray[np.uint8],
    small_step: int,
    large_step: int,
    edge_contrast: int,
) -> NDArray[np.uint16]:
    """Sum the costs along eight paths.

    Args:
        cost: (h, w, d).
        gray: (h, w), whose edges lower the large penalty: it is
            large_step / (1 + contrast / edge_contrast), at least small_step + 3.
        small_step: penalty P1 of a step by one plane.
        large_step: penalty P2 of any larger step.
        edge_contrast: gray levels.

    Returns:
        uint16 (h, w, d).
    """
    height, width, count = cost.shape
    total = np.zeros((height, width, count), np.uint16)
    penalty = np.empty(256, np.int64)
    for contrast in range(256):
        penalty[contrast] = max(
            large_step * edge_contrast // (edge_contrast + contrast), small_step + 3
        )
    # Two sweeps of four paths: along the row, and from the three neighbours in the row before.
    for sweep in range(2):
        step = 1 if sweep == 0 else -1
        first_row = 0 if sweep == 0 else height - 1
        first_column = 0 if sweep == 0 else width - 1
        before = np.full((3, width, count + 2), _BIG, np.int16)
        current = np.full((3, width, count + 2), _BIG, np.int16)
        before_least = np.zeros((3, width), np.int64)
        current_least = np.zeros((3, width), np.int64)
        along = np.full((2, count + 2), _BIG, np.int16)
        for i in range(height):
            v = first_row + step * i
            along_least = 0
            for j in range(width):
                u = first_column + step * j
                c, t, here = cost[v, u], total[v, u], np.int64(gray[v, u])
                last, new = along[j & 1], along[1 - (j & 1)]
                if j == 0:
                    along_least = _begin(c, new, t)
                else:
                    difference = abs(np.int64(gray[v, u - step]) - here)
                    along_least = _step(
                        c, last, along_least, small_step, penalty[difference], new, t
                    )
                for k in range(3):
                    p = u + k - 1
                    if i == 0 or p < 0 or p >= width:
                        current_least[k, u] = _begin(c, current[k, u], t)
                    else:
                        difference = abs(np.int64(gray[v - step, p]) - here)
                        current_least[k, u] = _step(
                            c,
                            before[k, p],
                            before_least[k, p],
                            small_step,
                            penalty[difference],
                            current[k, u],
                            t,
                        )
            before, current = current, before
            before_least, current_least = current_least, before_least
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def best_plane(
    total: NDArray[np.uint16], maybe_sky: NDArray[np.bool_], far_margin: int
) -> NDArray[np.float32]:
    """Index (h, w) of the cheapest plane, between planes by the lines through its neighbours.

    The equiangular fit suits costs that rise linearly on both sides, as Hamming distances
    do (Shimizu and Okutomi 2001).

    Args:
        total: (h, w, d); plane 0 is infinitely far.
        maybe_sky: (h, w), where infinity is taken unless another plane is much cheaper:
            what is far from the car hardly moves, and noise could only bring it nearer.
        far_margin: by how much.
    """
    height, width, count = total.shape
    out = np.empty((height, width), np.float32)
    for v in range(height):
        for u in range(width):
            costs = total[v, u]
            least = costs[0]
            for d in range(1, count):
                least = min(least, costs[d])
            best = 0
            while costs[best] != least:
                best += 1
            value = _F(best)
            if maybe_sky[v, u] and np.int64(costs[0]) - np.int64(least) < far_margin:
                value = _F(0.0)
            elif 0 < best < count - 1:
                left = _F(costs[best - 1]) - _F(least)
                right = _F(costs[best + 1]) - _F(least)
                if left + right > 0:
                    value += _F(0.5) * (left - right) / max(left, right)
            out[v, u] = value
    return out

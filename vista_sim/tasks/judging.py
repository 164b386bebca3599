"""Reward terms and endings of lane following, row by row of the cars' table.

Compiled by Numba without fast-math: the same numbers for one car and for many. What they
mean stands in `lane_following`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler
from vista_sim.dynamics import state as c

Floats = NDArray[np.float64]

# Codes of endings, in the order in which they are looked for: `LaneFollowing.endings` from 1 on.
NONE, OFF_ROAD, HEADING, END_OF_TRACE, TIME_LIMIT = range(5)


_compiled = compiler(c)


@_compiled
def judge(
    table: Floats,
    rows: NDArray[np.int64],
    dt: float,
    limits: Floats,
    weights: Floats,
    terms: Floats,
    endings: NDArray[np.int64],
) -> None:
    """Fill the reward terms and the ending of the cars of `rows`.

    Args:
        table: (n, WIDTH) of all cars.
        rows: (k,) which of them.
        dt: length of a step, s.
        limits: largest lateral offset (m; NaN: the road's edges), heading error (rad) and
            time (s).
        weights: of survive, progress, lateral, heading, comfort.
        terms: (n, 5), filled in the order of the weights.
        endings: (n,), filled with codes.
    """
    for i in rows:
        row = table[i]
        limit = limits[0]
        if np.isnan(limit):
            limit = row[c.ROAD_LEFT] if row[c.LATERAL] >= 0.0 else row[c.ROAD_RIGHT]
        if row[c.IN_REACH] == 0.0 or abs(row[c.LATERAL]) > limit:
            ending = OFF_ROAD
        elif abs(row[c.HEADING_ERROR]) > limits[1]:
            ending = HEADING
        elif row[c.S] >= row[c.END_S] - 1e-6:
            ending = END_OF_TRACE
        elif row[c.TIME] >= limits[2] - 1e-9:
            ending = TIME_LIMIT
        else:
            ending = NONE
        endings[i] = ending
        failed = ending in (OFF_ROAD, HEADING)
        lateral = min(1.0, abs(row[c.LATERAL]) / limit)
        heading = min(1.0, abs(row[c.HEADING_ERROR]) / limits[1])
        steering = row[c.TIRE_RATE] / row[c.MAX_TIRE_RATE]
        usual = max(0.1, row[c.RECORDED_SPEED]) * dt
        terms[i, 0] = 0.0 if failed else weights[0]
        terms[i, 1] = weights[1] * max(-1.0, min(1.5, row[c.PROGRESS] / usual))
        terms[i, 2] = -weights[2] * lateral * lateral
        terms[i, 3] = -weights[3] * heading * heading
        terms[i, 4] = -weights[4] * min(1.0, steering * steering)

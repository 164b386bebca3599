"""State vectors, row by row of the cars' table. What they hold stands in `state_vector`.

Compiled by Numba without fast-math: the same numbers for one car and for many.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler
from vista_sim.dynamics import state as c
from vista_sim.sensors import state_vector
from vista_sim.sensors.state_vector import PREVIEW_SPEED, PREVIEW_TIMES, STATE_LIMITS
from vista_sim.traces import curve, projection

Floats = NDArray[np.float64]

_compiled = compiler(c, state_vector, curve, projection)

_FIRST_PREVIEW = len(STATE_LIMITS[0]) - len(PREVIEW_TIMES)


@_compiled
def fill_states(
    table: Floats,
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    length: float,
    knots: Floats,
    bends: Floats,
    out: NDArray[np.float32],
) -> None:
    """Fill the state vectors of the cars of `rows`, which drive in one trace.

    Args:
        table: (n, WIDTH) of all cars.
        rows: (k,) which of them.
        places: (k,) the rows of `out` that they are written to.
        length: of the path, m.
        knots, bends: of the path, see `PathArrays`.
        out: (m, K).
    """
    for i in range(len(rows)):
        row, seen = table[rows[i]], out[places[i]]
        seen[0], seen[1] = row[c.LATERAL], row[c.HEADING_ERROR]
        seen[2], seen[3] = row[c.SPEED], row[c.TIRE_ANGLE]
        way = max(row[c.SPEED], PREVIEW_SPEED)
        for k in range(len(PREVIEW_TIMES)):
            s = min(max(row[c.S] + PREVIEW_TIMES[k] * way, 0.0), length)
            seen[_FIRST_PREVIEW + k] = curve.curvature_at(s, knots, bends)
        for k in range(len(seen)):
            seen[k] = min(max(seen[k], STATE_LIMITS[0, k]), STATE_LIMITS[1, k])

"""Adding noise to the rows of an image, in integers: the same bytes everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from vista_sim.compiled import njit

_I = np.int32
_SHIFT = _I(18)  # the table's 1024 steps times the deviation's 256


@njit(cache=True, nogil=True, error_model="numpy")
def add_rows(rows: Any, table: Any, starts: Any, deviation: Any, out: Any) -> None:
    """Add to each row of values a stretch of the table.

    Args:
        rows: uint8 (h, w).
        table: int16, in 1/1024 of a standard deviation.
        starts: int64 (h,), where each row's stretch begins.
        deviation: int32, in 1/256 of a level.
        out: uint8 (h, w), filled.
    """
    half = _I(1) << (_SHIFT - _I(1))
    for v in range(rows.shape[0]):
        source, target = rows[v], out[v]
        noise = table[starts[v] : starts[v] + rows.shape[1]]
        for x in range(rows.shape[1]):
            level = _I(_I(_I(noise[x]) * deviation + half) >> _SHIFT) + _I(source[x])
            target[x] = np.uint8(max(min(_I(level), _I(255)), _I(0)))

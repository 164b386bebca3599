"""Bring inverse depth to another pixel grid without mixing what lies at different depths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import njit

_F = np.float32
#: Neighbouring inverse depths that differ by less than this share (and 0.002 1/m) are one surface.
_SAME_SURFACE = 0.08


@njit(cache=True, nogil=True)
def sample_inverse_depth(
    values: NDArray[np.float32],
    map_u: NDArray[np.float32],
    map_v: NDArray[np.float32],
    outside: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Sample inverse depth at (map_u, map_v): linear on a surface, nearest across edges.

    Args:
        values: (h, w).
        map_u, map_v: (H, W) pixel coordinates in `values`.
        outside: (H, W), taken where they lie more than half a pixel outside.
    """
    height, width = values.shape
    out = np.empty(map_u.shape, np.float32)
    for v in range(map_u.shape[0]):
        for u in range(map_u.shape[1]):
            x, y = map_u[v, u], map_v[v, u]
            if not (x >= -0.5 and x <= width - 0.5 and y >= -0.5 and y <= height - 0.5):
                out[v, u] = outside[v, u]
                continue
            x = min(max(x, _F(0.0)), _F(width - 1))
            y = min(max(y, _F(0.0)), _F(height - 1))
            i, j = min(int(x), max(width - 2, 0)), min(int(y), max(height - 2, 0))
            i2, j2 = min(i + 1, width - 1), min(j + 1, height - 1)
            fx, fy = x - _F(i), y - _F(j)
            a, b, c, d = values[j, i], values[j, i2], values[j2, i], values[j2, i2]
            high = max(max(a, b), max(c, d))
            low = min(min(a, b), min(c, d))
            if high - low <= _F(_SAME_SURFACE) * high + _F(0.002):
                top = a + fx * (b - a)
                out[v, u] = top + fy * (c + fx * (d - c) - top)
            else:
                top = b if fx >= _F(0.5) else a
                bottom = d if fx >= _F(0.5) else c
                out[v, u] = bottom if fy >= _F(0.5) else top
    return out

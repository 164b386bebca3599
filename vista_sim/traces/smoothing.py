"""Smoothing of noisy samples by weighted local polynomials (Cleveland 1979, LOESS)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP = 0.4  # m; way shorter than this may be noise of a standing car
_CHUNK = 4096


def arc_of_rows(xy: Floats, step: float = STEP) -> Floats:
    """Distance travelled (n,) at positions (n, 2), not counting the jitter of a standing car.

    Rows are thinned to `step` (m) or more from one to the next; those between are projected
    onto the chord.
    """
    kept = [0]
    x, y = xy[:, 0].tolist(), xy[:, 1].tolist()
    px, py = x[0], y[0]
    step2 = step * step
    for i in range(1, len(x)):
        if (x[i] - px) ** 2 + (y[i] - py) ** 2 >= step2:
            kept.append(i)
            px, py = x[i], y[i]
    if kept[-1] != len(x) - 1:
        kept.append(len(x) - 1)
    corners = np.array(kept)
    chord = np.diff(xy[corners], axis=0)
    length = np.linalg.norm(chord, axis=1)
    start = np.concatenate([[0.0], np.cumsum(length)])
    piece = np.clip(
        np.searchsorted(corners, np.arange(len(xy)), side="right") - 1, 0, len(chord) - 1
    )
    along = np.einsum("ij,ij->i", xy - xy[corners[piece]], chord[piece])
    along = np.clip(along / np.maximum(length[piece], 1e-12), 0.0, length[piece])
    result: Floats = np.maximum.accumulate(start[piece] + along)
    return result


def thin(s: Floats, step: float) -> NDArray[np.int64]:
    """Indices of a non-decreasing sequence such that few are closer than `step` together."""
    cell = np.floor((s - s[0]) / step).astype(np.int64)
    first = np.flatnonzero(np.diff(cell, prepend=cell[0] - 1))
    return np.unique(np.concatenate([first, [len(s) - 1]])).astype(np.int64)


def local_fit(at: Floats, x: Floats, y: Floats, reach: float, degree: int) -> tuple[Floats, Floats]:
    """Value and slope at some places of local polynomials through noisy samples.

    Args:
        at: (m,) places.
        x, y: (n,) samples, x non-decreasing; or y (n, k): several at once.
        reach: half width of the tricube window; widened where it holds too few samples.
        degree: 1 or 2.

    Returns:
        Values (m,) or (m, k), and first derivatives.
    """
    value, slope = np.empty((len(at), *y.shape[1:])), np.empty((len(at), *y.shape[1:]))
    for first in range(0, len(at), _CHUNK):
        part = slice(first, first + _CHUNK)
        window = _Window(at[part], x, reach, degree)
        if y.ndim == 1:
            value[part], slope[part] = window.fit(y)
        else:
            for k in range(y.shape[1]):
                value[part, k], slope[part, k] = window.fit(y[:, k])
    return value, slope


class _Window:
    """The weights of samples around some places, and what does not depend on their values."""

    def __init__(self, at: Floats, x: Floats, reach: float, degree: int) -> None:
        need = min(len(x), degree + 3)
        # Where samples are sparse, take the `need` nearest ones.
        middle = np.clip(np.searchsorted(x, at) - need // 2, 0, len(x) - need)
        spread = np.maximum(at - x[middle], x[middle + need - 1] - at)
        self._width = width = np.maximum(reach, 1.05 * spread)
        lo = np.searchsorted(x, at - width, side="left")
        hi = np.searchsorted(x, at + width, side="right")
        columns = np.arange(int((hi - lo).max()))
        self._index = np.minimum(lo[:, None] + columns, len(x) - 1)
        u = (x[self._index] - at[:, None]) / width[:, None]
        inside = (columns < (hi - lo)[:, None]) & (np.abs(u) < 1)
        self._powers = [np.where(inside, (1 - np.abs(u) ** 3) ** 3, 0.0)]
        for _ in range(2 * degree):
            self._powers.append(self._powers[-1] * u)
        moments = np.stack([p.sum(axis=1) for p in self._powers], axis=1)
        rows = np.arange(degree + 1)
        normal = moments[:, rows[:, None] + rows[None, :]]
        self._normal = normal + 1e-9 * moments[:, :1, None] * np.eye(degree + 1)
        self._degree = degree

    def fit(self, y: Floats) -> tuple[Floats, Floats]:
        base = y[self._index[:, 0]]
        r = y[self._index] - base[:, None]  # offsets keep their digits far from the origin
        terms = [(self._powers[k] * r).sum(axis=1) for k in range(self._degree + 1)]
        right = np.stack(terms, axis=1)
        solution = np.linalg.solve(self._normal, right[..., None])[..., 0]
        return base + solution[:, 0], solution[:, 1] / self._width

"""By how much one clock is late against another: two yaw rates of the same drive, compared.

A drive turns at the same time whoever measures it. Where it does not turn, nothing can be said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import correlate

Floats = NDArray[np.float64]

STEP = 0.05  # s of the common grid
SMOOTH = 0.4  # s, deviation of the Gaussian that both are smoothed with
LEAST_BEND = 0.03  # rad/s; a drive whose yaw rate deviates less has no bends to tell it by
LEAST_TIME = 8.0  # s that both must be there at once
LEAST_ALIKE = 0.6  # correlation of the best offset
LEAST_LEAD = 0.08  # by which it is better than one elsewhere
_ELSEWHERE = 2.0  # s from the best offset
_APART = 2.0  # s without a turn between two bends


@dataclass(frozen=True)
class TimeOffset:
    """What is known of an offset.

    Args:
        seconds: by which the times of `a` are late: a(t) is b(t - seconds).
        std: one sigma of it, s.
        alike: correlation of both there, up to 1.
        runner_up: the best correlation of another offset, 2 s away or more.
        scale: a over b there. scale_std: one sigma of it.
        sure: whether one offset fits, and better than others; `why` says why not.
        bends: that tell it, each of them.
        share: of the shorter one that is there at once.
    """

    seconds: float
    std: float
    alike: float
    runner_up: float
    scale: float
    scale_std: float
    sure: bool
    why: str = ""
    bends: int = 0
    share: float = 0.0


def find_offset(
    t_a: ArrayLike, rate_a: ArrayLike, t_b: ArrayLike, rate_b: ArrayLike, reach: float
) -> TimeOffset:
    """Find by how much the times of one yaw rate are late against those of another.

    Args:
        t_a, t_b: (n,), (m,) s, increasing.
        rate_a, rate_b: (n,), (m,) yaw rates, rad/s, positive to the same side; one of them may be
            off by a factor and by a constant. Rows that are not finite are left out.
        reach: s to either side that is looked at.
    """
    (ta, a), (tb, b) = _finite(t_a, rate_a), _finite(t_b, rate_b)
    if len(ta) < 5 or len(tb) < 5:
        return _unknown("too little of the motion is known")
    (grid_a, a), (grid_b, b) = _even(ta, a), _even(tb, b)
    if max(np.std(a), np.std(b)) < LEAST_BEND or np.std(b) < 0.3 * LEAST_BEND:
        return _unknown("the drive has no bends")
    first = round((grid_a[0] - grid_b[0]) / STEP)  # of a in the rows of b, where none is late
    exact = (grid_a[0] - grid_b[0]) - first * STEP
    lags = np.arange(-int(reach / STEP), int(reach / STEP) + 1)
    alike = _correlations(a, b, first - lags)
    if not np.isfinite(alike).any():
        return _unknown(f"less than {LEAST_TIME:g} s of both are there at once")
    best = int(np.nanargmax(alike))
    away = np.abs(lags - lags[best]) * STEP >= _ELSEWHERE
    others = alike[away & np.isfinite(alike)]
    runner_up = float(others.max()) if len(others) else -1.0
    fine = _vertex(alike, best)
    scale, scale_std, std = _fit(a, b, first - int(lags[best]))
    seconds = float((lags[best] + fine) * STEP + exact)
    why = ""
    if alike[best] < LEAST_ALIKE:
        why = f"pictures and log turn differently (correlation {alike[best]:.2f} at best)"
    elif alike[best] - runner_up < LEAST_LEAD * (1.0 - max(runner_up, 0.0)) + 0.02:
        why = "other offsets fit as well"
    elif best in (0, len(lags) - 1):
        why = f"it may be beyond {reach:g} s"
    one, other = _overlap(a, b, first - int(lags[best]))
    return TimeOffset(
        seconds,
        std,
        float(alike[best]),
        runner_up,
        scale,
        scale_std,
        not why,
        why,
        _bends(one, other),
        len(one) / min(len(a), len(b)),
    )


def _unknown(why: str) -> TimeOffset:
    return TimeOffset(0.0, np.inf, 0.0, 0.0, 1.0, np.inf, False, why)


def _finite(t: ArrayLike, rate: ArrayLike) -> tuple[Floats, Floats]:
    times, values = np.asarray(t, dtype=np.float64), np.asarray(rate, dtype=np.float64)
    good = np.isfinite(times) & np.isfinite(values)
    return times[good], values[good]


def _even(t: Floats, rate: Floats) -> tuple[Floats, Floats]:
    """On an even grid, smoothed; by its integral, so that dense samples are averaged."""
    grid = np.arange(t[0], t[-1] + STEP / 2, STEP)
    turned = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(t))])
    edges = np.interp(np.append(grid - STEP / 2, grid[-1] + STEP / 2), t, turned)
    mean = np.diff(edges) / STEP
    mean[0], mean[-1] = rate[0], rate[-1]  # half of their intervals are not known
    return grid, gaussian_filter1d(mean, SMOOTH / STEP, mode="nearest")


def _overlap(a: Floats, b: Floats, first: int) -> tuple[Floats, Floats]:
    """What is there at once where row 0 of a is row `first` of b."""
    start = max(first, 0)
    end = max(start, min(first + len(a), len(b)))
    return a[start - first : end - first], b[start:end]


def _correlations(a: Floats, b: Floats, first: NDArray[np.int64]) -> Floats:
    """Correlation where row 0 of a is each of these rows of b; NaN with too little at once."""
    products = correlate(b, a, mode="full", method="fft")
    start = np.clip(first, 0, len(b))
    end = np.clip(first + len(a), start, len(b))
    count = end - start
    sums = [_sums(values, start - first, end - first) for values in (a, a * a)]
    sums += [_sums(values, start, end) for values in (b, b * b)]
    least = max(LEAST_TIME, 0.5 * STEP * min(len(a), len(b)))
    enough = count * STEP >= least
    n = np.maximum(count, 1)
    at = np.clip(first + len(a) - 1, 0, len(products) - 1)
    together = products[at] - sums[0] * sums[2] / n
    size = (sums[1] - sums[0] ** 2 / n) * (sums[3] - sums[2] ** 2 / n)
    turns = np.sqrt(np.maximum(size, 0.0))
    alike = np.where(turns > 0.1 * LEAST_BEND**2 * n, together / np.maximum(turns, 1e-12), 0.0)
    return np.where(enough, alike, np.nan)


def _sums(values: Floats, start: NDArray[np.int64], end: NDArray[np.int64]) -> Floats:
    total = np.concatenate([[0.0], np.cumsum(values)])
    last = len(values)
    return np.asarray(total[np.clip(end, 0, last)] - total[np.clip(start, 0, last)])


def _bends(a: Floats, b: Floats) -> int:
    """How many bends (turns to one side) have both, and tell at least a tenth of the main one."""
    turning = np.flatnonzero(np.abs(b) > LEAST_BEND)
    if not len(turning):
        return 0
    apart = np.diff(turning) > _APART / STEP
    apart |= np.diff(np.sign(b[turning])) != 0
    tells = np.array([np.sum(a[r] * b[r]) for r in np.split(turning, np.flatnonzero(apart) + 1)])
    return int(np.sum(tells >= max(0.1 * float(tells.max()), 1e-9)))


def _vertex(values: Floats, best: int) -> float:
    """Where between rows the parabola through the best one and its neighbours is highest."""
    if not 0 < best < len(values) - 1 or not np.isfinite(values[best - 1 : best + 2]).all():
        return 0.0
    before, top, after = values[best - 1 : best + 2]
    bend = before - 2 * top + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0


def _fit(a: Floats, b: Floats, first: int) -> tuple[float, float, float]:
    """Scale of a over b, its standard deviation and that of the offset, by what remains."""
    one, other = _overlap(a, b, first)
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sum(one * other) / max(np.sum(other**2), 1e-12))
    rest = float(np.mean((one - scale * other) ** 2))
    slope = scale * np.gradient(other, STEP)
    rest /= max(1.0, len(one) * STEP / (4 * SMOOTH))  # so many are independent
    of_scale = math.sqrt(rest / max(float(np.mean(other**2)), 1e-12))
    return scale, of_scale, math.sqrt(rest / max(float(np.mean(slope**2)), 1e-12))

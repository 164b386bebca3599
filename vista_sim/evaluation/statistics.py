"""How sure a figure is: rank correlation, and confidence intervals by resampling.

Pure functions of arrays; what is drawn by chance is drawn from a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.evaluation.plain import or_null

Floats = NDArray[np.float64]

LEVEL = 0.95
DRAWS = 2000


@dataclass(frozen=True)
class Interval:
    """A figure and its confidence interval; the ends are NaN where nothing can be said."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """As plain JSON values; NaN is null."""
        return {k: or_null(v) for k, v in vars(self).items()}


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation of n pairs: Pearson's of their ranks, ties sharing their mean.

    NaN where it is not defined: fewer than two pairs, or one side all equal.

    Raises:
        ValueError: the sides differ in length, or hold a value that is not finite.
    """
    from scipy.stats import rankdata

    pairs = _paired(a, b)
    if pairs.shape[1] < 2:
        return math.nan
    ranks = np.asarray(rankdata(pairs, axis=1), dtype=np.float64)
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum()) / spread if spread > 0 else math.nan


def spearman_interval(
    a: ArrayLike, b: ArrayLike, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Spearman's rank correlation with its interval over pairs, as `bootstrap` makes it."""
    pairs = _paired(a, b)
    return bootstrap(lambda rows: spearman(rows[:, 0], rows[:, 1]), pairs.T, level, draws, seed)


def bootstrap(
    statistic: Callable[[Floats], float],
    samples: ArrayLike,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic over independent samples.

    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3. Draws for
    which the statistic is NaN are left out.

    Args:
        statistic: of (n, ...) samples.
        samples: (n, ...); the first axis is drawn from with replacement.
        level: of confidence, in (0, 1).
        draws: how often.
        seed: of the draws.

    Raises:
        ValueError: level or draws cannot be.
    """
    values = np.asarray(samples, dtype=np.float64)
    n = len(values)
    rng = _generator(level, draws, seed)
    if n < 2:
        return Interval(statistic(values) if n else math.nan, math.nan, math.nan)
    drawn = [statistic(values[rng.integers(0, n, n)]) for _ in range(draws)]
    return Interval(statistic(values), *_percentiles(drawn, level))


def crossed_bootstrap(
    statistic: Callable[[Floats], float],
    table: ArrayLike,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic over two crossed factors, such as seeds and roads.

    Rows and columns are each drawn with replacement, and every drawn row meets every drawn
    column: Owen, "The pigeonhole bootstrap" (Annals of Applied Statistics 1, 2007).

    Args:
        statistic: of a table (a, b, ...).
        table: (a, b, ...); a factor of one level is not drawn from.
        level, draws, seed: see `bootstrap`.
    """
    values = np.asarray(table, dtype=np.float64)
    a, b = values.shape[:2]
    rng = _generator(level, draws, seed)
    if a * b < 2:
        return Interval(statistic(values) if a * b else math.nan, math.nan, math.nan)
    drawn = [
        statistic(values[rng.integers(0, a, a)][:, rng.integers(0, b, b)]) for _ in range(draws)
    ]
    return Interval(statistic(values), *_percentiles(drawn, level))


def zero_rate_limit(exposure: float, level: float = LEVEL) -> float:
    """Largest rate that a Poisson process without any event in `exposure` may well have.

    One-sided: the rate at which no event has probability 1 - level. About 3 / exposure at
    95 %, the rule of three of Hanley and Lippman-Hand (JAMA 249, 1983). NaN without exposure.
    """
    return -math.log(1.0 - level) / exposure if exposure > 0 else math.nan


def poisson_interval(count: int, exposure: float, level: float = LEVEL) -> Interval:
    """Rate of a Poisson process with `count` events in `exposure`, with its exact interval.

    Two-sided, of Garwood, "Fiducial limits for the Poisson distribution" (Biometrika 28, 1936).
    NaN without exposure.
    """
    from scipy.special import gammaincinv

    if not exposure > 0:
        return Interval(math.nan, math.nan, math.nan)
    low = float(gammaincinv(count, (1 - level) / 2)) if count else 0.0
    high = float(gammaincinv(count + 1, (1 + level) / 2))
    return Interval(count / exposure, low / exposure, high / exposure)


def _paired(a: ArrayLike, b: ArrayLike) -> Floats:
    """(2, n) both sides."""
    sides = [np.asarray(side, dtype=np.float64).ravel() for side in (a, b)]
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"{len(sides[0])} values and {len(sides[1])}; give as many of each")
    pairs = np.stack(sides)
    if not np.isfinite(pairs).all():
        raise ValueError("a value is not finite; ranks need finite values")
    return pairs


def _generator(level: float, draws: int, seed: int) -> np.random.Generator:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must be between 0 and 1")
    if draws < 1:
        raise ValueError(f"draws is {draws}; it must be at least 1")
    return np.random.default_rng(seed)


def _percentiles(drawn: list[float], level: float) -> tuple[float, float]:
    known = np.array(drawn)
    known = known[~np.isnan(known)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

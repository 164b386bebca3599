"""Tables as metrics take them: columns, rows, and differences over time within an episode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vista_sim.runs import endings

Table = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tables:
    """What was driven: the rows of its steps, and of its episodes."""

    steps: Table
    episodes: Table


class Series(NamedTuple):
    """Values over time; neighbours of the same episode belong together.

    Args:
        episode: (n,) which episode each belongs to.
        t: (n,) s since its start.
        values: (n,).
    """

    episode: NDArray[Any]
    t: Floats
    values: Floats


def rows(table: Table) -> int:
    """How many rows a table has."""
    return len(next(iter(table.values()))) if table else 0


def floats(table: Table, name: str) -> Floats:
    """A column of numbers, (n,); NaN where it is null, and all NaN where there is none."""
    if name not in table:
        return np.full(rows(table), math.nan)
    return np.asarray(table[name], dtype=np.float64)


def texts(table: Table, name: str) -> NDArray[Any]:
    """A column of texts, (n,); "" where it is null, and all "" where there is none."""
    if name not in table:
        return np.full(rows(table), "")
    column = np.asarray(table[name])
    # As objects each text is in memory once; as an array of str all are as long as the longest.
    return column if column.dtype == object else column.astype(str)


def ending_kinds(episodes: Table) -> NDArray[Any]:
    """Of what kind the ending of each episode is, (n,): "crash", "cut", "success", or ""."""
    kinds = endings.ending_kinds(
        texts(episodes, "ending").tolist(), texts(episodes, "ending_kind").tolist()
    )
    return np.array([kind or "" for kind in kinds], dtype=object)


def select(table: Table, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The rows of a table where a mask (n,) is true, or those of an array of indices."""
    return {name: column[rows] for name, column in table.items()}


def series(steps: Table, values: Floats) -> Series:
    """A value for each row of a steps table as a series."""
    return Series(np.asarray(steps["episode"]), floats(steps, "t"), values)


def rate(of: Series) -> Series:
    """Change per second from each value to the next of the same episode.

    Plain finite differences; a rate stands at the middle of its two moments.
    """
    same = of.episode[1:] == of.episode[:-1]
    middle = 0.5 * (of.t[1:] + of.t[:-1])[same]
    return Series(of.episode[1:][same], middle, np.diff(of.values)[same] / np.diff(of.t)[same])


def unwrapped(of: Series) -> Series:
    """Angles (rad) without jumps of a whole turn within an episode."""
    change = (np.diff(of.values, prepend=of.values[:1]) + math.pi) % (2 * math.pi) - math.pi
    return of._replace(values=np.cumsum(change))


def between(of: Series) -> Series:
    """Mean of each value and the next of the same episode, where `rate` puts its rates."""
    same = of.episode[1:] == of.episode[:-1]
    middle = 0.5 * (of.t[1:] + of.t[:-1])[same]
    return Series(of.episode[1:][same], middle, 0.5 * (of.values[1:] + of.values[:-1])[same])


def savitzky_golay(of: Series, span: float, order: int = 2, derivative: int = 0) -> Series:
    """Each value, or a derivative there, of a polynomial fitted to those around it.

    The filter of Savitzky and Golay, "Smoothing and Differentiation of Data by Simplified Least
    Squares Procedures", 1964, episode by episode, with the last polynomial kept at both ends. An
    even number of values has no middle: between the ends, what is found then belongs half a step
    later than it stands, as with nuPlan.

    Args:
        of: n values at even times.
        span: what a polynomial is fitted to, s: as many values as come nearest to it, but more
            than the order; where an episode is shorter, all of it.
        order: of the polynomial.
        derivative: which one over time; 0 is the value itself.

    Returns:
        (n,), NaN for an episode with a value that is not finite, and for the derivatives of one
        that has no more values than the order. The values themselves of such a short one stay.
    """
    from scipy.signal import savgol_filter

    values = np.full(len(of.values), math.nan)
    changes = np.flatnonzero(np.diff(of.episode)) + 1
    alike: dict[tuple[int, float], list[int]] = {}  # where episodes of a length and step begin
    for begin, end in pairwise([0, *changes.tolist(), len(values)]):
        own, count = of.values[begin:end], end - begin
        if count <= order:
            values[begin:end] = math.nan if derivative else own
        elif np.isfinite(own).all():
            step = float(of.t[end - 1] - of.t[begin]) / (count - 1)
            alike.setdefault((count, step), []).append(begin)
    for (count, step), begins in alike.items():  # a sweep has many; the filter is the same
        window = min(max(round(span / step), order + 1), count)
        rows = np.add.outer(begins, np.arange(count))
        values[rows] = savgol_filter(of.values[rows], window, order, deriv=derivative, delta=step)
    return of._replace(values=values)


def known(values: Floats) -> Floats:
    """Those values that are not NaN."""
    return values[~np.isnan(values)]


def mean(values: Floats) -> float:
    """Mean of the values that are known; NaN without any."""
    values = known(values)
    return float(values.mean()) if values.size else math.nan


def root_mean_square(values: Floats) -> float:
    """Root of the mean square of the values that are known; NaN without any."""
    return math.sqrt(mean(values**2)) if known(values).size else math.nan


def percentile_95(values: Floats) -> float:
    """Smallest known value that at least 95 % of them do not exceed; NaN without any.

    The inverse of the empirical distribution (type 1 of Hyndman and Fan, "Sample Quantiles in
    Statistical Packages", 1996), which needs no interpolation and so knows of weights.
    """
    values = known(values)
    return float(np.quantile(values, 0.95, method="inverted_cdf")) if values.size else math.nan


def largest(values: Floats) -> float:
    """Largest size of the values that are known; NaN without any."""
    values = known(values)
    return float(np.abs(values).max()) if values.size else math.nan


def ratio(part: float, whole: float) -> float:
    """A part over a whole; NaN where there is no whole."""
    return part / whole if whole > 0 else math.nan

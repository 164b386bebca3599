"""Robust estimates with an uncertainty: what is said of a drive rests on many frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

SIGMAS = 3.0  # deviations beyond which something is called wrong
_GROUPS = 10


@dataclass(frozen=True)
class Estimate:
    """How far something is off.

    Args:
        value: by the frames, against what is recorded; NaN where it cannot be told.
        sigma: its standard deviation.
        count: how many pairs of frames it rests on.
        why: why it cannot be told, if so.
    """

    value: float
    sigma: float
    count: int
    why: str = ""

    @property
    def told(self) -> bool:
        return not self.why

    def beyond(self, floor: float) -> bool:
        """Whether it is off by more than a floor and than `SIGMAS` deviations."""
        return self.told and abs(self.value) > max(floor, SIGMAS * self.sigma)


def unknown(why: str, count: int = 0) -> Estimate:
    """What cannot be told, and why."""
    return Estimate(float("nan"), float("inf"), count, why)


def of_groups(
    count: int, groups: ArrayLike, value: Callable[[NDArray[np.bool_]], float]
) -> tuple[float, float]:
    """A value of all rows, and its deviation by leaving out groups of them (jackknife).

    Rows that follow each other err alike, so that groups of them are left out together: those of
    the same number, joined until ten groups remain (Künsch 1989).

    Args:
        count: rows. groups: (count,) numbers.
        value: of the rows that are kept, (count,) bool.
    """
    everything = np.ones(count, dtype=bool)
    whole = value(everything)
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    kinds = int(numbers.max()) + 1 if count else 0
    if kinds < 4:  # a short drive: parts of its only blocks
        numbers, kinds = np.arange(count) * _GROUPS // max(count, 1), min(_GROUPS, count)
    elif kinds > _GROUPS:
        numbers, kinds = numbers * _GROUPS // kinds, _GROUPS
    if kinds < 4:
        return whole, float("inf")
    parts = np.array([value(numbers != kind) for kind in range(kinds)])
    deviation = np.sqrt((kinds - 1) / kinds * np.sum((parts - parts.mean()) ** 2))
    return whole, float(deviation)


def median(values: Floats, groups: NDArray[np.int64]) -> Estimate:
    """The median of values (n,) and its deviation; the jackknife is smoothed by a trimmed mean."""

    def middle(kept: NDArray[np.bool_]) -> float:
        some = np.sort(values[kept])
        cut = int(0.25 * len(some))
        return float(some[cut : len(some) - cut].mean())

    value, sigma = of_groups(len(values), groups, middle)
    return Estimate(value, sigma, len(values))

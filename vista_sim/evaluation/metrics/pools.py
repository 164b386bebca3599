"""A metric over many cases as a function of how often, and with what weight, each one counts.

That function is what resampling needs: it is asked thousands of times, and the tables are read
once. Counting every case once with weight 1 gives the metric of all tables together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vista_sim.evaluation.metrics.tables import Floats, known

Ints = NDArray[np.int64]

BLOCK = 256  # values looked at together
SLACK = 1e-12  # of a share, for what sums lose by rounding


class Pool(Protocol):
    """A metric over n cases."""

    def __call__(self, weights: Floats, counts: Floats) -> Floats:
        """The metric of many ways to count the cases.

        Args:
            weights: (draws, n) with what weight each case counts.
            counts: (draws, n) how often it counts.

        Returns:
            (draws,); NaN where nothing was measured, infinite for something out of nothing.
        """


@dataclass(frozen=True)
class RatioPool:
    """A weighted sum over another; where asked, its root.

    Args:
        parts, wholes: (n,).
        scale: of the ratio.
        root: whether the ratio is one of squares.
    """

    parts: Floats
    wholes: Floats
    scale: float = 1.0
    root: bool = False

    def __call__(self, weights: Floats, counts: Floats) -> Floats:
        part, whole = weights @ self.parts, weights @ self.wholes
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = self.scale * part / whole
            return np.sqrt(found) if self.root else found


@dataclass(frozen=True)
class TotalPool:
    """A sum over what was driven: weights, which say what matters, do not change it."""

    values: Floats  # (n,), NaN where nothing was measured

    def __call__(self, weights: Floats, counts: Floats) -> Floats:
        there = ~np.isnan(self.values)
        total: Floats = counts @ np.where(there, self.values, 0.0)
        total[~(counts[:, there] > 0).any(axis=1)] = math.nan
        return total


@dataclass(frozen=True)
class LargestPool:
    """The largest value of the cases that count at all."""

    values: Floats  # (n,), NaN where nothing was measured

    def __call__(self, weights: Floats, counts: Floats) -> Floats:
        there = (weights > 0) & ~np.isnan(self.values)
        found: Floats = np.where(there, self.values, -math.inf).max(axis=1, initial=-math.inf)
        found[np.isneginf(found)] = math.nan
        return found


@dataclass(frozen=True)
class QuantilePool:
    """The smallest value that a share of all, by weight, does not exceed.

    Args:
        values: (m,) of all cases, in ascending order.
        case: (m,) which case each is of.
        share: in (0, 1).
    """

    values: Floats
    case: Ints
    share: float

    def __call__(self, weights: Floats, counts: Floats) -> Floats:
        found = np.full(len(weights), math.nan)
        if not self.values.size:
            return found
        # First the block of values in which the share is reached, then the value in it.
        padding = -len(self.values) % BLOCK
        values = np.pad(self.values, (0, padding), mode="edge").reshape(-1, BLOCK)
        nobody = weights.shape[1]
        case = np.pad(self.case, (0, padding), constant_values=nobody).reshape(-1, BLOCK)
        sizes = np.zeros((nobody + 1, len(case)))
        np.add.at(sizes, (case, np.arange(len(case))[:, None]), 1.0)
        weights = np.pad(weights, ((0, 0), (0, 1)))
        reached = np.cumsum(weights @ sizes, axis=1)
        goal = self.share * reached[:, -1:] * (1 - SLACK)
        block = np.minimum((reached < goal).sum(axis=1), len(case) - 1)
        draw = np.arange(len(weights))
        before = np.where(block > 0, reached[draw, block - 1], 0.0)
        within = before[:, None] + np.cumsum(weights[draw[:, None], case[block]], axis=1)
        place = np.minimum((within < goal).sum(axis=1), BLOCK - 1)
        measured = reached[:, -1] > 0
        found[measured] = values[block, place][measured]
        return found


def quantile_pool(values: Sequence[Floats], share: float) -> QuantilePool:
    """Of the known values of each case."""
    own = [known(v) for v in values]
    case = np.repeat(np.arange(len(own)), [len(v) for v in own])
    together = np.concatenate([*own, np.empty(0)])
    order = np.argsort(together, kind="stable")
    return QuantilePool(together[order], case[order], share)


def rows_pool(values: Sequence[Floats], power: Callable[[Floats], Floats], root: bool) -> RatioPool:
    """The mean, over all rows of all cases, of a power of the known values."""
    own = [power(known(v)) for v in values]
    sums = np.array([float(v.sum()) for v in own])
    sizes = np.array([float(v.size) for v in own])
    return RatioPool(sums, sizes, root=root)

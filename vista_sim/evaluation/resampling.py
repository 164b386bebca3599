"""Resampling of cases that come in clusters, and tests of the difference between two runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EXACT_UNITS = 12  # up to so many, all 2^n relabellings are tried
RELABELLINGS = 9999  # otherwise so many drawn ones
PIECE = 512  # relabellings tried at once


def enough(units: int, level: float) -> bool:
    """Whether so many independent cases can bear an interval or a test at a level of confidence.

    Of n values, the range holds the median with probability 1 - 2^(1 - n), and n pairs of which
    one is always the larger have a two-sided p-value of 2^(1 - n): six are needed for 95 %.
    """
    return units > 0 and 2.0 ** (1 - units) <= 1 - level


def numbered(labels: Sequence[str]) -> Ints:
    """A number for each label, (n,), counted in the order in which labels first come."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.int64)


def hierarchical_counts(
    clusters: Ints, units: Ints, draws: int, rng: np.random.Generator
) -> Floats:
    """How often each case is drawn when clusters are drawn, and then units within them.

    The two-stage bootstrap of Davison and Hinkley, "Bootstrap Methods and their Application"
    (1997), section 3.8, with replacement at both stages; a stage of one element is not drawn
    from. With few clusters its intervals are too narrow, as those of any bootstrap are.

    Args:
        clusters: (n,) to which cluster, counted from 0, each case belongs.
        units: (n,) to which unit, counted from 0, within its cluster; the cases of a unit are
            drawn together.
        draws: how often.
        rng: draws.

    Returns:
        (draws, n).
    """
    number = int(clusters.max()) + 1 if clusters.size else 0
    chosen = rng.multinomial(number, np.full(number, 1.0 / max(number, 1)), size=draws)
    counts = np.zeros((draws, len(clusters)))
    for cluster in range(number):
        own = np.flatnonzero(clusters == cluster)
        found, unit = np.unique(units[own], return_inverse=True)
        share = np.full(len(found), 1.0 / len(found))
        counts[:, own] = rng.multinomial(len(found) * chosen[:, cluster], share)[:, unit]
    return counts


def percentile_interval(drawn: Floats, level: float) -> tuple[float, float]:
    """Between what the middle share `level` of the drawn values lies; NaN where not finite.

    Percentiles without interpolation, so that infinite values (something out of nothing) take
    their place at the end; draws without an answer (NaN) are left out.
    """
    known = drawn[~np.isnan(drawn)]
    if not known.size:
        return math.nan, math.nan
    ends = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    low, high = (float(v) if math.isfinite(v) else math.nan for v in ends)
    return low, high


def relabelling_p_value(
    difference: Callable[[NDArray[np.bool_]], Floats], units: Ints, rng: np.random.Generator
) -> float:
    """Probability of a difference at least as large if the labels of two runs meant nothing.

    A paired permutation test: in each unit the results of the two runs are swapped or not (Good,
    "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005, section 3.4); of a mean
    this is Fisher's sign-flip test. Two-sided. All relabellings are tried where there are few,
    otherwise many are drawn and the observed one counts among them (Phipson and Smyth,
    "Permutation p-values should never be zero", 2010).

    Args:
        difference: of masks (k, n) that say which cases are swapped; (k,) the differences, NaN
            where there is none.
        units: (n,) cases of the same unit are swapped together.

    Returns:
        NaN if no difference was observed for lack of data.
    """
    number = int(units.max()) + 1 if units.size else 0
    observed = float(difference(np.zeros((1, len(units)), dtype=bool))[0]) if number else math.nan
    if not math.isfinite(observed):
        return math.nan
    exact = number <= EXACT_UNITS
    if exact:
        swaps = (np.arange(2**number)[:, None] >> np.arange(number)) & 1 == 1
    else:
        swaps = rng.random((RELABELLINGS, number)) < 0.5
    found = np.concatenate([difference(part[:, units]) for part in _pieces(swaps)])
    limit = abs(observed) * (1 - 1e-9) - 1e-15
    # Where a relabelling leaves nothing to tell, it may as well be as extreme.
    extreme = int((~(np.abs(found) < limit)).sum())
    return extreme / len(found) if exact else (extreme + 1) / (len(found) + 1)


def _pieces(swaps: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """In pieces of bounded memory."""
    return [swaps[i : i + PIECE] for i in range(0, len(swaps), PIECE)]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for m tests so that any false alarm at all has the stated probability.

    Holm, "A simple sequentially rejective multiple test procedure" (1979). NaN is no test.
    """
    return _adjusted(p_values, _holm)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that of what is found, the stated share is false on average.

    Benjamini and Hochberg, "Controlling the false discovery rate" (1995). NaN is no test.
    """
    return _adjusted(p_values, _benjamini_hochberg)


def _adjusted(p_values: Sequence[float], method: Callable[[Floats], Floats]) -> list[float]:
    values = np.array(p_values, dtype=np.float64)
    there = ~np.isnan(values)
    if there.any():
        values[there] = method(values[there])
    return values.tolist()


def _holm(p: Floats) -> Floats:
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def _benjamini_hochberg(p: Floats) -> Floats:
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p, method="bh"), dtype=np.float64)

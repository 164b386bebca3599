"""Rank correlation and confidence intervals, against SciPy and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from vista_sim.evaluation.statistics import (
    Interval,
    bootstrap,
    crossed_bootstrap,
    poisson_interval,
    spearman,
    spearman_interval,
    zero_rate_limit,
)


def test_the_rank_correlation_of_a_textbook_case():
    # Ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6 (1 + 1 + 1 + 1 + 0) / (5 * 24)
    assert spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]) == pytest.approx(0.8)
    assert spearman([1, 2, 3], [10, 100, 1000]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    # Ties share their mean rank: 1.5 1.5 3 and 1 2 3.
    assert spearman([0, 0, 1], [1, 2, 3]) == pytest.approx(1.5 / math.sqrt(1.5 * 2.0))


@pytest.mark.parametrize("seed", range(4))
def test_the_rank_correlation_is_scipys_with_ties_and_without(seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(30)
    b = a + rng.standard_normal(30)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    a, b = np.round(a), np.maximum(np.round(2 * b), 0)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_where_there_is_no_order_there_is_no_correlation():
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert math.isnan(spearman([1], [2]))
    found = spearman_interval([0, 0, 0, 0], [1, 2, 3, 4])
    assert all(math.isnan(v) for v in (found.value, found.low, found.high))
    assert found.to_json() == {"value": None, "low": None, "high": None}


def test_the_interval_of_a_rank_correlation_is_scipys_by_the_same_method():
    rng = np.random.default_rng(3)
    a = rng.standard_normal(24)
    b = a + 0.5 * rng.standard_normal(24)
    found = spearman_interval(a, b, draws=4000)
    reference = stats.bootstrap(
        (a, b),
        lambda x, y: stats.spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        random_state=1,
    ).confidence_interval
    assert found.value == pytest.approx(stats.spearmanr(a, b).statistic)
    assert (found.low, found.high) == pytest.approx(tuple(reference), abs=0.03)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(400) + 5.0
    found = bootstrap(lambda v: float(v.mean()), values, level=0.9)
    half = stats.norm.ppf(0.95) * values.std() / 20.0
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - half, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half, abs=0.01)


def test_seeds_and_roads_both_make_a_figure_unsure():
    rng = np.random.default_rng(0)
    rows, columns = rng.standard_normal((40, 1)), 2.0 * rng.standard_normal((1, 50))

    def width(table):
        found = crossed_bootstrap(lambda t: float(t.mean()), table)
        return found.high - found.low

    both = width(rows + columns)
    # Var of the mean of independent rows and columns: the sum of both.
    variance = rows.var() / 40 + columns.var() / 50
    assert both == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.08)
    # Taking all 2000 cells as independent would promise far too much.
    cells = (rows + columns).ravel()
    naive = bootstrap(lambda v: float(v.mean()), cells)
    assert naive.high - naive.low < 0.3 * both
    # Where only the rows differ, the columns add nothing.
    alone = bootstrap(lambda v: float(v.mean()), rows[:, 0])
    assert width(np.repeat(rows, 50, axis=1)) == pytest.approx(alone.high - alone.low, rel=0.05)


def test_a_single_sample_has_no_interval():
    assert bootstrap(lambda v: float(v.mean()), [3.0]).to_json() == {
        "value": 3.0,
        "low": None,
        "high": None,
    }
    assert crossed_bootstrap(lambda t: float(t.sum()), [[[1.0, 2.0]]]).value == 3.0
    assert math.isnan(bootstrap(lambda v: float(v.sum()), []).value)


def test_draws_are_repeated_by_the_same_seed():
    values = np.random.default_rng(0).standard_normal(20)
    first, again, other = (
        bootstrap(lambda v: float(v.mean()), values, draws=100, seed=seed) for seed in (4, 4, 5)
    )
    assert first == again
    assert first != other


def test_draws_without_an_answer_are_left_out():
    # All draws of equal values have no correlation; the rest have 1.
    found = spearman_interval([1, 2], [1, 2], draws=50)
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))
    assert isinstance(found, Interval)


def test_no_event_leaves_the_rule_of_three():
    assert zero_rate_limit(10.0) == pytest.approx(0.3, abs=0.001)
    # Poisson: no event at that rate has a probability of 5 %.
    assert stats.poisson.pmf(0, 10.0 * zero_rate_limit(10.0)) == pytest.approx(0.05)
    assert math.isnan(zero_rate_limit(0.0))


def test_the_interval_of_a_count_is_the_one_in_poissons_tables():
    # Pearson and Hartley, Biometrika Tables for Statisticians, table 40: 4 events, 1.09 to 10.24.
    found = poisson_interval(4, 2.0)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 0.545, 5.12), abs=0.001)
    # Each limit leaves 2.5 % beyond itself.
    assert stats.poisson.sf(3, 2.0 * found.low) == pytest.approx(0.025)
    assert stats.poisson.cdf(4, 2.0 * found.high) == pytest.approx(0.025)
    assert poisson_interval(0, 1.0).low == 0.0
    assert math.isnan(poisson_interval(0, 0.0).high)


@pytest.mark.parametrize(
    "call",
    [
        lambda: spearman([1, 2], [1, 2, 3]),
        lambda: spearman([1, math.nan], [1, 2]),
        lambda: bootstrap(len, [1, 2], level=1.0),
        lambda: bootstrap(len, [1, 2], draws=0),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(ValueError, match=r"values|finite|level|draws"):
        call()

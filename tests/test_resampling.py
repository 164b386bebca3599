"""Two-stage draws, permutation tests and corrections, against SciPy, exact counts and papers."""

import math

import numpy as np
import pytest
from scipy import stats

from vista_sim.evaluation.resampling import (
    benjamini_hochberg,
    hierarchical_counts,
    holm,
    numbered,
    percentile_interval,
    relabelling_p_value,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_labels_are_numbered_as_they_come():
    assert numbered(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]
    assert numbered([]).tolist() == []


def test_as_many_cases_are_drawn_as_the_drawn_clusters_have():
    clusters = numbered(["a", "a", "b", "b", "b", "c"])
    counts = hierarchical_counts(clusters, np.arange(6), 4000, rng())
    assert counts.shape == (4000, 6)
    of_a, of_b, of_c = counts[:, :2].sum(1) / 2, counts[:, 2:5].sum(1) / 3, counts[:, 5]
    assert (of_a + of_b + of_c == 3).all()  # three clusters are drawn, each as a whole
    assert set(of_c) == {0.0, 1.0, 2.0, 3.0}
    # Binomial of three draws with probability a third.
    assert np.mean(of_c == 0) == pytest.approx((2 / 3) ** 3, abs=0.02)
    assert counts.mean(axis=0) == pytest.approx(1.0, abs=0.06)


def test_a_single_cluster_is_not_drawn_from_but_its_cases_are():
    counts = hierarchical_counts(np.zeros(5, dtype=np.int64), np.arange(5), 2000, rng())
    assert (counts.sum(axis=1) == 5).all()
    assert counts[:, 0].var() == pytest.approx(5 * 0.2 * 0.8, rel=0.1)


def test_cases_of_a_unit_are_drawn_together():
    counts = hierarchical_counts(np.zeros(5, dtype=np.int64), numbered("aabbc"), 500, rng())
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 2] == counts[:, 3]).all()
    assert (counts[:, [0, 2, 4]].sum(axis=1) == 3).all()


def test_the_spread_of_a_mean_has_the_variance_between_and_within_clusters():
    values = np.array([[0.0, 2.0], [10.0, 12.0], [20.0, 22.0], [30.0, 32.0]])
    counts = hierarchical_counts(np.repeat(np.arange(4), 2), np.arange(8), 20000, rng())
    means = counts @ values.ravel() / counts.sum(axis=1)
    # Var = (variance of the cluster means + mean variance of a mean within) / clusters.
    expected = (values.mean(axis=1).var() + (values.var(axis=1) / 2).mean()) / 4
    assert means.var() == pytest.approx(expected, rel=0.05)


def test_percentiles_put_the_infinite_last_and_leave_out_what_is_not_known():
    drawn = np.array([*np.arange(1.0, 39.0), math.inf, math.inf, math.nan])
    assert percentile_interval(drawn, 0.9) == (2.0, 38.0)
    low, high = percentile_interval(drawn, 0.96)
    assert (low, math.isnan(high)) == (1.0, True)
    assert all(math.isnan(v) for v in percentile_interval(np.array([math.nan]), 0.9))


def of_mean(differences):
    """Mean difference under swapped labels, of one case a unit."""
    return lambda swaps: np.where(swaps, -differences, differences).mean(axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_the_exact_test_is_scipys_permutation_test(seed):
    differences = rng(seed).standard_normal(9) + 0.5
    found = relabelling_p_value(of_mean(differences), np.arange(9), rng())
    reference = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=math.inf
    )
    assert found == pytest.approx(reference.pvalue)


def test_drawn_relabellings_come_near_the_exact_answer():
    differences = rng(3).standard_normal(14) + 0.4
    found = relabelling_p_value(of_mean(differences), np.arange(14), rng())
    reference = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=math.inf
    )
    assert found == pytest.approx(reference.pvalue, abs=0.012)


def test_cases_of_a_unit_are_swapped_together():
    differences = np.ones(12)
    units = np.repeat([0, 1, 2], 4)
    # Of the 8 relabellings of three units, all kept and all swapped are as extreme.
    assert relabelling_p_value(of_mean(differences), units, rng()) == 2 / 8
    assert relabelling_p_value(of_mean(differences), np.arange(12), rng()) == 2 / 2**12


def test_no_difference_is_certain_and_no_data_is_no_test():
    assert relabelling_p_value(of_mean(np.zeros(8)), np.arange(8), rng()) == 1.0
    assert math.isnan(relabelling_p_value(of_mean(np.full(8, np.nan)), np.arange(8), rng()))
    assert math.isnan(relabelling_p_value(of_mean(np.zeros(0)), np.arange(0), rng()))


def test_chance_alone_is_found_as_often_as_stated():
    p_values = [
        relabelling_p_value(of_mean(rng(i).standard_normal(8)), np.arange(8), rng())
        for i in range(400)
    ]
    # 12 of the 256 relabellings are below 5 %; their binomial share within three deviations.
    share = np.mean(np.array(p_values) <= 0.05)
    assert share == pytest.approx(12 / 256, abs=3 * math.sqrt(0.047 * 0.953 / 400))


def test_holm_by_hand():
    # 4 * 0.01, 3 * 0.013, 2 * 0.04, 1 * 0.5, never falling.
    assert holm([0.04, 0.01, math.nan, 0.5, 0.013]) == pytest.approx(
        [0.08, 0.04, math.nan, 0.5, 0.04], nan_ok=True
    )
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_benjamini_hochberg_by_hand():
    # Of four: 4/1 * 0.01, 4/2 * 0.02, 4/3 * 0.04, 4/4 * 0.05; never rising from the last.
    assert benjamini_hochberg([0.01, 0.05, math.nan, 0.02, 0.04]) == pytest.approx(
        [0.04, 0.05, math.nan, 0.04, 0.05], nan_ok=True
    )
    assert all(math.isnan(p) for p in benjamini_hochberg([math.nan]))

"""Metrics of many cases, counted in any way, against the tables put together in that way."""

import math

import numpy as np
import pytest
from made_up_runs import Drive, Start
from test_metrics_properties import tables_of, wild

from vista_sim.evaluation.cases import split
from vista_sim.evaluation.metrics.measures import RECOVERY_MEASURES, driving_measures
from vista_sim.evaluation.metrics.pools import LargestPool, RatioPool, TotalPool, quantile_pool
from vista_sim.evaluation.metrics.tables import Tables


def repeated(cases, counts):
    """Tables in which each case stands as often as it counts, as episodes of their own."""
    steps, episodes, number = [], [], 0
    for index, count in enumerate(counts):
        for copy in range(int(count)):
            own = cases[index].tables
            names = own.episodes["episode"].tolist()
            renamed = {name: number + i for i, name in enumerate(names)}
            number += len(names)
            for table, parts in ((own.steps, steps), (own.episodes, episodes)):
                new = {k: v.copy() for k, v in table.items()}
                new["episode"] = np.array([renamed[e] for e in table["episode"].tolist()], int)
                new["case"] = np.full(len(new["episode"]), f"{index}/{copy}", dtype=object)
                parts.append(new)
    whole = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in (steps, episodes)
    ]
    return Tables(*whole)


@pytest.mark.parametrize("seed", range(3))
def test_a_case_that_counts_twice_is_one_that_was_driven_twice(seed):
    rng = np.random.default_rng(seed)
    drives = [
        Drive(("off_road", "end_of_trace"), 0.8, 30, trace=0, validity=0.8),
        Drive(lateral=0.2, steps=300, trace=1, failure="raised: ValueError", validity=0.95),
        Drive(lateral=-0.5, steps=2, trace=2),
    ]
    starts = [Start(5.0), Start(9.0, recovered=False), Start(20.0, seconds=4.0)]
    for things, measures in ((drives, driving_measures()), (starts, RECOVERY_MEASURES)):
        steps, episodes = tables_of(things, seed)
        cases = split(wild(steps, seed), episodes)
        counts = rng.integers(0, 4, len(cases))
        counts[0] = max(counts[0], 1)
        draws = counts[None].astype(float)
        together = repeated(cases, counts)
        for measure in measures:
            found = float(measure.pool([case.tables for case in cases])(draws, draws)[0])
            found = found if math.isfinite(found) else math.nan
            assert found == pytest.approx(measure.of(together), nan_ok=True), measure.name


@pytest.mark.parametrize("seed", range(4))
def test_weighted_quantiles_are_numpys(seed):
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal(n).round(1) for n in (700, 3, 0, 40)]
    weights = rng.integers(0, 4, (20, 4)).astype(float)
    weights[:, 1] = 1.0
    found = quantile_pool(values, 0.95)(weights, weights)
    for row, value in zip(weights, found, strict=True):
        of_rows = np.repeat(row, [len(v) for v in values])
        expected = np.quantile(np.concatenate(values), 0.95, weights=of_rows, method="inverted_cdf")
        assert value == expected


def test_totals_are_of_what_was_driven_whatever_its_weight():
    weights, counts = np.array([[0.5, 9.0, 1.0]]), np.array([[1.0, 2.0, 1.0]])
    assert TotalPool(np.array([10.0, 5.0, math.nan]))(weights, counts)[0] == 20.0
    assert math.isnan(TotalPool(np.array([math.nan] * 3))(weights, counts)[0])
    assert LargestPool(np.array([1.0, 7.0, 3.0]))(np.array([[1.0, 0.0, 1.0]]), counts)[0] == 3.0
    assert RatioPool(np.array([1.0, 2.0, 0.0]), np.ones(3))(weights, counts)[0] == 18.5 / 10.5

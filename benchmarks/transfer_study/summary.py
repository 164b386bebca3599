"""From the results of single trials to what the study says.

Counts of several worlds (and seeds) are added before rates are taken: crashes over all
kilometres, recoveries over all that the expert recovers from; the mean cross-track error is
weighted by the distance driven.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_study.plan import Candidate, Plan, Views, world_name
from vista_sim.evaluation.plain import or_null
from vista_sim.evaluation.statistics import (
    Interval,
    crossed_bootstrap,
    spearman_interval,
    zero_rate_limit,
)

Result = dict[str, Any]
Results = Mapping[tuple[str, str, Views], Result]  # by candidate, world and views
Counts = NDArray[np.float64]

CRASHES, KM, ERROR_KM, BOTH, EXPERT = range(5)  # columns of counts
VIEWS: tuple[Views, ...] = ("synthesized", "rendered")
METRICS = ("crashes_per_km", "mean_cross_track_error_m", "recovery")
BETWEEN = (0.2, 0.9)  # recovery rates from which something can be learned


def summarize(plan: Plan, results: Results) -> dict[str, Any]:
    """All that the study says, as JSON values; what is not judged yet is left out."""
    return {
        "learned": [world_name(r) for r in plan.learned],
        "unseen": [world_name(r) for r in plan.unseen],
        "starts_per_world": plan.starts,
        "laterals_m": list(plan.test.laterals),
        "headings_deg": [round(math.degrees(h), 3) for h in plan.test.headings],
        "deployment": deployment(plan, results),
        "verdict": verdict(plan, results),
    }


def deployment(plan: Plan, results: Results) -> list[dict[str, Any]]:
    """A row a training: how its policies do in the rendered worlds.

    Intervals are 95 %, by the pigeonhole bootstrap over seeds and worlds; where no policy
    crashed, the upper end of crashes per km is the rule of three's.
    """
    rows = []
    worlds = [world_name(r) for r in plan.unseen]
    for training in plan.trainings:
        names = [Candidate(training.name, seed).name for seed in training.seeds]
        found = [[results.get((name, world, "rendered")) for world in worlds] for name in names]
        whole = [row for row in found if all(row)]
        if not (training.deployed and whole):
            continue
        table = np.array([[counts(r) for r in row if r] for row in whole])
        figures = {
            metric: crossed_bootstrap(partial(figure, metric=metric), table) for metric in METRICS
        }
        rate, km = figures["crashes_per_km"], float(table[..., KM].sum())
        if table[..., CRASHES].sum() == 0:
            figures["crashes_per_km"] = Interval(rate.value, 0.0, zero_rate_limit(km))
        grid = [r["recovery"] for row in whole for r in row if r]
        rows.append(
            {
                "training": training.name,
                "arguments": list(training.arguments),
                "seeds": len(whole),
                "km": round(km, 3),
                "crashes": int(table[..., CRASHES].sum()),
                **{metric: interval.to_json() for metric, interval in figures.items()},
                "tried": int(table[..., EXPERT].sum()),
                "recovered": np.sum([g["both"] for g in grid], axis=0).tolist(),
                "recovered_by_expert": np.sum([g["expert"] for g in grid], axis=0).tolist(),
            }
        )
    return rows


def verdict(plan: Plan, results: Results) -> dict[str, Any]:
    """Every candidate judged in both worlds, and how well the orders agree.

    Spearman's intervals are 95 %, by the bootstrap over policies.
    """
    worlds = [world_name(r) for r in plan.unseen]
    policies: list[dict[str, Any]] = []
    for candidate in plan.candidates:
        judged = {}
        for views in VIEWS:
            found = [results.get((candidate.name, world, views)) for world in worlds]
            if all(found):
                pooled = np.array([[counts(r) for r in found if r]])
                judged[views] = {metric: or_null(figure(pooled, metric)) for metric in METRICS}
        if len(judged) == 2:
            policies.append({"policy": candidate.name} | judged)
    low, high = BETWEEN
    rates = [policy["rendered"]["recovery"] for policy in policies]
    return {
        "policies": policies,
        "of": len(plan.candidates),
        "recovering_20_to_90_percent": sum(r is not None and low <= r <= high for r in rates),
        "spearman": {metric: agreement(policies, metric).to_json() for metric in METRICS},
    }


def agreement(policies: Sequence[Mapping[str, Any]], metric: str) -> Interval:
    """Rank correlation of a metric in the synthesized and in the rendered world."""
    sides = [[p[views][metric] for views in VIEWS] for p in policies]
    pairs = np.array(sides, dtype=np.float64).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    return spearman_interval(pairs[:, 0], pairs[:, 1])


def counts(result: Result) -> Counts:
    """What can be added up of one trial, (5,)."""
    metrics, recovery = result["metrics"], result["recovery"]
    km = metrics["distance_m"] / 1000.0
    error = metrics["mean_cross_track_error_m"] * km
    both, expert = (float(np.sum(recovery[name])) for name in ("both", "expert"))
    return np.array([metrics["crashes"], km, error, both, expert])


def figure(table: Counts, metric: str) -> float:
    """A metric of counts (..., 5), added up. NaN where nothing was measured."""
    total = table.reshape(-1, table.shape[-1]).sum(axis=0)
    above, below = {
        "crashes_per_km": (CRASHES, KM),
        "mean_cross_track_error_m": (ERROR_KM, KM),
        "recovery": (BOTH, EXPERT),
    }[metric]
    return float(total[above] / total[below]) if total[below] > 0 else math.nan

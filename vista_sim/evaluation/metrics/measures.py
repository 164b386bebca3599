"""All metrics by name, and how each is put together over many cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vista_sim.evaluation.metrics import agreement, comfort, composite, recovery, safety
from vista_sim.evaluation.metrics.pools import (
    LargestPool,
    Pool,
    RatioPool,
    TotalPool,
    quantile_pool,
    rows_pool,
)
from vista_sim.evaluation.metrics.tables import Floats, Table, Tables, floats, largest
from vista_sim.evaluation.metrics.tracking import cross_track_error, heading_error
from vista_sim.evaluation.metrics.validity import (
    VALID,
    distance_beyond_validity,
    distance_valid,
)

Better = Literal["lower", "higher", "neither"]
Part = Callable[[Tables], float]
RowPart = Callable[[Tables], Floats]


@dataclass(frozen=True)
class Measure:
    """A metric with its name.

    Args:
        name: ends in the unit, unless that is 1.
        better: which way.
        pool: makes the metric a function of how the cases count.
        tested: whether a comparison of runs tests it for a difference. The others say the same
            in another way, and would only make the correction for many tests harsher.
        kind: "count" of rare events, their "rate" over an exposure, or the "gap" between them,
            the exposure over their number: where none was seen, the interval is that of the rule
            of three, the same for all of them.
    """

    name: str
    better: Better
    pool: Callable[[Sequence[Tables]], Pool]
    tested: bool = False
    kind: Literal["plain", "count", "rate", "gap"] = "plain"

    def of(self, tables: Tables) -> float:
        """The metric of tables taken together; NaN where nothing was measured."""
        one = np.ones((1, 1))
        value = float(self.pool([tables])(one, one)[0])
        return value if math.isfinite(value) else math.nan


def _ratio(part: Part, whole: Part, scale: float = 1.0) -> Callable[[Sequence[Tables]], Pool]:
    def pool(cases: Sequence[Tables]) -> Pool:
        parts, wholes = _array(part, cases), _array(whole, cases)
        there = ~(np.isnan(parts) | np.isnan(wholes))
        return RatioPool(np.where(there, parts, 0.0), np.where(there, wholes, 0.0), scale)

    return pool


def _total(value: Part) -> Callable[[Sequence[Tables]], Pool]:
    return lambda cases: TotalPool(_array(value, cases))


def _mean(values: RowPart) -> Callable[[Sequence[Tables]], Pool]:
    return lambda cases: rows_pool([values(case) for case in cases], lambda v: v, root=False)


def _rms(values: RowPart) -> Callable[[Sequence[Tables]], Pool]:
    return lambda cases: rows_pool([values(case) for case in cases], np.square, root=True)


def _largest(values: RowPart) -> Callable[[Sequence[Tables]], Pool]:
    return lambda cases: LargestPool(np.array([largest(values(case)) for case in cases]))


def _percentile_95(values: RowPart) -> Callable[[Sequence[Tables]], Pool]:
    return lambda cases: quantile_pool([values(case) for case in cases], 0.95)


def _array(part: Part, cases: Sequence[Tables]) -> Floats:
    return np.array([float(part(case)) for case in cases], dtype=np.float64)


def _of_steps(values: Callable[[Table], Floats]) -> RowPart:
    return lambda tables: values(tables.steps)


def _of_episodes(value: Callable[[Table], float]) -> Part:
    return lambda tables: value(tables.episodes)


def _within(name: str) -> RowPart:
    return lambda tables: comfort.BOUNDS[name].within(tables.steps).values


def _score(score: Callable[[Tables], composite.Score]) -> RowPart:
    return lambda tables: np.array([score(tables).value])


def _covered(tables: Tables) -> float:
    return safety.path_lengths(tables.episodes).covered


def _reached(tables: Tables) -> float:
    return safety.path_lengths(tables.episodes).reached


def _tried(tables: Tables) -> float:
    return safety.path_lengths(tables.episodes).tried


def _asked(tables: Tables) -> float:
    return safety.path_lengths(tables.episodes).asked


_crashes, _interventions = _of_episodes(safety.crashes), _of_episodes(safety.interventions)
_distance = _of_episodes(safety.distance_driven)
_lateral, _heading = _of_steps(cross_track_error), _of_steps(heading_error)
_steering, _disagreement = _of_steps(comfort.steering_rate), _of_steps(agreement.curvature_error)
_sideways, _jerk = _of_steps(comfort.lateral_acceleration), _of_steps(comfort.lateral_jerk)
_seen = _of_steps(lambda steps: floats(steps, "validity"))
_recovered = _of_episodes(recovery.recovered)


def driving_measures(valid: float = VALID) -> tuple[Measure, ...]:
    """What closed-loop driving is judged by.

    Args:
        valid: share of recorded pixels below which a view counts as beyond validity.
    """
    return (
        Measure("crashes", "lower", _total(_crashes), kind="count"),
        Measure("policy_failures", "lower", _total(_of_episodes(safety.failures)), kind="count"),
        Measure("distance_m", "neither", _total(_distance)),
        Measure(
            "crashes_per_km", "lower", _ratio(_crashes, _distance, 1000.0), tested=True, kind="rate"
        ),
        Measure(
            "distance_per_intervention_m", "higher", _ratio(_distance, _interventions), kind="gap"
        ),
        Measure("share_without_intervention", "higher", _ratio(_covered, _tried), tested=True),
        Measure("route_completion", "higher", _ratio(_reached, _asked)),
        Measure("mean_cross_track_error_m", "lower", _mean(_lateral), tested=True),
        Measure("rms_cross_track_error_m", "lower", _rms(_lateral)),
        Measure("p95_cross_track_error_m", "lower", _percentile_95(_lateral)),
        Measure("max_cross_track_error_m", "lower", _largest(_lateral)),
        Measure("mean_heading_error_rad", "lower", _mean(_heading), tested=True),
        Measure("rms_heading_error_rad", "lower", _rms(_heading)),
        Measure("p95_heading_error_rad", "lower", _percentile_95(_heading)),
        Measure("max_heading_error_rad", "lower", _largest(_heading)),
        Measure("steering_whiteness_rad_s", "lower", _rms(_steering), tested=True),
        Measure("peak_lateral_acceleration_m_s2", "lower", _largest(_sideways)),
        Measure("peak_lateral_jerk_m_s3", "lower", _largest(_jerk)),
        *(
            Measure(f"comfortable_{name}", "higher", _mean(_within(name)))
            for name in comfort.BOUNDS
        ),
        Measure(
            "comfortable_episodes", "higher", _mean(comfort.comfortable_episodes_of), tested=True
        ),
        Measure("steering_mae_1_m", "lower", _mean(_disagreement), tested=True),
        Measure("mean_validity", "higher", _mean(_seen)),
        Measure(
            "distance_valid_m",
            "neither",
            _total(lambda tables: distance_valid(tables.steps, valid)),
        ),
        Measure(
            "distance_beyond_validity_m",
            "lower",
            _total(lambda tables: distance_beyond_validity(tables.steps, valid)),
        ),
    )


#: Of single cases; their means over many.
SCORE_MEASURES = (
    Measure(composite.DRIVING_SCORE, "higher", _mean(_score(composite.driving_score)), tested=True),
    Measure(
        composite.CLOSED_LOOP_SCORE,
        "higher",
        _mean(_score(composite.closed_loop_score)),
        tested=True,
    ),
)

#: What the recovery test is judged by.
RECOVERY_MEASURES = (
    Measure("recovery_starts", "neither", _total(_of_episodes(recovery.tried))),
    Measure(
        "recovery_rate", "higher", _ratio(_recovered, _of_episodes(recovery.tried)), tested=True
    ),
    Measure(
        "recovery_rate_of_expert",
        "higher",
        _ratio(_of_episodes(recovery.both_recovered), _of_episodes(recovery.expert_recovered)),
    ),
    Measure(
        "mean_recovery_time_s",
        "lower",
        _ratio(_of_episodes(recovery.recovery_time), _recovered),
        tested=True,
    ),
)


def summarize(steps: Table, episodes: Table, valid: float = VALID) -> dict[str, float]:
    """All metrics of closed-loop driving by name; each name ends in its unit, unless that is 1.

    Args:
        steps, episodes: tables of the closed-loop episodes alone.
        valid: see `driving_measures`.
    """
    tables = Tables(steps, episodes)
    return {measure.name: measure.of(tables) for measure in driving_measures(valid)}


#: Names of all metrics and scores that a run is judged by.
METRIC_NAMES = tuple(
    measure.name for measure in (*driving_measures(), *SCORE_MEASURES, *RECOVERY_MEASURES)
)

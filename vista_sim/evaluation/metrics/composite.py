"""Scores that put several metrics into one number, by published formulas.

A world has no other road users, traffic lights and speed limits. The terms that need them are
not applicable: they carry no value and drop out of the formula, and the score's name says so.
A score of one name and version is always computed in the same way; another way is a new version.
It cannot be compared with scores of the benchmark that the formula is from.

A score is of one case (a drive of one section, with its set-backs); over many it is their mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from vista_sim.evaluation.metrics.comfort import comfortable_episodes_of
from vista_sim.evaluation.metrics.safety import (
    crashes,
    path_lengths,
    share_without_intervention,
)
from vista_sim.evaluation.metrics.tables import Floats, Table, Tables, floats, known
from vista_sim.evaluation.plain import or_null

DRIVING_SCORE = "driving-score/2 without other road users"
CLOSED_LOOP_SCORE = "closed-loop-score/3 without other road users"

NO_ROAD_USERS = "there are no other road users"
NO_LIGHTS = "traces hold no traffic lights and signs"
NO_SPEED_LIMITS = "traces hold no speed limits"

#: CARLA leaderboard 1.0, evaluation criteria: what one infraction leaves of
#: the score. Leaving the road counts as a collision with static elements.
LEFT_BY_CRASH = 0.65
LEFT_BY_OTHERS = {
    "collisions with pedestrians": (0.50, NO_ROAD_USERS),
    "collisions with vehicles": (0.60, NO_ROAD_USERS),
    "red lights": (0.70, NO_LIGHTS),
    "stop signs": (0.80, NO_LIGHTS),
}

#: nuPlan's closed-loop score: weights of its average, in github.com/motional/nuplan-devkit,
#: nuplan/planning/script/config/simulation/metric_aggregator/
#: closed_loop_nonreactive_agents_weighted_average.yaml (and for reactive ones the same).
PROGRESS_WEIGHT, COLLISION_TIME_WEIGHT, SPEED_LIMIT_WEIGHT, COMFORT_WEIGHT = 5.0, 5.0, 4.0, 2.0
#: Of its terms, in high_level and low_level of nuplan/planning/script/config/common/
#: simulation_metric.
LEAST_PROGRESS = 0.2  # share of the route; with less the score is 0
LEAST_WAY = 2.0  # m; a shorter way, driven or to be driven, counts as this long
WRONG_WAY = (2.0, 6.0)  # m driven backwards within WRONG_WAY_TIME: from the first on half, from
WRONG_WAY_TIME = 1.0  # s                                          the second on none of the score


@dataclass(frozen=True)
class Term:
    """A part of a score.

    Args:
        name: of what it measures.
        factor: "multiplier", or "average" for a part of the weighted average.
        weight: in the average, or what one infraction leaves; None for other multipliers.
        value: None where it is not applicable.
        reason: why it is not; None where it is.
    """

    name: str
    factor: str
    weight: float | None
    value: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Score:
    """A score of one case: its name with version, value in [0, 1] and terms. NaN: no route."""

    name: str
    value: float
    terms: tuple[Term, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; what is not applicable or not known is null."""
        return {
            "name": self.name,
            "value": or_null(self.value),
            "terms": [vars(term) for term in self.terms],
        }


def driving_score(drive: Tables) -> Score:
    """Share of the route driven by itself times 0.65 for each crash. Unit: 1.

    The driving score of the CARLA leaderboard 1.0: route completion times the product of
    a penalty for each infraction (leaderboard.carla.org, evaluation criteria), as a share, not in
    percent. There, driving off the road does not count towards route completion; so here what
    the car was set back over does not.
    """
    count = crashes(drive.episodes)
    completed = share_without_intervention(drive.episodes)
    terms = (
        Term("route driven", "multiplier", None, or_null(completed)),
        Term("crashes", "multiplier", LEFT_BY_CRASH, LEFT_BY_CRASH**count),
        *(
            Term(name, "multiplier", left, None, reason)
            for name, (left, reason) in LEFT_BY_OTHERS.items()
        ),
    )
    return Score(DRIVING_SCORE, completed * LEFT_BY_CRASH**count, terms)


def closed_loop_score(drive: Tables) -> Score:
    """Weighted average of progress and comfort, 0 after a crash. Unit: 1.

    nuPlan's closed-loop score: the product of multipliers times the weighted average of the other
    terms, here of those that are applicable. Names in brackets are of its files in
    nuplan/planning/metrics/evaluation_metrics/common.

    Drivable area (drivable_area_compliance): 0 with any crash, else 1. There, 0 once a corner of
    the car is 0.3 m off the road; here, once the car has left what its task allows. Making progress
    (ego_is_making_progress): 1 if progress is at least a fifth, else 0. Driving direction
    (driving_direction_compliance): 1, or 0.5 from 2 m driven backwards within a second on, or 0
    from 6 m on; nuPlan counts steps, one more than a second has, 1.1 s at its rate. Progress
    (ego_progress_along_expert_route): see `progress`. Comfort (ego_is_comfortable): 1 if all
    bounds are kept throughout, else 0 (see `comfort`).
    """
    made = progress(drive.episodes)
    kept = known(comfortable_episodes_of(drive))
    comfort = float(kept.min()) if kept.size else math.nan
    backwards = largest_way_back(drive.steps)
    multipliers = {
        "drivable area": 0.0 if crashes(drive.episodes) else 1.0,
        "making progress": math.nan if math.isnan(made) else float(made >= LEAST_PROGRESS),
        "driving direction": 1.0 - 0.5 * sum(backwards >= limit for limit in WRONG_WAY),
    }
    averaged = {"progress": (PROGRESS_WEIGHT, made), "comfort": (COMFORT_WEIGHT, comfort)}
    measured = [(w, v) for w, v in averaged.values() if not math.isnan(v)]
    average = sum(w * v for w, v in measured) / (sum(w for w, _ in measured) or math.nan)
    others = (
        Term("at-fault collisions", "multiplier", None, None, NO_ROAD_USERS),
        Term("time to collision", "average", COLLISION_TIME_WEIGHT, None, NO_ROAD_USERS),
        Term("speed limit", "average", SPEED_LIMIT_WEIGHT, None, NO_SPEED_LIMITS),
    )
    terms = (
        *(Term(name, "multiplier", None, or_null(v)) for name, v in multipliers.items()),
        *(Term(name, "average", w, or_null(v)) for name, (w, v) in averaged.items()),
        *others,
    )
    return Score(CLOSED_LOOP_SCORE, average * math.prod(multipliers.values()), terms)


def progress(episodes: Table) -> float:
    """Share of the route reached, at most 1; NaN without a route. Unit: 1.

    nuPlan's ego_progress_along_expert_route: ways of less than 2 m, that reached and that asked
    for, count as 2 m, and a car that ended more than 2 m behind its start made none. There the
    route is what the recording drove in the same time; here, to the end of the section, or, with
    a time limit, as far as `runs.asked` says.
    """
    ways = path_lengths(episodes)
    if not ways.asked > 0:
        return math.nan
    if (floats(episodes, "end_s") - floats(episodes, "start_s") < -LEAST_WAY).any():
        return 0.0
    return min(1.0, max(ways.reached, LEAST_WAY) / max(ways.asked, LEAST_WAY))


def largest_way_back(steps: Table) -> float:
    """Longest way driven backwards along the path within a second. Unit: m."""
    episode, t, s = np.asarray(steps["episode"]), floats(steps, "t"), floats(steps, "s")
    longest = 0.0
    changes = np.flatnonzero(episode[1:] != episode[:-1]) + 1
    for begin, end in pairwise([0, *changes.tolist(), len(episode)]):
        longest = max(longest, _longest_fall(t[begin:end], s[begin:end]))
    return longest


def _longest_fall(t: Floats, s: Floats) -> float:
    """Largest s[i] - s[j] for j after i by at most WRONG_WAY_TIME."""
    longest = 0.0
    for ahead in range(1, len(t)):
        near = t[ahead:] - t[:-ahead] <= WRONG_WAY_TIME + 1e-9
        if not near.any():
            break
        longest = max(longest, float((s[:-ahead] - s[ahead:])[near].max()))
    return longest


def scores(drive: Tables) -> tuple[Score, ...]:
    """All scores of one case."""
    return driving_score(drive), closed_loop_score(drive)

"""Crashes, interventions, and how much of the road the car drove by itself.

An intervention is a crash, after which the car has to be set back, or a policy that broke.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vista_sim.evaluation.metrics.tables import Table, ending_kinds, floats, ratio, texts
from vista_sim.tasks.endings import CRASH

BACK = 1.0  # m behind where the car was already, from which on a start is another try


class Ways(NamedTuple):
    """Lengths along recorded paths, m, summed over what was asked to be driven.

    Args:
        asked: from where the car first started to the end of the section, or to where its time
            was over (see `runs.asked`).
        reached: of it up to the farthest point the car came to, with what it was set back over.
        tried: what all tries were asked to drive, see `share_without_intervention`.
        covered: what the car drove by itself of that.
    """

    asked: float
    reached: float
    tried: float
    covered: float


def crashes(episodes: Table) -> int:
    """How often the car failed: left the road, or what else its task calls a crash. Unit: 1."""
    return int((ending_kinds(episodes) == CRASH).sum())


def failures(episodes: Table) -> int:
    """How often the policy broke: raised, took too long, gave no finite action, died. Unit: 1."""
    return int((texts(episodes, "failure") != "").sum())


def interventions(episodes: Table) -> int:
    """Episodes that ended in a crash or with a broken policy. Unit: 1."""
    crashed = ending_kinds(episodes) == CRASH
    return int((crashed | (texts(episodes, "failure") != "")).sum())


def distance_driven(episodes: Table) -> float:
    """Distance that the car itself drove, without what it was set back over. Unit: m."""
    return float(np.nansum(floats(episodes, "distance")))


def crashes_per_km(episodes: Table) -> float:
    """Crashes over the distance driven. Unit: 1/km."""
    return ratio(1000.0 * crashes(episodes), distance_driven(episodes))


def distance_per_intervention(episodes: Table) -> float:
    """Distance driven over the number of interventions. Unit: m.

    The mean distance between interventions, as in the disengagement reports to the California
    DMV. NaN without an intervention: the distance driven is then only a lower limit.
    """
    return ratio(distance_driven(episodes), interventions(episodes))


def share_without_intervention(episodes: Table) -> float:
    """Share of the recorded path that the car covered by itself. Unit: 1.

    Path length covered by the episodes over the length that they were asked to drive: from the
    first start on a section to its end, each case by itself. The rest is what the car was set
    back over after crashes, and what it did not come to. What a time limit cuts off was not
    asked for.

    Where somebody went back and drove the same road again, as a human may who restarts a drive,
    each try counts by itself. One that was given up for another was asked to drive no further than
    it came: 50 m and a restart, then 100 m to the end, are 150 m of 150 m; what the first try
    was set back over on its 50 m is missing from them.
    """
    ways = path_lengths(episodes)
    return ratio(ways.covered, ways.tried)


def route_completion(episodes: Table) -> float:
    """Share of the recorded path that the drive got to, with what it was set back over. Unit: 1.

    From the first start on a section to the farthest point reached over all that was asked, each
    case by itself. The route completion of the CARLA leaderboard, where a drive also goes on
    after an infraction (leaderboard.carla.org, evaluation criteria).
    """
    ways = path_lengths(episodes)
    return ratio(ways.reached, ways.asked)


def path_lengths(episodes: Table) -> Ways:
    """Lengths asked, reached, tried and covered, each section of each case by itself."""
    start, section_end = floats(episodes, "start_s"), floats(episodes, "section_end_s")
    limit = np.fmin(floats(episodes, "asked_s"), section_end)
    end = np.minimum(floats(episodes, "end_s"), limit)  # a step may reach beyond
    keys = zip(
        texts(episodes, "scenario").tolist(),
        texts(episodes, "case").tolist(),
        floats(episodes, "trace").tolist(),
        floats(episodes, "section_start_s").tolist(),
        strict=True,
    )
    sections: dict[tuple[str, str, float, float], list[int]] = {}
    for row, key in enumerate(keys):
        sections.setdefault(key, []).append(row)
    asked = reached = tried = covered = 0.0
    for own in sections.values():
        # What was asked at last counts: who restarts a drive is asked for it again.
        first, farthest = float(start[own].min()), float(end[own].max())
        last = float(limit[own[-1]])
        asked += max(last, farthest) - first
        reached += max(farthest - first, 0.0)
        section_tried, section_covered = _tries(start[own].tolist(), end[own].tolist(), last)
        tried += section_tried
        covered += section_covered
    return Ways(asked, reached, tried, covered)


def _tries(starts: list[float], ends: list[float], asked: float) -> tuple[float, float]:
    """Lengths tried and covered by the episodes of a section, in the order they were driven in."""
    tried = covered = 0.0
    first = farthest = starts[0]
    for start, end in zip(starts, ends, strict=True):
        if start < farthest - BACK:
            tried += farthest - first
            first = farthest = start
        covered += max(end - max(start, farthest), 0.0)
        farthest = max(farthest, end)
    return tried + max(asked, farthest) - first, covered

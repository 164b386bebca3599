"""Closed-loop metrics: pure functions of a run's tables, so that an old run can be judged anew.

A table is a mapping from column name to array, one entry a row, as `runs.Run.steps` and
`runs.Run.episodes` give it. In a steps table the rows of an episode follow each other in
time, the first being its start. A value that nothing was measured for is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.tasks.lane_following import CRASHES

Table = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]


def crashes(episodes: Table) -> int:
    """How often the car left the road (endings "off_road" and "heading"). Unit: 1."""
    return int(np.isin(episodes["ending"].astype(str), sorted(CRASHES)).sum())


def distance_driven(episodes: Table) -> float:
    """Distance that the car itself drove, without what it was set back over. Unit: m."""
    return float(np.sum(episodes["distance"]))


def crashes_per_km(episodes: Table) -> float:
    """Crashes over the distance driven. Unit: 1/km."""
    driven = distance_driven(episodes)
    return 1000.0 * crashes(episodes) / driven if driven > 0 else float("nan")


def share_without_intervention(episodes: Table) -> float:
    """Share of the recorded path that the car covered by itself. Unit: 1.

    Path length covered by the episodes over the length of the sections they were asked to
    drive; the rest is what the car was set back over after crashes.
    """
    ends = np.minimum(episodes["end_s"], episodes["section_end_s"])  # a step may reach beyond
    covered = np.maximum(ends - episodes["start_s"], 0.0).sum()
    keys = zip(episodes["trace"].tolist(), episodes["section_start_s"].tolist(), strict=True)
    lengths = dict(zip(keys, episodes["section_end_s"].tolist(), strict=True))
    asked = sum(end - start for (_, start), end in lengths.items())
    return float(covered / asked) if asked > 0 else float("nan")


def cross_track_error(steps: Table) -> Floats:
    """Distance from the recorded path, (n,), a row each. Unit: m."""
    return np.abs(np.asarray(steps["lateral"], dtype=np.float64))


def heading_error(steps: Table) -> Floats:
    """Size of the angle to the recorded path's direction, (n,), a row each. Unit: rad."""
    return np.abs(np.asarray(steps["heading_error"], dtype=np.float64))


def steering_whiteness(steps: Table) -> float:
    """Root mean square of the tire angle's rate between steps. Unit: rad/s.

    Small is smooth. The measure that Eraqi et al. 2017 (arXiv:1710.03804) and Balesni et al.
    2023 (arXiv:2301.12264) call whiteness, of the tires instead of the steering wheel.
    """
    rate = _rate(steps, np.asarray(steps["tire_angle"], dtype=np.float64))
    return float(np.sqrt(np.mean(rate**2))) if rate.size else float("nan")


def lateral_acceleration(steps: Table) -> Floats:
    """Speed squared times the curvature driven, (n,), positive to the left. Unit: m/s²."""
    speed = np.asarray(steps["speed"], dtype=np.float64)
    return speed**2 * np.asarray(steps["curvature"], dtype=np.float64)


def peak_lateral_acceleration(steps: Table) -> float:
    """Largest size of the lateral acceleration. Unit: m/s²."""
    return _largest(lateral_acceleration(steps))


def peak_lateral_jerk(steps: Table) -> float:
    """Largest change of the lateral acceleration between two steps over their time. Unit: m/s³."""
    return _largest(_rate(steps, lateral_acceleration(steps)))


def mean_validity(steps: Table) -> float:
    """Mean share of the camera's pixels that a recorded frame saw. Unit: 1."""
    return _mean(np.asarray(steps["validity"], dtype=np.float64))


def summarize(steps: Table, episodes: Table) -> dict[str, float]:
    """All metrics of closed-loop driving by name; each name ends in its unit.

    Args:
        steps, episodes: tables of the closed-loop episodes alone.
    """
    lateral, heading = cross_track_error(steps), heading_error(steps)
    return {
        "crashes": float(crashes(episodes)),
        "distance_m": distance_driven(episodes),
        "crashes_per_km": crashes_per_km(episodes),
        "share_without_intervention": share_without_intervention(episodes),
        "mean_cross_track_error_m": _mean(lateral),
        "max_cross_track_error_m": _largest(lateral),
        "mean_heading_error_rad": _mean(heading),
        "max_heading_error_rad": _largest(heading),
        "steering_whiteness_rad_s": steering_whiteness(steps),
        "peak_lateral_acceleration_m_s2": peak_lateral_acceleration(steps),
        "peak_lateral_jerk_m_s3": peak_lateral_jerk(steps),
        "mean_validity": mean_validity(steps),
    }


def select(table: Table, rows: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The rows of a table where a mask (n,) is true."""
    return {name: column[rows] for name, column in table.items()}


def _rate(steps: Table, values: Floats) -> Floats:
    """Change per second from each row to the next of the same episode, (m,)."""
    same = steps["episode"][1:] == steps["episode"][:-1]
    duration = np.diff(np.asarray(steps["t"], dtype=np.float64))[same]
    rate: Floats = np.diff(values)[same] / duration
    return rate


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else float("nan")


def _largest(values: Floats) -> float:
    return float(np.abs(values).max()) if values.size else float("nan")

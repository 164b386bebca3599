"""How metrics are shown, everywhere: label with unit, factor to that unit, and digits.

The words are those of the glossary in README.md beside this file.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from vista_sim.evaluation.metrics.comfort import BOUNDS

_DEGREES = 180 / math.pi
_PERCENT = 100.0


class Label(NamedTuple):
    """How a metric is shown.

    Args:
        text: with unit.
        factor: to that unit.
        digits: after the point.
        head: of a narrow column, where scenarios stand below each other; "": not shown there.
    """

    text: str
    factor: float
    digits: int
    head: str = ""


LABELS: dict[str, Label] = {
    "crashes": Label("crashes", 1.0, 0, "crashes"),
    "policy_failures": Label("policy broke", 1.0, 0),
    "distance_m": Label("distance driven, m", 1.0, 0),
    "crashes_per_km": Label("crashes per km", 1.0, 2),
    "distance_per_intervention_m": Label("distance per intervention, m", 1.0, 0),
    "share_without_intervention": Label("driven by itself, %", _PERCENT, 1, "by itself, %"),
    "route_completion": Label("route completion, %", _PERCENT, 1),
    "mean_cross_track_error_m": Label("cross-track error, mean, m", 1.0, 3, "error, mean, m"),
    "rms_cross_track_error_m": Label("cross-track error, RMS, m", 1.0, 3),
    "p95_cross_track_error_m": Label("cross-track error, 95th percentile, m", 1.0, 3),
    "max_cross_track_error_m": Label("cross-track error, max, m", 1.0, 2, "max, m"),
    "mean_heading_error_rad": Label("heading error, mean, deg", _DEGREES, 2),
    "rms_heading_error_rad": Label("heading error, RMS, deg", _DEGREES, 2),
    "p95_heading_error_rad": Label("heading error, 95th percentile, deg", _DEGREES, 2),
    "max_heading_error_rad": Label("heading error, max, deg", _DEGREES, 2),
    "steering_whiteness_rad_s": Label("steering whiteness, deg/s", _DEGREES, 2),
    "peak_lateral_acceleration_m_s2": Label("lateral acceleration, peak, m/s²", 1.0, 2),
    "peak_lateral_jerk_m_s3": Label("lateral jerk, peak, m/s³", 1.0, 2),
    **{
        f"comfortable_{name}": Label(
            f"comfortable {name.replace('_', ' ')}, % of time", _PERCENT, 1
        )
        for name in BOUNDS
    },
    "comfortable_episodes": Label(
        "episodes within all comfort bounds, %", _PERCENT, 1, "comfort, %"
    ),
    "steering_mae_1_m": Label("steering against the human's, MAE, 1/m", 1.0, 4),
    "mean_validity": Label("pixels really seen, %", _PERCENT, 1),
    "distance_valid_m": Label("driven on valid views, m", 1.0, 0),
    "distance_beyond_validity_m": Label("driven beyond validity, m", 1.0, 0),
    "recovery_starts": Label("recovery starts", 1.0, 0),
    "recovery_rate": Label("recovered, %", _PERCENT, 1, "recovered, %"),
    "recovery_rate_of_expert": Label("recovered, of the expert's, %", _PERCENT, 1),
    "mean_recovery_time_s": Label("recovery time, mean, s", 1.0, 2),
}


#: Metrics that are shown of each scenario, and the heads of their columns.
BY_SCENARIO = {name: label.head for name, label in LABELS.items() if label.head}


def shown(name: str) -> Label:
    """How a metric is shown; a score by its own name, in percent."""
    return LABELS.get(name, Label(f"{name}, %", _PERCENT, 1))


def number(name: str, value: float) -> str:
    """A value of a metric in the unit shown; "-" where it is not known."""
    _, factor, digits, _ = shown(name)
    return "-" if math.isnan(value) else f"{factor * value:.{digits}f}"

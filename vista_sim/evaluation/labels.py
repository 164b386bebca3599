"""How metrics are shown: label with unit, factor to that unit, and digits."""

from __future__ import annotations

import math

from vista_sim.evaluation.metrics.comfort import BOUNDS

_DEGREES = 180 / math.pi
_PERCENT = 100.0

LABELS: dict[str, tuple[str, float, int]] = {
    "crashes": ("crashes", 1.0, 0),
    "policy_failures": ("policy broke", 1.0, 0),
    "distance_m": ("distance driven, m", 1.0, 0),
    "crashes_per_km": ("crashes per km", 1.0, 2),
    "distance_per_intervention_m": ("distance per intervention, m", 1.0, 0),
    "share_without_intervention": ("driven by itself, %", _PERCENT, 1),
    "route_completion": ("route completion, %", _PERCENT, 1),
    "mean_cross_track_error_m": ("cross-track error, mean, m", 1.0, 3),
    "rms_cross_track_error_m": ("cross-track error, RMS, m", 1.0, 3),
    "p95_cross_track_error_m": ("cross-track error, 95th percentile, m", 1.0, 3),
    "max_cross_track_error_m": ("cross-track error, max, m", 1.0, 2),
    "mean_heading_error_rad": ("heading error, mean, deg", _DEGREES, 2),
    "rms_heading_error_rad": ("heading error, RMS, deg", _DEGREES, 2),
    "p95_heading_error_rad": ("heading error, 95th percentile, deg", _DEGREES, 2),
    "max_heading_error_rad": ("heading error, max, deg", _DEGREES, 2),
    "steering_whiteness_rad_s": ("steering whiteness, deg/s", _DEGREES, 2),
    "peak_lateral_acceleration_m_s2": ("lateral acceleration, peak, m/s²", 1.0, 2),
    "peak_lateral_jerk_m_s3": ("lateral jerk, peak, m/s³", 1.0, 2),
    **{
        f"comfortable_{name}": (f"comfortable {name.replace('_', ' ')}, % of time", _PERCENT, 1)
        for name in BOUNDS
    },
    "comfortable_episodes": ("episodes within all comfort bounds, %", _PERCENT, 1),
    "steering_mae_1_m": ("steering against the human's, MAE, 1/m", 1.0, 4),
    "mean_validity": ("pixels really seen, %", _PERCENT, 1),
    "distance_valid_m": ("driven on valid views, m", 1.0, 0),
    "distance_beyond_validity_m": ("driven beyond validity, m", 1.0, 0),
    "recovery_starts": ("recovery starts", 1.0, 0),
    "recovery_rate": ("recovered, %", _PERCENT, 1),
    "recovery_rate_of_expert": ("recovered, of the expert's, %", _PERCENT, 1),
    "mean_recovery_time_s": ("recovery time, mean, s", 1.0, 2),
}


def shown(name: str) -> tuple[str, float, int]:
    """Label, factor and digits of a metric; a score is shown by its own name, in percent."""
    return LABELS.get(name, (f"{name}, %", _PERCENT, 1))


def number(name: str, value: float) -> str:
    """A value of a metric in the unit shown; "-" where it is not known."""
    _, factor, digits = shown(name)
    return "-" if math.isnan(value) else f"{factor * value:.{digits}f}"

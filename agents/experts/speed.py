"""The longitudinal law of the experts: drive as fast as the recording did at this place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vista_sim.traces.path import TracePath


@dataclass(frozen=True)
class SpeedConfig:
    """How the recorded speed is come back to."""

    gain: float = 1.0
    """Acceleration per speed that is missing, 1/s."""
    reach: float = 0.25
    """Recorded acceleration is a difference over this time to both sides, s."""
    max_acceleration: float = 2.4
    """Strongest acceleration, m/s²; a comfort bound of nuPlan (Caesar et al. 2021,
    arXiv:2106.11810, and its devkit)."""
    max_deceleration: float = 4.05
    """Strongest braking, m/s²; likewise."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}; it must be positive")


def acceleration(path: TracePath, s: float, speed: float, config: SpeedConfig) -> float:
    """Acceleration (m/s²) that returns to the recorded speed profile.

    The recorded acceleration at this place plus a proportional return, so that the speed error
    decays as exp(-gain t) and a car at the recorded speed stays there.

    Args:
        path: whose recorded speed is a function of arc length.
        s: where the car is, m.
        speed: how fast it is, m/s.
        config: gain and bounds.
    """
    here = min(max(s, 0.0), path.length)
    recorded = path.speed(here)
    reach = max(0.25, config.reach * recorded)
    first, last = max(0.0, here - reach), min(path.length, here + reach)
    # Along the way, acceleration is the slope of half the squared speed.
    slope = 0.5 * (path.speed(last) ** 2 - path.speed(first) ** 2) / (last - first)
    asked = slope + config.gain * (recorded - speed)
    return max(-config.max_deceleration, min(config.max_acceleration, asked))

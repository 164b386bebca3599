"""What is known of the motion of a car in the plane: positions, speeds, headings, yaw rates."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vista_sim.traces.importers.recording import Floats

X, Y, YAW, SPEED, RATE = range(5)  # of a state
STATE = 5


@dataclass(frozen=True, eq=False)
class Measured:
    """Values (n,) or (n, 2) at times (n,), s, with one sigma (n,) each."""

    t: Floats
    value: Floats
    std: Floats

    def __len__(self) -> int:
        return len(self.t)


def _nowhere() -> Measured:
    return Measured(np.zeros(0), np.zeros((0, 2)), np.zeros(0))


def _nothing() -> Measured:
    return Measured(np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a motion.

    Args:
        position: (n, 2) m, of the point `arm` of the car; std is scaled to what they deviate.
        speed: (n,) m/s. heading: (n,) rad. yaw_rate: (n,) rad/s; each may be empty.
        arm: (2,) m, ahead and left of the rear axle: what positions are those of.
        scaled: whether the sigmas of positions are known but for a factor.
        gauge: one sigma of the logarithm of the factor that yaw rates are too large by, of the
            time, s, that they are late by, and of their bias, rad/s; zero: none.
    """

    position: Measured = field(default_factory=_nowhere)
    speed: Measured = field(default_factory=_nothing)
    heading: Measured = field(default_factory=_nothing)
    yaw_rate: Measured = field(default_factory=_nothing)
    arm: tuple[float, float] = (0.0, 0.0)
    scaled: bool = True
    gauge: tuple[float, float, float] = (0.0, 0.0, 0.0)

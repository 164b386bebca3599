"""The likeliest motion of a car in the plane through positions, speeds and yaw rates with errors.

A receiver that tells a place once a second gives a path, not poses. What joins its fixes is how
cars move: where they look, with a speed and a curvature that change gradually (`motion_chain`). The
fixes are weighed by what they deviate (Cauchy), so that those far off count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.importers.motion_chain import OUTLIER, Chain
from vista_sim.traces.importers.motion_evidence import RATE, SPEED, YAW, Evidence, X, Y
from vista_sim.traces.importers.recording import Floats
from vista_sim.traces.importers.rough_motion import reachable, rough_motion

_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class PlanarMotion:
    """The motion of the rear axle.

    Args:
        t: (n,) s, even. xy: (n, 2) m. yaw: (n,) rad, unwrapped. speed, yaw_rate: (n,).
        position_std, yaw_std: (n,) m and rad, one sigma, as if errors were independent.
        outliers: (m,) whether a position was not believed.
        noise: factor that the sigmas of the positions were found to be short of.
        factor, late: what the yaw rates are too large by, and late by, s.
        gauge_std: (3,) one sigma of each `Evidence.gauge` as it was found.
    """

    t: Floats
    xy: Floats
    yaw: Floats
    speed: Floats
    yaw_rate: Floats
    position_std: Floats
    yaw_std: Floats
    outliers: NDArray[np.bool_]
    noise: float
    factor: float
    late: float
    gauge_std: Floats


def planar_motion(t: Floats, evidence: Evidence) -> PlanarMotion:
    """The likeliest motion at even times (n,), s; measurements outside of them are left out."""
    position = evidence.position
    reached = reachable(position.t, position.value) if len(position) else np.zeros(0, bool)
    inside = reached & (position.t >= t[0]) & (position.t <= t[-1])
    chain = Chain(t, evidence, inside)
    state = rough_motion(t, evidence, inside)
    noise = 1.0
    for number in range(_ROUNDS):
        state = chain.solve(state, noise)
        if number == 0 and np.sum(state[:, SPEED]) < 0 and not len(evidence.heading):
            # A way has two directions; cars hardly ever drive it backwards.
            state[:, YAW] += np.pi
            state[:, SPEED] *= -1
            state = chain.solve(state, noise)
        covariance = chain.covariances(state, noise)
        if not evidence.scaled or not inside.any():
            break
        noise = chain.noise(state, covariance, noise)
    outliers = ~reached
    outliers[inside] = chain.deviations(state, noise) > OUTLIER
    return PlanarMotion(
        t,
        state[:, :2],
        state[:, YAW],
        state[:, SPEED],
        state[:, RATE],
        np.sqrt(0.5 * (covariance[:, X, X] + covariance[:, Y, Y])),
        np.sqrt(covariance[:, YAW, YAW]),
        outliers,
        noise,
        float(np.exp(-chain.gauge[0])),
        float(chain.gauge[1]),
        chain.gauge_std,
    )

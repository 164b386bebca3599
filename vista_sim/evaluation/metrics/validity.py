"""How much of what the policy saw was really recorded.

Far from the recording a view is made up of fewer recorded pixels, and what a policy does there
says less of what it would do on the road.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vista_sim.evaluation.metrics.tables import Floats, Table, floats, mean

#: Share of recorded pixels below which a view counts as beyond validity.
VALID = 0.9


def mean_validity(steps: Table) -> float:
    """Mean share of the camera's pixels that a recorded frame saw. Unit: 1.

    NaN without a camera.
    """
    return mean(floats(steps, "validity"))


def distance_valid(steps: Table, least: float = VALID) -> float:
    """Distance driven on views of which at least a share was recorded. Unit: m.

    Args:
        steps: table; the way from a row to the next counts to the view of the first, on which
            it was decided.
        least: share of recorded pixels, 1.

    Returns:
        NaN without a camera.
    """
    return _distance(steps, least, math.inf)


def distance_beyond_validity(steps: Table, least: float = VALID) -> float:
    """Distance driven on views of which less than a share was recorded, as above. Unit: m."""
    return _distance(steps, -math.inf, least)


def _distance(steps: Table, least: float, below: float) -> float:
    seen = floats(steps, "validity")
    if np.isnan(seen).all():
        return math.nan
    way, first = _ways(steps)
    own = seen[first]
    return float(way[(own >= least) & (own < below)].sum())


def _ways(steps: Table) -> tuple[Floats, NDArray[np.int64]]:
    """Distances (m) from rows to the next of the same episode, and which rows those are."""
    episode = np.asarray(steps["episode"])
    first = np.flatnonzero(episode[1:] == episode[:-1])
    way = np.hypot(np.diff(floats(steps, "x")), np.diff(floats(steps, "y")))[first]
    return way, first

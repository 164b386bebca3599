"""Stretches of time joined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.checks.finding import Interval


def merged(start: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[Interval, ...]:
    """Intervals (s) from starts (n,), increasing, to ends (n,), with those that touch joined."""
    joined: list[list[float]] = []
    for a, b in zip(start.tolist(), end.tolist(), strict=True):
        if joined and a <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], b)
        else:
            joined.append([a, b])
    return tuple((a, b) for a, b in joined)

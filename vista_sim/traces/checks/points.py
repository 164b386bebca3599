"""Points of a lidar against what lidars on cars can measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.checks.finding import Finding

SWEEPS = 5  # that are looked at
FARTHEST = 500.0  # m that a scanner of a car measures
NEAR = 0.5  # m; more than half of the points are farther away
SHARE = 0.05  # of the points that may be farther, or at another time
LONGEST = 1.0  # s that a point may be away from the time of its sweep


@dataclass(frozen=True, eq=False)
class LidarValues:
    """Of some sweeps of a lidar.

    Args:
        lidar: its name.
        ranges: (n,) m from the scanner.
        lag: (n,) s from the time of the sweep to that of the point; None: not recorded.
    """

    lidar: str
    ranges: NDArray[np.float64]
    lag: NDArray[np.float64] | None = None

    @property
    def table(self) -> str:
        """Name of the lidar's table."""
        return f"{self.lidar}.parquet"


def ranges(values: LidarValues) -> list[Finding]:
    """Points in another unit, or in the world's frame."""
    if not len(values.ranges):
        return []
    far = float(np.mean(values.ranges > FARTHEST))
    middle = float(np.median(values.ranges))
    if far <= SHARE and middle >= NEAR:
        return []
    text = f"half of its points are over {middle:.3g} m away"
    if middle < NEAR:
        text = f"half of its points are within {middle:.2g} m"
    elif middle <= FARTHEST:
        text = f"{100 * far:.0f} % of its points are over {FARTHEST:g} m away"
    remedy = "they must be in m, in the frame of the lidar (are they in that of the world?)"
    return [Finding("lidar-range", "warn", values.table, text, remedy)]


def point_times(values: LidarValues) -> list[Finding]:
    """Points of another clock than their sweeps."""
    if values.lag is None or not len(values.lag):
        return []
    if float(np.mean(np.abs(values.lag) > LONGEST)) <= SHARE:
        return []
    text = f"its points are {float(np.median(values.lag)):.3g} s from the time of their sweep"
    remedy = "point_t_ns and t_ns must be in nanoseconds of one clock"
    return [Finding("lidar-point-time", "warn", values.table, text, remedy)]

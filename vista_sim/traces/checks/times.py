"""The times of a camera or lidar against those of the ego motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.checks.finding import Finding

FASTEST = 0.005  # s between frames; few cameras are faster, and none sees 1/1000 of a drive
_SLACK = 1e-6  # s; rounding of float seconds at the ends of a trace
_UNITS = {1e-3: "microseconds", 1e-6: "milliseconds", 1e-9: "seconds"}


@dataclass(frozen=True, eq=False)
class SensorTimes:
    """When frames or sweeps were taken.

    Args:
        kind: "camera" or "lidar". name: of the sensor.
        t: (n,) s after the first ego row.
        duration: of the drive, s.
    """

    kind: str
    name: str
    t: NDArray[np.float64]
    duration: float

    @property
    def table(self) -> str:
        """Name of the sensor's table."""
        return f"{self.name}.parquet"

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(n,) which were taken during the drive, but for rounding at its ends."""
        return (self.t >= -_SLACK) & (self.t <= self.duration + _SLACK)

    @property
    def samples(self) -> str:
        """What it takes."""
        return "sweeps" if self.kind == "lidar" else "frames"


def time_unit(times: SensorTimes) -> list[Finding]:
    """The sensor's times are in another unit than those of the ego motion."""
    if len(times.t) < 10:
        return []
    lasts = float(times.t[-1] - times.t[0])
    ratio = lasts / times.duration
    if float(np.median(np.diff(times.t))) > FASTEST:
        return []
    for unit, name in _UNITS.items():
        if 0.5 * unit < ratio < 1.5 * unit:
            text = f"its {times.samples} last {lasts:.3g} s, ego.parquet {times.duration:.3g} s"
            remedy = f"both t_ns must be in nanoseconds (are those of the {times.kind} in {name}?)"
            return [Finding(f"{times.kind}-time-unit", "refuse", times.table, text, remedy)]
    return []


def none_inside(times: SensorTimes) -> list[Finding]:
    """Nothing was taken during the drive."""
    if times.inside.any():
        return []
    text = (
        f"no {times.samples[:-1]} lies within the time of ego.parquet "
        f"({times.t[0]:.3f} to {times.t[-1]:.3f} s of 0 to {times.duration:.3f} s)"
    )
    remedy = "are both clocks and units of time the same?"
    return [Finding(f"{times.kind}-time", "refuse", times.table, text, remedy)]


def few_inside(times: SensorTimes) -> list[Finding]:
    """Most of what was taken has no pose."""
    inside = float(np.mean(times.inside))
    if inside > 0.5:
        return []
    text = f"{100 * (1 - inside):.0f} % of its {times.samples} lie outside the time of ego.parquet"
    remedy = "they are left out (are both clocks the same?)"
    return [Finding(f"{times.kind}-time", "warn", times.table, text, remedy)]

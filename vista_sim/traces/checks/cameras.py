"""The times of a camera against those of the ego motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.checks.finding import Finding

FASTEST = 0.005  # s between frames; few cameras are faster, and none sees 1/1000 of a drive
_UNITS = {1e-3: "microseconds", 1e-6: "milliseconds", 1e-9: "seconds"}


@dataclass(frozen=True, eq=False)
class CameraTimes:
    """When frames were taken: t (n,) s after the first ego row, and the drive's duration, s."""

    name: str
    t: NDArray[np.float64]
    duration: float

    @property
    def table(self) -> str:
        """Name of the camera's table."""
        return f"{self.name}.parquet"


def time_unit(times: CameraTimes) -> list[Finding]:
    """The camera's times are in another unit than those of the ego motion."""
    if len(times.t) < 10:
        return []
    lasts = float(times.t[-1] - times.t[0])
    ratio = lasts / times.duration
    if float(np.median(np.diff(times.t))) > FASTEST:
        return []
    for unit, name in _UNITS.items():
        if 0.5 * unit < ratio < 1.5 * unit:
            text = f"its frames last {lasts:.3g} s, ego.parquet {times.duration:.3g} s"
            remedy = f"both t_ns must be in nanoseconds (are those of the camera in {name}?)"
            return [Finding("camera-time-unit", "refuse", times.table, text, remedy)]
    return []


def few_frames_inside(times: CameraTimes) -> list[Finding]:
    """Most frames have no pose."""
    inside = float(np.mean((times.t >= -1e-6) & (times.t <= times.duration + 1e-6)))
    if inside > 0.5:
        return []
    text = f"{100 * (1 - inside):.0f} % of its frames lie outside the time of ego.parquet"
    remedy = "they are left out (are both clocks the same?)"
    return [Finding("camera-time", "warn", times.table, text, remedy)]

"""What a trace contradicts itself in: all that its tables tell, and some pictures and sweeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.checks import (
    Finding,
    LidarValues,
    PictureValues,
    check_pictures,
    check_points,
)
from vista_sim.traces.checks.pictures import SAMPLES
from vista_sim.traces.checks.points import SWEEPS
from vista_sim.traces.lidar import RecordedLidar
from vista_sim.traces.trace import Trace


def find_all(trace: Trace) -> tuple[Finding, ...]:
    """Findings of an open trace, of some pictures, which are decoded for it, and of some sweeps.

    Raises:
        TraceError: a sweep cannot be read.
    """
    findings = trace.findings
    for name, camera in trace.cameras.items():
        pictures = []
        for index in _spread(camera.frame_count, SAMPLES):
            try:
                pictures.append(camera.frame(int(index)))
            except TraceError as error:
                text = str(error).partition(": ")[2]
                remedy = "views cannot be made from it (is the video damaged?)"
                findings += (Finding("broken-picture", "warn", camera.path.name, text, remedy),)
        findings += check_pictures(PictureValues.of(name, pictures))
    for lidar in trace.lidars.values():
        findings += check_points(_values(lidar))
    return findings


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Some of so many numbers, from the first to the last."""
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))


def _values(lidar: RecordedLidar) -> LidarValues:
    sweeps = [lidar.sweep(int(index)) for index in _spread(lidar.sweep_count, SWEEPS)]
    lags = [sweep.point_t - sweep.t for sweep in sweeps if sweep.point_t is not None]
    return LidarValues(
        lidar.name,
        np.concatenate([np.linalg.norm(sweep.points, axis=1) for sweep in sweeps]),
        np.concatenate(lags) if lags else None,
    )

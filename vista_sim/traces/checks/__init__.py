"""Checks of a recording against itself: the reader, the writer and every importer run them.

A check is a function from what it looks at to its findings, which are none where it cannot tell.
A new one is one function and one line below; README.md of `vista_sim.traces` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from vista_sim.traces.calibration import CameraCalibration
from vista_sim.traces.checks.finding import Finding, RefusedError
from vista_sim.traces.checks.heading import (
    heading_against_motion,
    in_reverse,
    reversing,
    speed_along_wrong_headings,
)
from vista_sim.traces.checks.jumps import position_jumps, way_length
from vista_sim.traces.checks.motion import Motion
from vista_sim.traces.checks.mounts import (
    above_the_road,
    lens_of_another_unit,
    looks_along_the_road,
    principal_point,
)
from vista_sim.traces.checks.pictures import PictureValues, dark, pale
from vista_sim.traces.checks.points import LidarValues, point_times, ranges
from vista_sim.traces.checks.rates import pose_rate
from vista_sim.traces.checks.times import SensorTimes, few_inside, none_inside, time_unit
from vista_sim.traces.checks.units import speed_unit, upside_down, yaw_rate_sign

__all__ = [
    "CALIBRATION_CHECKS",
    "LIDAR_CHECKS",
    "MOTION_CHECKS",
    "PICTURE_CHECKS",
    "TIME_CHECKS",
    "Finding",
    "LidarValues",
    "Motion",
    "PictureValues",
    "RefusedError",
    "SensorTimes",
    "check_calibration",
    "check_motion",
    "check_pictures",
    "check_points",
    "check_times",
    "refuse",
]

#: In this order: what is wrong with a unit makes the later ones contradict too.
MOTION_CHECKS: tuple[Callable[[Motion], list[Finding]], ...] = (
    upside_down,
    speed_along_wrong_headings,
    speed_unit,
    way_length,
    heading_against_motion,
    yaw_rate_sign,
    reversing,
    in_reverse,
    position_jumps,
    pose_rate,
)
TIME_CHECKS: tuple[Callable[[SensorTimes], list[Finding]], ...] = (
    time_unit,
    none_inside,
    few_inside,
)
CALIBRATION_CHECKS: tuple[Callable[[str, CameraCalibration], list[Finding]], ...] = (
    lens_of_another_unit,
    principal_point,
    looks_along_the_road,
    above_the_road,
)
PICTURE_CHECKS: tuple[Callable[[PictureValues], list[Finding]], ...] = (dark, pale)
LIDAR_CHECKS: tuple[Callable[[LidarValues], list[Finding]], ...] = (ranges, point_times)


def check_motion(motion: Motion) -> tuple[Finding, ...]:
    """Findings of ego.parquet; those that refuse end the list."""
    return _run(check(motion) for check in MOTION_CHECKS)


def check_times(times: SensorTimes) -> tuple[Finding, ...]:
    """Findings of a camera's or a lidar's table beside ego.parquet."""
    return _run(check(times) for check in TIME_CHECKS)


def check_calibration(name: str, camera: CameraCalibration) -> tuple[Finding, ...]:
    """Findings of a camera's lens and mount."""
    return _run(check(name, camera) for check in CALIBRATION_CHECKS)


def check_pictures(values: PictureValues) -> tuple[Finding, ...]:
    """Findings of the values of a camera's pictures."""
    return _run(check(values) for check in PICTURE_CHECKS)


def check_points(values: LidarValues) -> tuple[Finding, ...]:
    """Findings of the points of a lidar's sweeps."""
    return _run(check(values) for check in LIDAR_CHECKS)


def refuse(folder: Path, findings: Iterable[Finding]) -> None:
    """Raise RefusedError with the first finding that refuses, if one does."""
    for finding in findings:
        if finding.level == "refuse":
            raise RefusedError(f"{folder / finding.line}", finding)


def _run(found: Iterable[list[Finding]]) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    for some in found:
        findings += some
        if any(finding.level == "refuse" for finding in some):
            break
    return tuple(findings)

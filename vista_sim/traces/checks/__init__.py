"""Checks of a recording against itself: the reader, the writer and every importer run them.

A check is a function from what it looks at to its findings, which are none where it cannot tell.
A new one is one function and one line below; README.md of `vista_sim.traces` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from vista_sim.errors import TraceError
from vista_sim.traces.checks.cameras import CameraTimes, few_frames_inside, time_unit
from vista_sim.traces.checks.finding import Finding
from vista_sim.traces.checks.heading import heading_against_motion, reversing
from vista_sim.traces.checks.jumps import position_jumps, way_length
from vista_sim.traces.checks.motion import Motion
from vista_sim.traces.checks.pictures import PictureValues, dark, pale
from vista_sim.traces.checks.rates import pose_rate
from vista_sim.traces.checks.units import speed_unit, upside_down, yaw_rate_sign

__all__ = [
    "CAMERA_CHECKS",
    "MOTION_CHECKS",
    "PICTURE_CHECKS",
    "CameraTimes",
    "Finding",
    "Motion",
    "PictureValues",
    "check_camera",
    "check_motion",
    "check_pictures",
    "refuse",
]

#: In this order: what is wrong with a unit makes the later ones contradict too.
MOTION_CHECKS: tuple[Callable[[Motion], list[Finding]], ...] = (
    upside_down,
    speed_unit,
    way_length,
    heading_against_motion,
    yaw_rate_sign,
    reversing,
    position_jumps,
    pose_rate,
)
CAMERA_CHECKS: tuple[Callable[[CameraTimes], list[Finding]], ...] = (time_unit, few_frames_inside)
PICTURE_CHECKS: tuple[Callable[[PictureValues], list[Finding]], ...] = (dark, pale)


def check_motion(motion: Motion) -> tuple[Finding, ...]:
    """Findings of ego.parquet; those that refuse end the list."""
    return _run(check(motion) for check in MOTION_CHECKS)


def check_camera(times: CameraTimes) -> tuple[Finding, ...]:
    """Findings of a camera's table beside ego.parquet."""
    return _run(check(times) for check in CAMERA_CHECKS)


def check_pictures(values: PictureValues) -> tuple[Finding, ...]:
    """Findings of the values of a camera's pictures."""
    return _run(check(values) for check in PICTURE_CHECKS)


def refuse(folder: Path, findings: Iterable[Finding]) -> None:
    """Raise TraceError with the first finding that refuses, if one does."""
    for finding in findings:
        if finding.level == "refuse":
            raise TraceError(f"{folder / finding.line}")


def _run(found: Iterable[list[Finding]]) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    for some in found:
        findings += some
        if any(finding.level == "refuse" for finding in some):
            break
    return tuple(findings)

"""What a check of a drive measured, what of it is wrong, and what cannot be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vista_sim.checking.estimate import Estimate
from vista_sim.traces.checks import Finding


@dataclass(frozen=True)
class Measure:
    """One thing that was measured.

    Args:
        name: of the finding that it may become.
        what: in words.
        estimate: in SI units (s, m, rad, shares).
        floor: what is smaller is not called wrong.
    """

    name: str
    what: str
    estimate: Estimate
    floor: float

    @property
    def wrong(self) -> bool:
        return self.estimate.beyond(self.floor)

    @property
    def unit(self) -> str:
        return UNITS[self.name][0]

    def shown(self, value: float) -> float:
        """A value of it in the unit that people read."""
        return value * UNITS[self.name][1]

    @property
    def line(self) -> str:
        if not self.estimate.told:
            return f"{self.what}: cannot tell ({self.estimate.why})"
        value, sigma = (self.shown(x) for x in (self.estimate.value, self.estimate.sigma))
        return f"{self.what}: {value:+.2f} ± {sigma:.2f} {self.unit}"


_DEGREES = ("degrees", 180.0 / math.pi)
UNITS = {
    "video-late": ("s", 1.0),
    "camera-height": ("m", 1.0),
    "camera-pitch": _DEGREES,
    "camera-roll": _DEGREES,
    "camera-yaw": _DEGREES,
    "heading-off": _DEGREES,
    "focal-length": ("%", 100.0),
}


@dataclass(frozen=True)
class CameraCheck:
    """The check of one camera of a drive.

    Args:
        camera: its name.
        measures: by name; the values are by which what is recorded is too large (time, height,
            focal length), or by which the camera really looks further down (pitch), to the left
            (yaw), or down on the right (roll).
        mirrored: whether poses turn right where the frames turn left; None: cannot be told.
        mount_pitch: by which the camera really looks further down than its mount says, if poses are
            right (rad): tells whether the mount alone is wrong, or the vehicle frame with it.
        findings: what is wrong, each with its remedy.
        pairs: how many pairs of frames were looked at.
    """

    camera: str
    measures: Mapping[str, Measure]
    mirrored: bool | None
    mount_pitch: Estimate
    findings: tuple[Finding, ...]
    pairs: int

    @property
    def untold(self) -> tuple[str, ...]:
        """What cannot be told, a line each."""
        lines = [m.line for m in self.measures.values() if not m.estimate.told]
        if self.mirrored is None:
            lines.append("mirrored axes: cannot tell (the drive hardly turns)")
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        return {
            "camera": self.camera,
            "pairs": self.pairs,
            "measures": {name: _measure_json(m) for name, m in self.measures.items()},
            "mirrored": self.mirrored,
            "findings": [finding.to_json() for finding in self.findings],
            "cannot_tell": list(self.untold),
        }


def _measure_json(measure: Measure) -> dict[str, Any]:
    estimate = measure.estimate
    told = estimate.told
    return {
        "value": measure.shown(estimate.value) if told else None,
        "sigma": measure.shown(estimate.sigma) if told else None,
        "floor": measure.shown(measure.floor),
        "unit": measure.unit,
        "pairs": estimate.count,
        "wrong": measure.wrong,
        "why_not": estimate.why,
    }

"""Pairs of recorded cameras that look the same way from side to side."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.geometry.settings import StereoMatching
from vista_sim.geometry.store import identify
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera
from vista_sim.transforms import inverse


@dataclass(frozen=True, eq=False)
class Pair:
    """A camera and the one beside it that is matched with it.

    Args:
        own, other: the recorded cameras.
        baseline: m between them, positive.
        side: +1 if the other one is to the right of the own, -1 if to its left.
        partners: (n,) frame of the other camera taken at the same time as each own one; -1
            where there is none.
    """

    own: RecordedCamera
    other: RecordedCamera
    baseline: float
    side: int
    partners: NDArray[np.int64]


def find_pair(trace: Trace, camera: str, settings: StereoMatching) -> Pair:
    """The camera that makes a stereo pair with a recorded one; that of the longest baseline.

    Raises:
        GeometryError: there is none; the message says for each why not.
    """
    own = trace.cameras[camera]
    found: list[Pair] = []
    reasons: list[str] = []
    for name, other in trace.cameras.items():
        if name == camera:
            continue
        reason = _reason_against(own, other, settings)
        if reason is None:
            relative = inverse(own.calibration.T_vehicle_camera)
            step = (relative @ other.calibration.T_vehicle_camera)[:3, 3]
            side = 1 if step[0] > 0 else -1
            partners = _partners(own.t, other.t, settings.max_interval)
            found.append(Pair(own, other, float(np.linalg.norm(step)), side, partners))
        else:
            reasons.append(f"{name!r} {reason}")
    if not found:
        why = "; ".join(reasons) or "it is the only one"
        raise GeometryError(f"{trace.root}: camera {camera!r} has no stereo partner: {why}")
    return max(found, key=lambda pair: pair.baseline)


def pair_hash(trace: Trace, pair: Pair) -> str:
    """What of the other camera a bake depends on."""
    return hashlib.sha256(
        f"{pair.other.name} {identify(trace, pair.other.name)}".encode()
    ).hexdigest()


def _reason_against(
    own: RecordedCamera, other: RecordedCamera, settings: StereoMatching
) -> str | None:
    """Why two cameras are no stereo pair, or None."""
    relative = inverse(own.calibration.T_vehicle_camera) @ other.calibration.T_vehicle_camera
    angle = math.acos(float(np.clip((np.trace(relative[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)))
    if angle > settings.max_angle:
        return f"is turned by {math.degrees(angle):.1f} degrees"
    baseline = float(np.linalg.norm(relative[:3, 3]))
    low, high = settings.baseline
    if not low <= baseline <= high:
        return f"is {baseline:.3g} m away, not {low:g} to {high:g} m"
    if abs(relative[0, 3]) < math.cos(settings.max_angle) * baseline:
        return "does not stand beside it"
    if (_partners(own.t, other.t, settings.max_interval) < 0).all():
        return f"has no frame within {1e3 * settings.max_interval:g} ms of one of its frames"
    return None


def _partners(
    own: NDArray[np.float64], other: NDArray[np.float64], max_interval: float
) -> NDArray[np.int64]:
    after = np.clip(np.searchsorted(other, own), 1, max(len(other) - 1, 1))
    candidates = np.stack([after - 1, np.minimum(after, len(other) - 1)])
    best = np.argmin(np.abs(other[candidates] - own), axis=0)
    nearest = candidates[best, np.arange(len(own))]
    return np.where(np.abs(other[nearest] - own) <= max_interval, nearest, -1)

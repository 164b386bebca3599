"""Positions against speed and heading: where the localization jumps, drifts or stands still."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.checks.finding import Finding, places
from vista_sim.traces.checks.motion import Motion
from vista_sim.traces.checks.spans import merged
from vista_sim.traces.checks.units import EGO
from vista_sim.traces.smoothing import arc_of_rows

Floats = NDArray[np.float64]

SPREAD = 0.5  # s that a jump may be spread over, by interpolation or a filter
LONGEST = 1e6  # m of a drive
LARGEST = 1000.0  # m; what is farther is no localization any more


def way_length(motion: Motion) -> list[Finding]:
    """The way is longer than one recording can be; what is computed along it would fill memory."""
    step = np.linalg.norm(np.diff(motion.position, axis=0), axis=1)
    if step.sum() < LONGEST:
        return []
    way = float(arc_of_rows(np.ascontiguousarray(motion.position[:, :2]))[-1])
    if way < LONGEST:
        return []
    text = f"positions are a way of {way / 1000:.0f} km"
    remedy = "positions must be in m, and of one drive (split longer recordings)"
    return [Finding("way-length", "refuse", EGO, text, remedy)]


def position_jumps(motion: Motion) -> list[Finding]:
    """The positions move otherwise than speed and heading say: between two rows, or over 0.5 s."""
    unexplained = np.diff(motion.position, axis=0) - motion.expected_steps
    way = np.linalg.norm(motion.expected_steps, axis=1)
    size = np.linalg.norm(unexplained, axis=1)
    steps = motion.steps_whole & _exceeds(motion, unexplained, way, motion.dt)
    if steps.any() and size[steps].max() > LARGEST:
        row = int(np.flatnonzero(steps & (size > LARGEST))[0]) + 1
        text = f"row {row}: position jumps by {size[row - 1]:.0f} m"
        remedy = "positions must be in m, t_ns in nanoseconds"
        return [Finding("position-jump", "refuse", EGO, text, remedy)]
    found = [_steps(motion, steps, size)] if steps.any() else []
    if spread := _spread(motion, np.where(steps[:, None], 0.0, unexplained), way):
        found.append(spread)
    return found


def _steps(motion: Motion, steps: NDArray[np.bool_], size: Floats) -> Finding:
    rows = np.flatnonzero(steps)
    spans = merged(motion.t[rows], motion.t[rows + 1])
    most = int(rows[np.argmax(size[rows])])
    text = f"positions jump by up to {size[most]:.1f} m (row {most + 1}) {places(spans)}"
    remedy = "speed and heading say otherwise; no section spans these places"
    return Finding("position-jump", "cut", EGO, text, remedy, spans)


def _spread(motion: Motion, unexplained: Floats, way: Floats) -> Finding | None:
    """Positions that stand still while the car drives, drift away, or jump over several rows."""
    stride = round(SPREAD / motion.interval)
    if stride < 2 or len(motion.t) <= stride:
        return None
    whole = np.where(motion.steps_whole[:, None], unexplained, 0.0)
    total = np.concatenate([np.zeros((1, 3)), np.cumsum(whole, axis=0)])
    travelled = np.concatenate([[0.0], np.cumsum(np.where(motion.steps_whole, way, 0.0))])
    first = np.arange(len(motion.t) - stride)
    last = first + stride
    time = np.minimum(motion.t[last] - motion.t[first], 2 * SPREAD)
    off = total[last] - total[first]
    bad = _exceeds(motion, off, travelled[last] - travelled[first], time)
    if not bad.any():
        return None
    spans = merged(motion.t[first[bad]], motion.t[last[bad]])
    most = float(np.linalg.norm(off[bad], axis=1).max())
    text = f"positions leave speed and heading by {most:.1f} m within {SPREAD} s {places(spans)}"
    remedy = "no section spans these places (is a position held, filtered or lost there?)"
    return Finding("position-drift", "cut", EGO, text, remedy, spans)


def _exceeds(motion: Motion, off: Floats, way: Floats, time: Floats) -> NDArray[np.bool_]:
    plane = np.hypot(off[:, 0], off[:, 1])
    height = np.abs(off[:, 2])
    in_plane, in_height = motion.tolerance(way, time)
    result: NDArray[np.bool_] = (plane > in_plane) | (height > in_height)
    return result

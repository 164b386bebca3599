"""A rough motion through positions with errors, and which of them no car can have had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from vista_sim.traces.importers.motion_evidence import RATE, SPEED, STATE, YAW, Evidence
from vista_sim.traces.importers.recording import Floats
from vista_sim.traces.smoothing import local_fit

_MOVING = 2.0  # m/s from which on a course is believed at first
TOP_SPEED = 70.0  # m/s; fixes that need more to be reached are wrong
_SLACK = 8.0  # m, beside
_CHAIN = 40  # fixes that the search for those which can be reached looks back


def reachable(t: Floats, xy: Floats) -> NDArray[np.bool_]:
    """The most fixes (n,) that a car can have reached one from the other, in order of time."""
    count = len(t)
    length, before = np.ones(count, np.int64), np.full(count, -1)
    for i in range(1, count):
        first = max(0, i - _CHAIN)
        far = np.linalg.norm(xy[first:i] - xy[i], axis=1)
        can = far <= _SLACK + TOP_SPEED * (t[i] - t[first:i])
        if can.any():
            best = int(np.argmax(np.where(can, length[first:i], 0)))
            length[i], before[i] = length[first + best] + 1, first + best
    kept = np.zeros(count, dtype=bool)
    at = int(np.argmax(length)) if count else -1
    while at >= 0:
        kept[at] = True
        at = int(before[at])
    return kept


def rough_motion(t: Floats, evidence: Evidence, inside: NDArray[np.bool_]) -> Floats:
    """States (n, 5) at even times (n,): local lines through the fixes that fit their neighbours.

    inside: (m,) which positions count.
    """
    state = np.zeros((len(t), STATE))
    speed, heading, rate = evidence.speed, evidence.heading, evidence.yaw_rate
    turned = np.zeros(len(t))
    if len(rate):
        good = np.isfinite(rate.value)
        state[:, RATE] = np.interp(t, rate.t[good], rate.value[good])
        turned = np.cumsum(state[:, RATE]) * (t[1] - t[0])
    fixes, xy = evidence.position.t[inside], evidence.position.value[inside]
    if len(fixes) >= 2:
        fits = _fits(fixes, xy)
        state[:, :2], velocity = local_fit(t, fixes[fits], xy[fits], 3.0, 1)
        state[:, SPEED] = np.linalg.norm(velocity, axis=1)
        course = np.arctan2(velocity[:, 1], velocity[:, 0])
        reach = (4.0 if len(rate) else 0.6) / (t[1] - t[0])
        # A course counts by its speed; where the car stands, it is that before and after.
        pull = (state[:, SPEED] ** 2 + 1e-6) * np.exp(1j * (course - turned))
        mean = gaussian_filter1d(pull.real, reach) + 1j * gaussian_filter1d(pull.imag, reach)
        moving = np.abs(mean) >= min(_MOVING**2, 0.1 * float(np.abs(mean).max()))
        state[:, YAW] = turned + np.interp(t, t[moving], np.unwrap(np.angle(mean[moving])))
        if not len(rate):
            state[:, RATE] = np.gradient(state[:, YAW], t)
    if len(speed):
        state[:, SPEED] = np.interp(t, speed.t, speed.value)
    if len(fixes) < 2:  # dead reckoning
        state[:, YAW] = turned
        if len(heading):
            state[:, YAW] = np.interp(t, heading.t, np.unwrap(heading.value))
        ahead = np.stack([np.cos(state[:, YAW]), np.sin(state[:, YAW])], axis=1)
        state[:, :2] = np.cumsum(state[:, [SPEED]] * ahead, axis=0) * (t[1] - t[0])
    return state


def _fits(t: Floats, xy: Floats) -> NDArray[np.bool_]:
    """Fixes (n,) near the median of the lines through two each of their six neighbours."""
    count = len(t)
    if count < 8:
        return np.ones(count, dtype=bool)
    beside = np.array([-3, -2, -1, 1, 2, 3])
    rows = np.arange(count)[:, None] + beside
    rows = np.where(rows < 0, rows + 7, np.where(rows >= count, rows - 7, rows))
    a, b = np.triu_indices(len(beside), 1)
    first, second = rows[:, a], rows[:, b]
    part = (t[:, None] - t[first]) / (t[second] - t[first])
    near = np.abs(part - 0.5) < 2.0  # a line that is drawn out far errs far
    there = xy[first] + part[..., None] * (xy[second] - xy[first])
    middle = np.nanmedian(np.where(near[..., None], there, np.nan), axis=1)
    off = np.linalg.norm(xy - middle, axis=1)
    fits: NDArray[np.bool_] = off <= max(5.0, 4.0 * float(np.median(off)))
    return fits

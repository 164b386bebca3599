"""Units and axes that one column alone does not betray."""

from __future__ import annotations

import numpy as np

from vista_sim.traces.checks.finding import Finding
from vista_sim.traces.checks.motion import Motion

EGO = "ego.parquet"
FAST = 3.0  # m/s; below, speed and positions are too noisy to be compared
_RATIOS = {  # of the speed column to what positions and times say
    3.6: "is it km/h?",
    2.237: "is it mph?",
    3.281: "is it ft/s?",
    1e-1: "are positions in decimetres?",
    1e-2: "are positions in centimetres?",
    1e-3: "is t_ns in microseconds, or are positions in millimetres?",
    1e-6: "is t_ns in milliseconds?",
    1e-9: "is t_ns in seconds?",
}


def upside_down(motion: Motion) -> list[Finding]:
    """The vehicle's z axis points down: quaternions w x y z, or NED axes."""
    up = float(np.median(motion.up))
    if up > 0.5:
        return []
    tilt = np.degrees(np.arccos(np.clip(up, -1.0, 1.0)))
    return [
        Finding(
            "upside-down",
            "refuse",
            EGO,
            f"the vehicle's z axis is {tilt:.0f} degrees off upwards",
            "quaternions must be qx, qy, qz, qw of a vehicle with x forward, y left, z up "
            "(is w first, or are the axes NED?)",
        )
    ]


def speed_unit(motion: Motion) -> list[Finding]:
    """The speed column is not the derivative of the positions in m/s."""
    for seconds in (1.0, 2.0, 4.0):
        window = motion.window(seconds)
        moved = window.distance
        most = np.maximum(moved, window.expected)
        turned = np.abs(motion.yaw[window.last] - motion.yaw[window.first])
        fast = window.whole & (most > FAST * window.time) & (most > 14.0 * motion.noise[0])
        fast &= turned < 1.0  # a chord of 1 rad is 4 % shorter than its arc
        if np.count_nonzero(fast) >= 5:
            break
    else:
        return []
    ratio = float(np.median(window.expected[fast] / np.maximum(moved[fast], 1e-9)))
    if 0.6 < ratio < 1.6:
        return []
    if ratio > 1e6:
        text, unit = "positions stand still while speed says that the car drives", "which is right?"
    else:
        text = f"speed is {ratio:{'.2f' if ratio > 0.05 else '.2g'}} times what the positions say"
        near = (name for value, name in _RATIOS.items() if abs(ratio / value - 1) < 0.04)
        unit = next(near, "is it another unit?")
    return [Finding("speed-unit", "refuse", EGO, text, f"it must be in m/s ({unit})")]


def yaw_rate_sign(motion: Motion) -> list[Finding]:
    """The yaw rate turns the other way than the headings, or in another unit.

    Nothing that is driven depends on it: it is only said.
    """
    window = motion.window(4.0)  # 0.15 rad in a second are not driven on every road
    mean = 0.5 * (motion.yaw_rate[1:] + motion.yaw_rate[:-1])
    turned = np.concatenate([[0.0], np.cumsum(mean * motion.dt)])
    by_rate = turned[window.last] - turned[window.first]
    by_heading = motion.yaw[window.last] - motion.yaw[window.first]
    bends = window.whole & (np.abs(by_heading) > 0.15)
    if np.count_nonzero(bends) < 5:
        return []
    ratio = float(by_rate[bends] @ by_heading[bends] / (by_heading[bends] @ by_heading[bends]))
    agree = float(np.mean(np.sign(by_rate[bends]) == np.sign(by_heading[bends])))
    if ratio < -0.5 and agree < 0.2:
        remedy = "it must be positive to the left (is it of NED axes, positive clockwise?)"
    elif ratio > 20.0 and agree > 0.8:
        remedy = "it must be in rad/s (is it in degrees per second?)"
    else:
        return []
    text = f"yaw_rate is {ratio:.2g} times the change of the headings"
    return [Finding("yaw-rate", "warn", EGO, text, remedy)]
